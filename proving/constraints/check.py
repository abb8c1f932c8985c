# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a witness satisfies a constraint system: exact, row by row, for tests and audits.

Rows whose numbers are small integers (nearly all of them) are compared in int64 where an estimate shows that it
holds every sum; the rest in Python integers modulo the field's order.
"""

from __future__ import annotations

import numpy as np

from protocol.scalars import BN254_SCALAR_ORDER
from proving.constraints.limbs import signed
from proving.constraints.system import ONE, ConstraintSystem
from proving.sparse import SAFE, Array, Sparse, wrap

ESTIMATE = float(SAFE >> 1)
"""Sums that a float estimates below this are below 2^62 for certain."""


def violated(system: ConstraintSystem, witness: Array) -> int | None:
    """Return the first row that the witness (uint8[wires, 32]) breaks, or None."""
    rows = violations(system, witness)
    return int(rows[0]) if len(rows) else None


def violations(system: ConstraintSystem, witness: Array) -> Array:
    """Return all rows that the witness breaks, int64, rising.

    Raises:
        ValueError: the witness has another number of wires, or its first is not 1.
    """
    if witness.shape != (system.wires, 32):
        raise ValueError(f"a witness of {system.wires} wires is uint8[{system.wires}, 32]")
    small, big = signed(np.ascontiguousarray(witness).view("<u8"))
    if small[ONE] != 1 or ONE in big:
        raise ValueError("the first wire of a witness is 1")
    values = _Values(small, big)
    sides = [values.times(each) for each in (system.a, system.b, system.c)]
    narrow = ~(sides[0][1] | sides[1][1] | sides[2][1])
    a, b, c = (each[0] for each in sides)
    narrow &= np.abs(a.astype(np.float64)) * np.abs(b.astype(np.float64)) < ESTIMATE
    broken = narrow & (a * b != c)
    for row in np.flatnonzero(~narrow).tolist():
        left, right, result = (values.row(each, row) for each in (system.a, system.b, system.c))
        broken[row] = (left * right - result) % BN254_SCALAR_ORDER != 0
    return np.flatnonzero(broken)


class _Values:
    """The wires as signed integers; `big` ones by wire."""

    def __init__(self, small: Array, big: dict[int, int]) -> None:
        self._small = small
        self._magnitude = np.abs(small.astype(np.float64))
        self._magnitude[list(big)] = np.inf
        self._big = big

    def times(self, matrix: Sparse) -> tuple[Array, Array]:
        """Return `matrix @ wires` modulo 2^64, and which rows may not fit."""
        size = np.abs(matrix.values.astype(np.float64)) * self._magnitude[matrix.indices]
        products = wrap(matrix.values) * self._small[matrix.indices]
        sums = np.zeros(matrix.rows, dtype=np.int64)
        sizes = np.zeros(matrix.rows, dtype=np.float64)
        filled = np.flatnonzero(np.diff(matrix.indptr))
        if len(filled):
            sums[filled] = np.add.reduceat(products, matrix.indptr[filled])
            sizes[filled] = np.add.reduceat(size, matrix.indptr[filled])
        return sums, sizes >= ESTIMATE

    def row(self, matrix: Sparse, row: int) -> int:
        return sum(
            int(coefficient) * self._big.get(wire, int(self._small[wire]))
            for wire, coefficient in matrix.row(row).items()
        )
