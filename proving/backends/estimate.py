# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Groth16 proof costs on this machine, before it is made: from the size of the circuit and a calibration.

Time follows the domain (the FFTs and the sum over H are most of the work) and then the wires. `measure` makes real
keys and real proofs of circuits like ours, mostly bits, and fits both; without it, `REFERENCE` is used: the machine
that the docs' figures are from. Sizes of keys are exact.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from protocol import bounded_json
from protocol.errors import ConfigError
from proving.backends.base import Estimate, Size
from proving.constraints.files import wtns_bytes
from proving.constraints.system import ConstraintSystem
from proving.groth16 import engine
from proving.groth16.dev_setup import dev_keys
from proving.sparse import Sparse, stack

POWERS = (10, 12, 14)
"""Sizes that are measured: domains of 2^10, 2^12 and 2^14."""
PROOFS = 3
PROOF_BYTES = 256
_PUBLIC = 3
_BITS = 24
_HEADER_BYTES = 868
_G1, _G2, _COEFFICIENT = 64, 128, 44
_BASE_GAS, _GAS_PER_WORD = 223_470, 8_391
"""Measured on anvil at 2, 3 and 6 words (benchmarks/proving/verifier_gas.py): the line goes through all three."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What one machine does: milliseconds of a proof and of a set-up as `fixed + per_..._us * size / 1000`.

    Memory of the proving process in bytes: `base_bytes + key size + domain_bytes * domain`.
    """

    prove_fixed_ms: float
    prove_domain_us: float
    setup_fixed_ms: float
    setup_point_us: float
    base_bytes: int = 90_000_000
    domain_bytes: int = 1_600

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Calibration:
        """Parse what `to_json` wrote; raises ConfigError."""
        try:
            fields = bounded_json.loads(text)
            found = Calibration(**{name: type(default)(fields[name]) for name, default in asdict(REFERENCE).items()})
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError("The calibration of the prover is damaged; measure it again.") from error
        if any(value < 0 for value in asdict(found).values()):
            raise ConfigError("The calibration of the prover holds a negative number; measure it again.")
        return found


REFERENCE = Calibration(
    prove_fixed_ms=8.0, prove_domain_us=14.0, setup_fixed_ms=400.0, setup_point_us=30.0
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """One measured circuit."""

    size: Size
    setup_ms: float
    proving_ms: float


def size_of(system: ConstraintSystem) -> Size:
    """Return the size of a constraint system."""
    entries = len(system.a.indices) + len(system.b.indices)
    return Size(system.constraints, system.domain, system.public, system.wires, entries)


def key_bytes(size: Size) -> int:
    """Return the size of the .zkey file of a circuit, to within its header and contributions."""
    per_wire = 2 * _G1 + _G2
    private = size.wires - size.public - 1
    coefficients = size.entries + size.public + 1
    return (
        _HEADER_BYTES + size.wires * per_wire + private * _G1 + size.domain * _G1
        + (size.public + 1) * _G1 + coefficients * _COEFFICIENT
    )  # fmt: skip


def estimate(size: Size, calibration: Calibration = REFERENCE) -> Estimate:
    """Return what a proof over a circuit of this size costs; gas of a verification in a transaction of its own."""
    key = key_bytes(size)
    return Estimate(
        size=size,
        proving_ms=calibration.prove_fixed_ms + calibration.prove_domain_us * size.domain / 1000,
        setup_ms=calibration.setup_fixed_ms + calibration.setup_point_us * _points(size) / 1000,
        key_bytes=key,
        memory_bytes=calibration.base_bytes + key + calibration.domain_bytes * size.domain,
        proof_bytes=PROOF_BYTES,
        gas=_BASE_GAS + _GAS_PER_WORD * size.public,
    )


def measure(powers: Sequence[int] = POWERS, proofs: int = PROOFS) -> Calibration:
    """Measure this machine: real keys and verified proofs at each size. About 20 seconds with the default sizes.

    Run it when nothing else runs, as the prover does later: one proof at a time.
    """
    with tempfile.TemporaryDirectory(prefix="proofmesh-benchmark-") as folder:
        samples = [_sample(power, Path(folder) / f"{power}.zkey", proofs) for power in powers]
    return fit(samples)


def fit(samples: Sequence[Sample]) -> Calibration:
    """Return the calibration that fits best, by relative error; a fixed part is never negative.

    At least two samples of different domains are needed.
    """
    prove = _line([each.size.domain for each in samples], [each.proving_ms for each in samples])
    setup = _line([_points(each.size) for each in samples], [each.setup_ms for each in samples])
    return Calibration(prove[0], prove[1] * 1000, setup[0], setup[1] * 1000)


def _points(size: Size) -> int:
    """How many group elements a set-up makes, roughly: one per wire in A, B and C, and H."""
    return size.wires + size.domain


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Return offset and slope of a line through points, weighted so that each counts by its relative error."""
    if len(set(x)) < 2:
        raise ValueError("a line needs two sizes")
    weights = 1 / np.asarray(y, dtype=np.float64)
    columns = np.stack([np.ones(len(x)), np.asarray(x, dtype=np.float64)], axis=1) * weights[:, None]
    offset, slope = np.linalg.lstsq(columns, np.ones(len(x)), rcond=None)[0]
    if offset < 0:
        offset, slope = 0.0, float(np.linalg.lstsq(columns[:, 1:], np.ones(len(x)), rcond=None)[0][0])
    return float(offset), max(0.0, float(slope))


def _sample(power: int, path: Path, proofs: int) -> Sample:
    system, witness = bits_circuit((1 << power) - _PUBLIC - 1)
    start = perf_counter()
    keys = dev_keys(system, hashlib.sha256(power.to_bytes(4, "big")).digest(), path)
    setup_ms = (perf_counter() - start) * 1000
    key = engine.load_zkey(path, hashlib.sha256(path.read_bytes()).hexdigest())
    public = [int.from_bytes(row.tobytes(), "little") for row in witness[1 : system.public + 1]]
    times = []
    for _ in range(proofs):
        start = perf_counter()
        engine.prove_wtns(key, wtns_bytes(witness), keys.verifying_key, public)
        times.append((perf_counter() - start) * 1000)
    return Sample(size_of(system), setup_ms, min(times))


def bits_circuit(rows: int) -> tuple[ConstraintSystem, Any]:
    """Return a circuit of `rows` constraints, mostly bits as in a network's decompositions, and a witness for it.

    Public wires are squares of sums of the first bits; every further wire is a bit, about half of them set.
    """
    squares = _PUBLIC
    bits = rows - squares
    wires = 1 + _PUBLIC + bits
    first = 1 + _PUBLIC
    values = (np.arange(bits) * 2654435761 >> 7) % 2
    # Row r < bits: bit * (bit - 1) = 0. Then: (sum of 24 bits) * (the same) = public.
    bit = np.arange(first, wires)
    lone = Sparse(wires, np.arange(bits + 1), bit, np.ones(bits, dtype=np.int64))
    both = np.stack([np.zeros(bits, dtype=np.int64), bit], axis=1).ravel()
    minus = np.tile(np.array([-1, 1], dtype=np.int64), bits)
    less = Sparse(wires, np.arange(0, 2 * bits + 1, 2), both, minus)
    groups = [list(range(first + _BITS * k, first + _BITS * (k + 1))) for k in range(squares)]
    powers = 1 << np.arange(_BITS, dtype=np.int64)
    sums = Sparse(wires, np.arange(squares + 1) * _BITS, np.array(groups).ravel(), np.tile(powers, squares))
    public = Sparse(wires, np.arange(squares + 1), np.arange(1, 1 + squares), np.ones(squares, dtype=np.int64))
    empty = Sparse(wires, np.zeros(bits + 1, dtype=np.int64), bit[:0], bit[:0])
    witness = np.zeros((wires, 32), dtype=np.uint8)
    numbers = [1, *(int(values[_BITS * k : _BITS * (k + 1)] @ powers) ** 2 for k in range(squares))]
    for wire, number in enumerate(numbers):
        witness[wire] = np.frombuffer(number.to_bytes(32, "little"), dtype=np.uint8)
    witness[first:, 0] = values
    sides = ([lone, sums], [less, sums], [empty, public])
    return ConstraintSystem(wires, _PUBLIC, *(stack(side, wires) for side in sides)), witness

