# SPDX-License-Identifier: GPL-3.0-or-later
"""Sparse rows from tables of element numbers: vectorised, each row sorted, no column twice.

In a table, row i says which elements output i takes, and -1 stands for no element (padding).
"""

from __future__ import annotations

import numpy as np

from proving.sparse import Array, Sparse


def from_table(width: int, columns: Array, values: Array, keep_zeros: bool = False) -> Sparse:
    """Return rows with `values[i, j]` in column `columns[i, j]`; entries of a column named twice are added.

    The sum of duplicates runs from left to right, so it is the same on every machine.
    """
    count, _ = columns.shape
    order = np.argsort(columns, axis=1, kind="stable")
    columns = np.take_along_axis(columns, order, axis=1)
    values = np.take_along_axis(np.broadcast_to(values, columns.shape), order, axis=1)
    present = columns >= 0
    lengths = present.sum(axis=1)
    flat, entries = columns[present], values[present]
    rows = np.repeat(np.arange(count, dtype=np.int64), lengths)
    return _merged(width, count, rows, flat, entries, keep_zeros)


def _merged(width: int, count: int, rows: Array, columns: Array, values: Array, keep_zeros: bool) -> Sparse:
    """Return rows from entries in order, equal neighbours added up and zeros left out."""
    if len(rows) > 1:
        repeated = (rows[1:] == rows[:-1]) & (columns[1:] == columns[:-1])
        if repeated.any():
            first = np.concatenate([[True], ~repeated])
            values = np.bincount(np.cumsum(first) - 1, weights=values)  # adds in the order of the entries
            rows, columns = rows[first], columns[first]
    if not keep_zeros:
        used = values != 0
        if not used.all():
            rows, columns, values = rows[used], columns[used], values[used]
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))]).astype(np.int64)
    return Sparse(width, indptr, columns.astype(np.int64, copy=False), values.astype(np.float64, copy=False))


def from_entries(width: int, count: int, rows: Array, columns: Array, values: Array) -> Sparse:
    """Return rows from entries in any order; entries of one place are added in the order given."""
    order = np.lexsort((columns, rows))
    return _merged(width, count, rows[order], columns[order], values[order], False)


def shared_kernel(width: int, columns: Array, kernel: Array, first: int = 0) -> tuple[Sparse, Array]:
    """Return the rows of a kernel at many positions, and which number of the kernel is behind each entry.

    `columns` is int64[positions, taps] without duplicates in a row, `kernel` float64[outputs, taps]. Rows are ordered
    by output, then by position (as a convolution's are). Numbers of the kernel start at `first`, zeros are kept:
    where a trained weight stands is architecture, its value is not.
    """
    outputs, taps = kernel.shape
    order = np.argsort(columns, axis=1, kind="stable")
    columns = np.take_along_axis(columns, order, axis=1)
    present = columns >= 0
    lengths = np.tile(present.sum(axis=1), outputs)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    taken = order[present]
    indices = np.tile(columns[present], outputs)
    values = kernel[:, taken].reshape(-1)
    numbers = (first + taps * np.arange(outputs, dtype=np.int64)[:, None] + taken[None, :]).reshape(-1)
    return Sparse(width, indptr, indices, values), numbers


def stacked(parts: list[Sparse]) -> Sparse:
    """Return the rows of several matrices of one width below each other."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(len(each.indices) for each in parts)])
    indptr = [each.indptr[1:] + start for each, start in zip(parts, starts[:-1], strict=True)]
    return Sparse(
        parts[0].width,
        np.concatenate([np.zeros(1, dtype=np.int64), *indptr]),
        np.concatenate([each.indices for each in parts]),
        np.concatenate([each.values for each in parts]),
    )


def has_duplicates(columns: Array) -> bool:
    """Whether a row of the table names an element twice."""
    ordered = np.sort(columns, axis=1)
    return bool(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any())


def without_zeros(matrix: Sparse) -> Sparse:
    """Return the matrix without entries of value 0."""
    used = matrix.values != 0
    if bool(used.all()):
        return matrix
    counts = np.bincount(matrix.row_of_entry()[used], minlength=matrix.rows)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Sparse(matrix.width, indptr, matrix.indices[used], matrix.values[used])
