# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of a witness, against Python integers modulo the field's order."""

from __future__ import annotations

import random

import numpy as np
import pytest
from proving_emission import evaluate, integers

from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.constraints.check import violated, violations
from proving.constraints.limbs import residues, signed
from proving.constraints.system import ConstraintSystem
from proving.sparse import Array, exact, from_rows

EDGES = [0, 1, -1, 2, (1 << 62) - 1, 1 << 62, -(1 << 62), (1 << 63) - 1, 1 << 63, 1 << 64, R // 2, R // 2 + 1, R - 2]


def witness_of(values: list[int]) -> Array:
    return residues(exact(values)).view(np.uint8).reshape(len(values), 32)


def random_system(generator: random.Random) -> tuple[ConstraintSystem, Array]:
    """Return rows over numbers of all sizes, about half of which hold."""

    def pick() -> int:
        return generator.choice([*EDGES, generator.randrange(-9, 9), generator.randrange(R)])

    values = [1, *(pick() for _ in range(8))]
    sides: tuple[list[dict[int, int]], ...] = ([], [], [])
    for _ in range(12):
        a, b, c = ({generator.randrange(9): pick() for _ in range(generator.randrange(4))} for _ in range(3))
        left, right, result = (sum(k * values[w] for w, k in row.items()) for row in (a, b, c))
        if generator.random() < 0.7:
            c[0] = (c.get(0, 0) + left * right - result) % R
        for side, row in zip(sides, (a, b, c), strict=True):
            side.append({w: k - R if k > R // 2 else k for w, k in ((w, k % R) for w, k in row.items())})
    system = ConstraintSystem(9, 2, *(from_rows(9, side) for side in sides))
    return system, witness_of([each % R for each in values])


def test_rows_that_do_not_hold_are_found_and_no_others() -> None:
    generator = random.Random(4)
    found = 0
    for _ in range(60):
        system, witness = random_system(generator)
        wires = integers(witness)
        a, b, c = (evaluate(each, wires) for each in (system.a, system.b, system.c))
        expected = [row for row in range(12) if (a[row] * b[row] - c[row]) % R]
        assert violations(system, witness).tolist() == expected
        assert violated(system, witness) == (expected[0] if expected else None)
        found += len(expected)
    assert 100 < found < 600


@pytest.mark.parametrize("value", [*EDGES, *(-each for each in EDGES)])
def test_residues_and_signed_numbers_agree(value: int) -> None:
    limbs = residues(np.array([value, 5], dtype=object))
    assert int.from_bytes(limbs[0].tobytes(), "little") == value % R
    small, big = signed(limbs)
    assert (big.get(0, int(small[0])) - value) % R == 0
    assert small[1] == 5
    if abs(value) < 1 << 62:
        assert residues(np.array([value])).tolist() == limbs[:1].tolist() and not big


def test_a_witness_of_another_size_or_without_its_one_is_refused() -> None:
    system, witness = random_system(random.Random(0))
    with pytest.raises(ValueError, match="9 wires"):
        violated(system, witness[:-1])
    with pytest.raises(ValueError, match="first wire"):
        violated(system, np.roll(witness, 1, axis=1))
