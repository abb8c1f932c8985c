# SPDX-License-Identifier: GPL-3.0-or-later
"""A constraint system as the analysis of determinism reads it: linear rows, products, and who is in which row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt

import numpy as np

from protocol.errors import MalformedCircuitError
from protocol.scalars import BN254_SCALAR_ORDER
from proving.constraints.system import ONE, ConstraintSystem
from proving.sparse import Array, Sparse

PRIME = BN254_SCALAR_ORDER
HALF = PRIME >> 1

Form = dict[int, int]
"""A linear combination: wire -> coefficient, the residue nearest to zero."""


def signed(value: int) -> int:
    """Return the residue of least magnitude."""
    residue = value % PRIME
    return residue - PRIME if residue > HALF else residue


def require_canonical(system: ConstraintSystem) -> None:
    """Check that every combination lists its wires once, in rising order, with coefficients that are not 0 mod p.

    Raises:
        MalformedCircuitError: otherwise; snarkjs and arkworks would read such a row differently.
    """
    for name, matrix in (("A", system.a), ("B", system.b), ("C", system.c)):
        if matrix.rows != system.constraints or matrix.width != system.wires:
            raise MalformedCircuitError(f"Matrix {name} does not have the shape of the system.")
        indices, values = matrix.indices, matrix.values
        if len(indices) == 0:
            continue
        if indices.min() < 0 or indices.max() >= system.wires:
            raise MalformedCircuitError(f"Matrix {name} names a wire that does not exist.")
        rising = np.diff(indices) > 0
        starts = matrix.indptr[1:-1]
        starts = starts[(starts > 0) & (starts < len(indices))]
        rising[starts - 1] = True
        if not rising.all():
            row = int(matrix.row_of_entry()[np.flatnonzero(~rising)[0]])
            raise MalformedCircuitError(f"Row {row} of matrix {name} lists a wire twice or out of order.")
        if (values == 0).any() or values.max() >= PRIME or values.min() <= -PRIME:
            raise MalformedCircuitError(f"Matrix {name} has a coefficient that is 0, or not below the field's order.")


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows `a * b = c`; where one factor is a constant, `c` is the whole row moved to one side, and `linear`.

    `row_wires[row_ptr[r]:row_ptr[r+1]]` are the wires of row r, each once; `wire_rows` with `wire_ptr` is the
    transpose, and `in_factor` says of each of its entries whether the wire is in a or b (false in linear rows).
    """

    wires: int
    a: Sparse
    b: Sparse
    c: Sparse
    linear: Array
    row_ptr: Array
    row_wires: Array
    wire_ptr: Array
    wire_rows: Array
    in_factor: Array

    @property
    def count(self) -> int:
        return len(self.linear)

    def factors(self, row: int) -> tuple[Form, Form]:
        return _form(self.a, row), _form(self.b, row)

    def rest(self, row: int) -> Form:
        """Return c, which for a linear row is a combination that is zero."""
        return _form(self.c, row)

    def rows_of(self, wire: int) -> list[int]:
        rows: list[int] = self.wire_rows[self.wire_ptr[wire] : self.wire_ptr[wire + 1]].tolist()
        return rows

    def wires_of(self, row: int) -> Array:
        return self.row_wires[self.row_ptr[row] : self.row_ptr[row + 1]]


def rows_of(system: ConstraintSystem) -> Rows:
    """Return the analysis' view of a system, which must be canonical."""
    a, b, c = system.a, system.b, system.c
    no_a, no_b = _constant(a), _constant(b)
    linear = no_a | no_b
    moved = {int(row): _moved(system, int(row)) for row in np.flatnonzero(linear & ~_empty(a) & ~_empty(b))}
    c = _replaced(c, moved)
    keep = ~linear
    keys = [_keys(a, keep), _keys(b, keep), _keys(c, np.ones(len(linear), dtype=bool))]
    factor_keys = distinct(np.concatenate(keys[:2]))
    merged = distinct(np.concatenate((factor_keys, keys[2])))
    rows, wires = np.divmod(merged, system.wires)
    in_factor = np.zeros(len(merged), dtype=bool)
    in_factor[np.searchsorted(merged, factor_keys)] = True
    order = np.argsort(wires, kind="stable")
    return Rows(
        system.wires, a, b, c, linear,
        _pointers(rows, len(linear)), wires,
        _pointers(wires[order], system.wires), rows[order], in_factor[order],
    )  # fmt: skip


def distinct(numbers: Array) -> Array:
    """Return the numbers in rising order, each once; far faster than numpy's unique on short arrays."""
    ordered = np.sort(numbers)
    first = np.ones(len(ordered), dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return np.asarray(ordered[first])


def spans(pointers: Array, ids: Array) -> tuple[Array, Array]:
    """Return the entries of several CSR rows, and how many each has."""
    counts = pointers[ids + 1] - pointers[ids]
    before = np.cumsum(counts) - counts
    return np.repeat(pointers[ids] - before, counts) + np.arange(int(counts.sum())), counts


def roots(a: Mapping[int, int], b: Mapping[int, int], c: Mapping[int, int], wire: int) -> tuple[int, ...] | None:
    """Return the solutions of `a * b = c` in one wire, nearest to zero, or None where they are not found.

    Raises:
        ZeroDivisionError: the row holds for every value.
    """
    (a0, a1), (b0, b1), (c0, c1) = ((each.get(ONE, 0), each.get(wire, 0)) for each in (a, b, c))
    square, middle, constant = a1 * b1 % PRIME, (a0 * b1 + a1 * b0 - c1) % PRIME, (a0 * b0 - c0) % PRIME
    if square == 0:
        if middle == 0:
            raise ZeroDivisionError
        return (signed(-constant * pow(middle, -1, PRIME)),)
    inverse = pow(square, -1, PRIME)
    half, product = middle * inverse * pow(2, -1, PRIME) % PRIME, constant * inverse % PRIME
    if product == 0:
        return 0, signed(-2 * half)
    discriminant = (half * half - product) % PRIME
    # Squares in small integers are all that gadgets write; a root elsewhere is left unknown, which is safe.
    for scale in (1, 2):
        root = isqrt(discriminant * scale * scale % PRIME)
        if root * root == discriminant * scale * scale % PRIME:
            root = root * pow(scale, -1, PRIME)
            return signed(-half + root), signed(-half - root)
    return None


def _form(matrix: Sparse, row: int) -> Form:
    start, end = int(matrix.indptr[row]), int(matrix.indptr[row + 1])
    values = matrix.values[start:end].tolist()
    return dict(zip(matrix.indices[start:end].tolist(), map(signed, values), strict=True))


def _empty(matrix: Sparse) -> Array:
    return np.asarray(np.diff(matrix.indptr) == 0)


def _constant(matrix: Sparse) -> Array:
    """Return which rows have no wire but the one."""
    others = np.concatenate(([0], np.cumsum(matrix.indices != ONE)))
    return np.asarray(others[matrix.indptr[1:]] == others[matrix.indptr[:-1]])


def _moved(system: ConstraintSystem, row: int) -> Form:
    """Return a linear row as one combination that is zero: `constant * factor - c`."""
    a, b, total = _form(system.a, row), _form(system.b, row), _form(system.c, row)
    constant, factor = (a, b) if set(a) <= {ONE} else (b, a)
    for wire, coefficient in factor.items():
        total[wire] = signed(total.get(wire, 0) - constant.get(ONE, 0) * coefficient)
    return {wire: coefficient for wire, coefficient in sorted(total.items()) if coefficient}


def _replaced(matrix: Sparse, rows: Mapping[int, Form]) -> Sparse:
    if not rows:
        return matrix
    counts = np.diff(matrix.indptr)
    kept = np.ones(matrix.rows, dtype=bool)
    for row, form in rows.items():
        counts[row] = len(form)
        kept[row] = False
    indptr = np.concatenate(([0], np.cumsum(counts)))
    indices = np.zeros(int(indptr[-1]), dtype=np.int64)
    values = np.zeros(int(indptr[-1]), dtype=object)
    old, _ = spans(matrix.indptr, np.flatnonzero(kept))
    new, _ = spans(indptr, np.flatnonzero(kept))
    indices[new], values[new] = matrix.indices[old], matrix.values[old]
    for row, form in rows.items():
        indices[indptr[row] : indptr[row + 1]] = list(form)
        values[indptr[row] : indptr[row + 1]] = list(form.values())
    return Sparse(matrix.width, indptr, indices, values)


def _keys(matrix: Sparse, rows: Array) -> Array:
    keys = matrix.row_of_entry() * matrix.width + matrix.indices
    return np.asarray(keys[np.repeat(rows, np.diff(matrix.indptr))])


def _pointers(sorted_ids: Array, count: int) -> Array:
    return np.concatenate(([0], np.cumsum(np.bincount(sorted_ids, minlength=count))))
