# SPDX-License-Identifier: GPL-3.0-or-later
"""Sparse rows of numbers (CSR), exact when they are integers.

Integer values are int64 where everything that is computed with them stays below 2^62, Python integers in an
object array otherwise: `exact` chooses. Nothing here rounds, so every machine gets the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAFE = 1 << 62
"""Magnitudes below this fit int64 with room for one addition."""

Array = NDArray[Any]
"""A vector of numbers: float64, int64, or Python integers (dtype object)."""


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """Row r has the entries `indptr[r]` to `indptr[r+1]` of `indices` and `values`; `width` is the number of columns.

    In a row the columns rise strictly: no column is listed twice, no value is zero.
    """

    width: int
    indptr: Array
    indices: Array
    values: Array

    @property
    def rows(self) -> int:
        return len(self.indptr) - 1

    def row(self, index: int) -> dict[int, Any]:
        """Return one row as column -> value."""
        start, end = int(self.indptr[index]), int(self.indptr[index + 1])
        return dict(zip(self.indices[start:end].tolist(), self.values[start:end].tolist(), strict=True))

    def row_of_entry(self) -> Array:
        """Return the row that each entry belongs to, int64[nnz]."""
        return np.repeat(np.arange(self.rows, dtype=np.int64), np.diff(self.indptr))


    def magnitude(self) -> float:
        """Return an upper estimate of the largest absolute value (0.0 without entries); may be infinite."""
        return _largest(self.values)


def exact(values: Iterable[Any] | Array) -> Array:
    """Return integers as int64 if all are below 2^62 in magnitude, else as Python integers (dtype object)."""
    array = values if isinstance(values, np.ndarray) else np.array(list(values), dtype=object)
    if array.dtype == object:
        if all(-SAFE < each < SAFE for each in array.flat):
            return array.astype(np.int64)
        return array
    return array.astype(np.int64, copy=False)


def from_rows(width: int, rows: Sequence[dict[int, Any]], dtype: Any = object) -> Sparse:
    """Return sparse rows from dicts (column -> value); zeros are left out."""
    kept = [sorted((c, v) for c, v in row.items() if v) for row in rows]
    indptr = np.cumsum([0, *map(len, kept)], dtype=np.int64)
    indices = np.array([c for row in kept for c, _ in row], dtype=np.int64)
    values = np.array([v for row in kept for _, v in row], dtype=dtype)
    return Sparse(width, indptr, indices, exact(values) if dtype is object else values)


def from_entries(rows: int, width: int, row: Array, column: Array, values: Array) -> Sparse:
    """Return sparse rows from entries in any order; entries of one place are added up, zeros are left out.

    Sums of integers are exact. Floats are added one after the other in the order given: the same on every machine.
    """
    key = row.astype(np.int64) * width + column
    if len(key) and not bool(np.all(key[1:] > key[:-1])):
        order = np.argsort(key, kind="stable")
        key, values = key[order], values[order]
        first = np.flatnonzero(np.concatenate(([True], key[1:] != key[:-1])))
        if len(first) < len(key):
            values = _segment_sums(values, first)
            key = key[first]
    kept = np.flatnonzero(values != 0)
    if len(kept) < len(key):
        key, values = key[kept], values[kept]
    indptr = np.searchsorted(key, np.arange(rows + 1, dtype=np.int64) * width)
    indices = key % width if width else key
    return Sparse(width, indptr.astype(np.int64), indices, exact(values) if values.dtype == object else values)


def times(matrix: Sparse, vector: Array) -> Array:
    """Return `matrix @ vector` in exact integers, int64 where all sums provably fit, else Python integers.

    `vector` is [width], or [width, n] for n vectors at once.
    """
    reach = matrix.magnitude() * _largest(vector) * max(1, int(np.diff(matrix.indptr).max(initial=0)))
    if reach < SAFE / 2:
        return wrapping_times(matrix, vector.astype(np.int64, copy=False))
    values = matrix.values.astype(object).reshape((-1,) + (1,) * (vector.ndim - 1))
    products = values * vector.astype(object)[matrix.indices]
    sums = np.zeros((matrix.rows, *vector.shape[1:]), dtype=object)
    filled = np.flatnonzero(np.diff(matrix.indptr))
    if len(filled):
        sums[filled] = np.add.reduceat(products, matrix.indptr[filled], axis=0)
    return exact(sums)


def wrapping_times(matrix: Sparse, vector: Array) -> Array:
    """Return `matrix @ vector` modulo 2^64 as int64: the true sum wherever that fits int64. `vector` is int64."""
    values = wrap(matrix.values).reshape((-1,) + (1,) * (vector.ndim - 1))
    running = np.zeros((len(matrix.indices) + 1, *vector.shape[1:]), dtype=np.int64)
    np.cumsum(values * vector[matrix.indices], axis=0, out=running[1:])
    return running[matrix.indptr[1:]] - running[matrix.indptr[:-1]]


def wrap(values: Array) -> Array:
    """Return integers modulo 2^64, as int64."""
    if values.dtype != object:
        return values.astype(np.int64, copy=False)
    unsigned = np.array([int(each) & ((1 << 64) - 1) for each in values.flat], dtype=np.uint64)
    return unsigned.view(np.int64).reshape(values.shape)


def compose(outer: Sparse, inner: Sparse) -> Sparse:
    """Return the matrix product `outer @ inner`; integers exactly, floats in a fixed order."""
    if outer.width != inner.rows:
        raise ValueError("the matrices do not fit each other")
    lengths = np.diff(inner.indptr)[outer.indices]
    outer_rows = outer.row_of_entry()
    left, right = outer.values, inner.values
    if left.dtype != np.float64 and right.dtype != np.float64:
        terms = np.add.reduceat(lengths, outer.indptr[:-1][np.diff(outer.indptr) > 0]) if len(lengths) else lengths
        if not _largest(left) * _largest(right) * float(terms.max(initial=1)) < SAFE / 2:
            left, right = left.astype(object), right.astype(object)
    parts = []
    for start, end in _chunks(outer, lengths):
        span = slice(int(outer.indptr[start]), int(outer.indptr[end]))
        repeats = lengths[span]
        total = int(repeats.sum())
        begin = inner.indptr[outer.indices[span]] - (np.cumsum(repeats) - repeats)
        entry = np.repeat(begin, repeats) + np.arange(total, dtype=np.int64)
        row = np.repeat(outer_rows[span] - start, repeats)
        value = np.repeat(left[span], repeats) * right[entry]
        parts.append(from_entries(end - start, inner.width, row, inner.indices[entry], value))
    return stack(parts, inner.width)


def stack(parts: Sequence[Sparse], width: int) -> Sparse:
    """Return the rows of several matrices of one width, one below the other."""
    if not parts:
        return Sparse(width, np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64))
    starts = np.cumsum([0, *(len(part.indices) for part in parts)])
    indptr = np.concatenate([[0], *(part.indptr[1:] + start for part, start in zip(parts, starts, strict=False))])
    indices = np.concatenate([part.indices for part in parts])
    values = np.concatenate([part.values for part in parts])
    return Sparse(width, indptr.astype(np.int64), indices, values)


def diagonal(values: Array) -> Sparse:
    """Return the square matrix with these values on its diagonal; zeros are left out."""
    place = np.arange(len(values), dtype=np.int64)
    return from_entries(len(values), len(values), place, place, values)


CHUNK = 1 << 21
"""How many products `compose` holds at once."""


def _chunks(outer: Sparse, lengths: Array) -> Iterable[tuple[int, int]]:
    """Cut the rows so that each part has about CHUNK products, or is one row."""
    products = np.concatenate(([0], np.cumsum(lengths)))[outer.indptr]
    start = 0
    while start < outer.rows:
        end = int(np.searchsorted(products, products[start] + CHUNK, side="right")) - 1
        end = min(max(end, start + 1), outer.rows)
        yield start, end
        start = end


def _segment_sums(values: Array, first: Array) -> Array:
    if values.dtype != np.float64:
        if values.dtype != object and _largest(values) * float(np.diff(first, append=len(values)).max()) >= SAFE:
            values = values.astype(object)
        sums: Array = np.add.reduceat(values, first)
        return sums
    segment = np.zeros(len(values), dtype=np.int64)
    segment[first[1:]] = 1
    return np.bincount(np.cumsum(segment), weights=values, minlength=len(first))


def _largest(values: Array) -> float:
    if not values.size:
        return 0.0
    if values.dtype == object:
        bits = max(abs(int(each)).bit_length() for each in values.flat)
        return 2.0**bits if bits < 1024 else float("inf")
    return float(max(abs(float(values.max())), abs(float(values.min()))))
