# SPDX-License-Identifier: GPL-3.0-or-later
"""Sparse rows: sums, products and compositions are exact whatever their size."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from proving import sparse
from proving.sparse import Sparse, compose, exact, from_entries, from_rows, times, wrap, wrapping_times

SIZES = st.sampled_from([3, 1 << 20, 1 << 40, 1 << 61, 1 << 90])


def _random(generator: random.Random, rows: int, width: int, size: int) -> Sparse:
    return from_rows(width, [
        {c: generator.randint(-size, size) for c in range(width) if generator.random() < 0.6} for _ in range(rows)
    ])


def _dense(matrix: Sparse) -> list[list[int]]:
    return [[int(matrix.row(r).get(c, 0)) for c in range(matrix.width)] for r in range(matrix.rows)]


def _is_canonical(matrix: Sparse) -> bool:
    rows = matrix.row_of_entry()
    key = rows * matrix.width + matrix.indices
    return bool(np.all(key[1:] > key[:-1])) and all(each != 0 for each in matrix.values)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32), left=SIZES, right=SIZES)
def test_products_are_those_of_integers(seed: int, left: int, right: int) -> None:
    generator = random.Random(seed)
    a, b = _random(generator, 4, 3, left), _random(generator, 3, 5, right)
    x = [generator.randint(-right, right) for _ in range(3)]
    expected = [sum(p * q for p, q in zip(row, x, strict=True)) for row in _dense(a)]
    assert times(a, exact(x)).tolist() == expected
    assert wrapping_times(a, wrap(exact(x))).tolist() == wrap(exact(expected)).tolist()
    composed = compose(a, b)
    rows = zip(*_dense(b), strict=True)
    columns = [list(each) for each in rows]
    assert _dense(composed) == [[sum(p * q for p, q in zip(r, c, strict=True)) for c in columns] for r in _dense(a)]
    assert _is_canonical(composed)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), size=SIZES)
def test_entries_of_one_place_add_up(seed: int, size: int) -> None:
    generator = random.Random(seed)
    entries = [
        (generator.randrange(3), generator.randrange(3), generator.randint(-size, size)) for _ in range(20)
    ]
    row, column, values = (exact([each[i] for each in entries]) for i in range(3))
    matrix = from_entries(3, 3, row, column, values)
    expected = [[sum(v for r, c, v in entries if (r, c) == (i, j)) for j in range(3)] for i in range(3)]
    assert _dense(matrix) == expected
    assert _is_canonical(matrix)


def test_long_compositions_are_cut_into_parts(monkeypatch: Any) -> None:
    generator = random.Random(1)
    a, b = _random(generator, 9, 7, 50), _random(generator, 7, 8, 50)
    whole = compose(a, b)
    monkeypatch.setattr(sparse, "CHUNK", 5)
    parts = compose(a, b)
    assert _dense(parts) == _dense(whole) and parts.indptr.tolist() == whole.indptr.tolist()


def test_float_sums_are_made_in_the_order_of_their_entries() -> None:
    values = np.array([1e16, 1.0, -1e16, 1.0])
    zero = np.zeros(4, dtype=np.int64)
    assert from_entries(1, 1, zero, zero, values).values.tolist() == [((1e16 + 1.0) - 1e16) + 1.0]
