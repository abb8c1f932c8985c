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
