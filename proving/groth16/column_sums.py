# SPDX-License-Identifier: GPL-3.0-or-later
"""A point for each wire: the sum over the wire's column of coefficients times points of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from zksnake._algebra import ec_bn254

from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.constraints.system import ConstraintSystem
from proving.groth16.binfile import Bytes
from proving.groth16.curve import G1_BYTES, PointG1, PointG2, negated, point_g1, point_g2, raw_g1, raw_g2
from proving.groth16.point_sums import sum_g1, sum_g2
from proving.sparse import Array, Sparse

LONG_SUM = 200
"""Terms from which on the proof engine is faster, which needs no points loaded one by one."""


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """Entry k adds `coefficients[k]` times the point of row `rows[k]` to wire `wires[k]`."""

    wires: Array
    rows: Array
    coefficients: Array

    def moved(self, offset: int) -> Terms:
        """Return the same terms over points that stand `offset` further on."""
        return Terms(self.wires, self.rows + offset, self.coefficients)


def terms_of(matrix: Sparse) -> Terms:
    """Return the entries of a matrix."""
    return Terms(matrix.indices, matrix.row_of_entry(), matrix.values)


def public_terms(system: ConstraintSystem) -> Terms:
    """Return snarkjs' rows of A for the one and the public wires (zkey.coefficients_of)."""
    wires = np.arange(system.public + 1, dtype=np.int64)
    return Terms(wires, wires + system.constraints, np.ones(len(wires), np.int64))


@dataclass(slots=True)
class ColumnSums:
    """Sums over raw points uint8[n, 64 or 128], of which each is loaded once, and only if it must be computed with."""

    points: Bytes
    _loaded: dict[int, PointG1 | PointG2] = field(default_factory=dict)

    def by_wire(self, terms: Sequence[Terms], wires: int) -> Bytes:
        """Return the raw sum of each wire; infinity where it has no terms."""
        owners, rows, coefficients = (
            np.concatenate([getattr(each, name) for each in terms]) for name in ("wires", "rows", "coefficients")
        )
        order = np.argsort(owners, kind="stable")
        rows, coefficients = rows[order], coefficients[order]
        ends = np.cumsum(np.bincount(owners, minlength=wires)).tolist()
        result = np.zeros((wires, self.points.shape[1]), np.uint8)
        start = 0
        for wire, end in enumerate(ends):
            if end > start:
                raw = self._sum(rows[start:end].tolist(), coefficients[start:end].tolist())
                result[wire] = np.frombuffer(raw, np.uint8)
            start = end
        return result

    def _sum(self, rows: list[int], coefficients: list[int]) -> bytes:
        if len(rows) == 1 and coefficients[0] in (1, -1):
            raw = self.points[rows[0]].tobytes()
            return raw if coefficients[0] == 1 else negated(raw)
        in_g1 = self.points.shape[1] == G1_BYTES
        if len(rows) >= LONG_SUM:
            residues = [coefficient % R for coefficient in coefficients]
            return raw_g1(sum_g1(self.points[rows], residues)) if in_g1 else raw_g2(sum_g2(self.points[rows], residues))
        # Small magnitudes are what makes a sum cheap, so a negative coefficient negates its point.
        points = [self._signed(row, coefficient < 0) for row, coefficient in zip(rows, coefficients, strict=True)]
        add = ec_bn254.multiscalar_mul_g1 if in_g1 else ec_bn254.multiscalar_mul_g2
        total = add(points, [abs(coefficient) for coefficient in coefficients])
        return raw_g1(total) if in_g1 else raw_g2(total)

    def _signed(self, row: int, negative: bool) -> PointG1 | PointG2:
        point = self._loaded.get(row)
        if point is None:
            load = point_g1 if self.points.shape[1] == G1_BYTES else point_g2
            point = self._loaded[row] = load(self.points[row].tobytes())
        return -point if negative else point
