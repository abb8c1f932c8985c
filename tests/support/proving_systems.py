# SPDX-License-Identifier: GPL-3.0-or-later
"""Small constraint systems with witnesses, and snarkjs to judge keys made for them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.constraints.files import wtns_bytes
from proving.constraints.system import ConstraintSystem
from proving.groth16.field import to_bytes
from proving.sparse import from_rows

ROOT = Path(__file__).resolve().parents[2]
SNARKJS_RUN = ROOT / "tests" / "support" / "snarkjs_run.mjs"


@dataclass(frozen=True)
class Sample:
    """A circuit with a witness that satisfies it."""

    system: ConstraintSystem
    wires: tuple[int, ...]

    @property
    def public_inputs(self) -> tuple[int, ...]:
        return self.wires[1 : self.system.public + 1]

    @property
    def wtns(self) -> bytes:
        return wtns_of(self.wires)


def sample(bits: int = 6, public: int = 2, seed: int = 0, weights: int = 0) -> Sample:
    """Return a circuit like those of models: bits, a dense sum of them in a linear row, products, a square.

    Public wires: outputs, then (at `public`) a binding, then `weights` weights and one blinding if there are any.
    """
    generator = random.Random(seed)
    statement = public
    total = public + (weights + 1 if weights else 0)
    first = total + 1
    values = [1, *([0] * total), *(generator.randrange(2) for _ in range(bits))]
    rows: list[tuple[dict[int, int], dict[int, int], dict[int, int]]] = []
    for bit in range(first, first + bits):
        rows.append(({bit: 1}, {bit: 1, 0: -1}, {}))
    for each in range(weights + 1 if weights else 0):
        values[statement + 1 + each] = generator.randrange(R) if each == weights else generator.randrange(-128, 128) % R
    for output in range(1, statement):
        coefficients = {first + each: generator.randrange(-1000, 1000) or 1 for each in range(bits)}
        terms = dict(coefficients)
        values[output] = sum(c * values[w] for w, c in coefficients.items()) % R
        for each in range(weights):
            values.append(values[statement + 1 + each] * values[first + each % bits] % R)
            rows.append(({statement + 1 + each: 1}, {first + each % bits: 1}, {len(values) - 1: 1}))
            terms[len(values) - 1] = 1
            values[output] = (values[output] + values[-1]) % R
        rows.append(({}, {}, {output: -1, **terms}))
    values[statement] = generator.randrange(R)
    for square in range(statement, total + 1):
        if square in (statement, total):
            values.append(values[square] * values[square] % R)
            rows.append(({square: 1}, {square: 1}, {len(values) - 1: 1}))
    a, b, c = (from_rows(len(values), [row[k] for row in rows]) for k in range(3))
    return Sample(ConstraintSystem(len(values), total, a, b, c), tuple(values))


def wtns_of(values: tuple[int, ...]) -> bytes:
    """Return the .wtns file of residues."""
    return wtns_bytes(to_bytes(values))


def snarkjs_run(*calls: list[Any]) -> list[Any]:
    """Run calls of snarkjs; see snarkjs_run.mjs."""
    node = Path(sys.executable).with_name("node")
    done = subprocess.run(
        [node, SNARKJS_RUN], input=json.dumps(calls), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    results: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return results
