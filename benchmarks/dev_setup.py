# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure development keys and their audit: `python -m benchmarks.dev_setup 14 17` (powers of the domain).

The circuit is like those of models: seven rows in eight are boolean, the others dense sums over 64 wires.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np

from proving.constraints.system import ConstraintSystem
from proving.groth16.dev_setup import DevPhase1, dev_keys
from proving.groth16.key_audit import audit_key
from proving.sparse import Sparse

PUBLIC, DENSE = 8, 64


def circuit(power: int) -> ConstraintSystem:
    """Return a circuit that nearly fills the domain of 2^power points."""
    rows = (1 << power) - PUBLIC - 100
    bits = rows * 7 // 8
    sums = rows - bits
    wires = 1 + PUBLIC + bits
    generator = np.random.default_rng(power)
    counts = np.zeros(rows, np.int64)
    counts[:bits] = 1
    own = np.arange(bits, dtype=np.int64) + 1 + PUBLIC
    a = Sparse(wires, _indptr(counts), own, np.ones(bits, np.int64))
    both = np.stack((np.zeros(bits, np.int64), own), axis=1).ravel()
    b = Sparse(wires, _indptr(counts * 2), both, np.tile(np.array([-1, 1], np.int64), bits))
    dense = np.zeros(rows, np.int64)
    dense[bits:] = DENSE
    starts = generator.integers(1, wires - DENSE, sums)
    columns = (starts[:, None] + np.arange(DENSE)).ravel()
    c = Sparse(wires, _indptr(dense), columns, generator.integers(1, 1 << 16, sums * DENSE))
    return ConstraintSystem(wires, PUBLIC, a, b, c)


def _indptr(counts: np.ndarray) -> np.ndarray:
    return np.concatenate(([0], np.cumsum(counts)))


def measure(power: int) -> dict[str, float]:
    system = circuit(power)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "k.zkey"
        start, cpu = perf_counter(), _cpu()
        keys = dev_keys(system, bytes(32), path)
        made, setup_cpu = perf_counter(), _cpu() - cpu
        audit_key(system, path, DevPhase1().secrets(bytes(32)), keys.verifying_key)
        audited = perf_counter()
        return {
            "power": power, "constraints": system.constraints, "wires": system.wires,
            "key_mb": round(path.stat().st_size / 1e6, 1),
            "setup_s": round(made - start, 2), "setup_cpu_s": round(setup_cpu, 2),
            "audit_s": round(audited - made, 2), "audit_cpu_s": round(_cpu() - cpu - setup_cpu, 2),
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }


def _cpu() -> float:
    """Return the processor seconds of this process and its helpers: what a busy machine does not change much."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    for each in map(int, sys.argv[1:] or ("14", "17")):
        print(json.dumps(measure(each)))
