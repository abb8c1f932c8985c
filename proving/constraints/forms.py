# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms: vectors of linear combinations of wires, one sparse row an element. Exact, vectorised, never a wire twice.

A form's coefficients are int64 where every number on the way to them fits, Python integers otherwise. Those that
pass 2^253 are replaced by their residue of least magnitude, so a coefficient that is listed is not 0 in the field.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protocol.scalars import BN254_SCALAR_ORDER
from proving import sparse
from proving.constraints.system import ONE
from proving.sparse import SAFE, Array, Sparse, exact

Form = Sparse
"""One row an element; the columns are wires. `width` says nothing while the circuit grows."""

ANY_WIRE = 1 << 31
"""The width of a form: more wires than any circuit has."""
REDUCE_BEYOND = 1 << 253


def of_wires(wires: Array) -> Form:
    """Return the wires themselves as forms."""
    return _single(np.asarray(wires, dtype=np.int64), np.ones(len(wires), dtype=np.int64))


def nothing(count: int) -> Form:
    """Return so many zeros."""
    empty = np.zeros(0, dtype=np.int64)
    return Sparse(ANY_WIRE, np.zeros(count + 1, dtype=np.int64), empty, empty)


def constant(values: Array | Sequence[int]) -> Form:
    """Return constants as forms."""
    numbers = exact(values)
    return select_nonzero(_single(np.full(len(numbers), ONE, dtype=np.int64), numbers))


def reduced(coefficient: int) -> int:
    """Return a coefficient below 2^253 in magnitude that is the same in the field."""
    if -REDUCE_BEYOND < coefficient < REDUCE_BEYOND:
        return coefficient
    residue = coefficient % BN254_SCALAR_ORDER
    return residue - BN254_SCALAR_ORDER if residue > BN254_SCALAR_ORDER // 2 else residue


def compose(matrix: Sparse, form: Form, bias: Array | None = None) -> Form:
    """Return `matrix @ form + bias`: combinations of combinations."""
    composed = _in_field(sparse.compose(matrix, form))
    return composed if bias is None else shift(composed, bias)


def add(*forms: Form) -> Form:
    """Return the elementwise sum of forms with as many rows."""
    rows = np.concatenate([each.row_of_entry() for each in forms])
    columns = np.concatenate([each.indices for each in forms])
    return collect(forms[0].rows, rows, columns, np.concatenate([each.values for each in forms]))


def scale(factors: Array | int, form: Form) -> Form:
    """Return each row times its factor (or all times one)."""
    each = exact(np.full(form.rows, factors, dtype=object) if isinstance(factors, int) else factors)
    entries = np.arange(len(form.values), dtype=np.int64)
    values = _products(each, np.diff(form.indptr), form.values, entries)
    return _in_field(select_nonzero(Sparse(form.width, form.indptr, form.indices, values)))


def subtract(left: Form, right: Form) -> Form:
    """Return `left - right`."""
    return add(left, scale(-1, right))


def shift(form: Form, offsets: Array | int) -> Form:
    """Return each row plus a constant."""
    values = np.full(form.rows, offsets, dtype=object) if isinstance(offsets, int) else offsets
    return add(constant(values), form)


def stack(parts: Sequence[Form]) -> Form:
    """Return the rows of several forms, one after the other."""
    return parts[0] if len(parts) == 1 else sparse.stack(parts, ANY_WIRE)


def take(form: Form, index: Array) -> Form:
    """Return the rows at `index`."""
    lengths = np.diff(form.indptr)[index]
    entry = _runs(form.indptr[index], lengths)
    return Sparse(form.width, _indptr(lengths), form.indices[entry], form.values[entry])


def scatter(count: int, parts: Sequence[tuple[Array, Form]]) -> Form:
    """Return `count` rows out of parts: (positions of its rows, form). Each position stands in exactly one part."""
    place = np.empty(count, dtype=np.int64)
    place[np.concatenate([index for index, _ in parts])] = np.arange(count, dtype=np.int64)
    return take(stack([form for _, form in parts]), place)


def collect(count: int, rows: Array, columns: Array, values: Array) -> Form:
    """Return `count` rows from scattered entries, adding up what names the same wire of the same row."""
    return _in_field(sparse.from_entries(count, ANY_WIRE, rows, columns, values))


def constants(form: Form) -> Array:
    """Return the constant of each row, as Python integers."""
    found = np.zeros(form.rows, dtype=object)
    some = np.flatnonzero(np.diff(form.indptr) > 0)
    some = some[form.indices[form.indptr[some]] == ONE]
    found[some] = form.values[form.indptr[some]].astype(object)
    return found


def entries(form: Form) -> Array:
    """Return how many wires each row lists."""
    return np.diff(form.indptr)


def magnitude(values: Array) -> int:
    """Return the largest absolute value, 0 of nothing."""
    return max(abs(int(values.max())), abs(int(values.min()))) if len(values) else 0


def select_nonzero(form: Form) -> Form:
    """Return the form without entries whose coefficient is 0."""
    kept = form.values != 0
    if kept.all():
        return form
    lengths = np.bincount(form.row_of_entry()[kept], minlength=form.rows)
    return Sparse(form.width, _indptr(lengths), form.indices[kept], form.values[kept])


def _single(columns: Array, values: Array) -> Form:
    return _in_field(Sparse(ANY_WIRE, np.arange(len(columns) + 1, dtype=np.int64), columns, values))


def _indptr(lengths: Array) -> Array:
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])


def _runs(starts: Array, lengths: Array) -> Array:
    """Return `starts[i], starts[i] + 1, ..` for `lengths[i]` numbers each, in one vector."""
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(total, dtype=np.int64)


def _products(left: Array, repeats: Array, right: Array, entry: Array) -> Array:
    if left.dtype == object or right.dtype == object or magnitude(left) * magnitude(right) >= SAFE:
        left, right = left.astype(object), right.astype(object)
    products: Array = np.repeat(left, repeats) * right[entry]
    return products


def _in_field(form: Form) -> Form:
    if form.values.dtype != object or magnitude(form.values) < REDUCE_BEYOND:
        return form
    values = np.array([reduced(int(each)) for each in form.values], dtype=object)
    return select_nonzero(Sparse(form.width, form.indptr, form.indices, exact(values)))
