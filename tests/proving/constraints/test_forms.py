# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums, multiples and compositions of combinations, against dicts of Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.constraints import forms
from proving.constraints.builder import Builder
from proving.constraints.forms import Form
from proving.sparse import exact, from_rows

COEFFICIENTS = st.one_of(
    st.integers(-9, 9), st.integers(-(1 << 62), 1 << 62), st.sampled_from([R, R - 1, -R, 1 << 253, (1 << 254) + 1])
)
ROWS = st.lists(st.dictionaries(st.integers(0, 6), COEFFICIENTS, max_size=4), min_size=3, max_size=3)
Rows = list[dict[int, int]]


def of_dicts(rows: Rows) -> Form:
    return from_rows(forms.ANY_WIRE, [{w: forms.reduced(c) for w, c in row.items()} for row in rows])


def residues(row: dict[int, int]) -> dict[int, int]:
    return {wire: c % R for wire, c in row.items() if c % R}


def rows_of(form: Form) -> Rows:
    """Return the rows as residues, and check that they are in canonical form."""
    for row in range(form.rows):
        wires = form.indices[form.indptr[row] : form.indptr[row + 1]]
        assert (np.diff(wires) > 0).all()
    assert all(int(each) % R and abs(int(each)) < forms.REDUCE_BEYOND for each in form.values)
    return [residues(form.row(row)) for row in range(form.rows)]


def total(*rows: dict[int, int]) -> dict[int, int]:
    summed: dict[int, int] = {}
    for row in rows:
        for wire, c in row.items():
            summed[wire] = summed.get(wire, 0) + c
    return residues(summed)


@given(ROWS, ROWS)
def test_sums_and_differences(left: Rows, right: Rows) -> None:
    a, b = of_dicts(left), of_dicts(right)
    assert rows_of(forms.add(a, b)) == [total(x, y) for x, y in zip(left, right, strict=True)]
    assert rows_of(forms.subtract(a, b)) == [
        total(x, {w: -c for w, c in y.items()}) for x, y in zip(left, right, strict=True)
    ]


@given(ROWS, st.lists(COEFFICIENTS, min_size=3, max_size=3))
def test_multiples_and_shifts(rows: Rows, numbers: list[int]) -> None:
    form = of_dicts(rows)
    scaled = [residues({w: n * c for w, c in row.items()}) for row, n in zip(rows, numbers, strict=True)]
    assert rows_of(forms.scale(exact(numbers), form)) == scaled
    shifted = [total(row, {0: n}) for row, n in zip(rows, numbers, strict=True)]
    assert rows_of(forms.shift(form, exact(numbers))) == shifted


@given(ROWS, st.lists(st.dictionaries(st.integers(0, 2), st.integers(-(1 << 70), 1 << 70)), min_size=2, max_size=4))
def test_composition(rows: Rows, outer: Rows) -> None:
    composed = forms.compose(from_rows(3, outer), of_dicts(rows), exact(range(5, 5 + len(outer))))
    expected = [
        total({0: 5 + index}, *({w: c * factor for w, c in rows[place].items()} for place, factor in row.items()))
        for index, row in enumerate(outer)
    ]
    assert rows_of(composed) == expected


@given(ROWS, ROWS, st.permutations(range(6)))
def test_scattered_parts_are_taken_back(first: Rows, second: Rows, order: list[int]) -> None:
    parts = [(np.array(order[:3]), of_dicts(first)), (np.array(order[3:]), of_dicts(second))]
    whole = rows_of(forms.scatter(6, parts))
    assert [whole[place] for place in order] == [residues(row) for row in first + second]


def test_a_sum_that_cancels_lists_no_wire() -> None:
    form = forms.of_wires(np.array([3, 4]))
    assert rows_of(forms.subtract(form, form)) == [{}, {}]


def test_a_coefficient_that_is_the_order_is_left_out() -> None:
    assert rows_of(forms.scale(R, forms.of_wires(np.array([3])))) == [{}]


def test_the_value_of_bits_leaves_out_those_below_and_above() -> None:
    bits = Builder(0).bits([3, 0, 70])
    assert rows_of(bits.value(1, 3)) == [{2: 1, 3: 2}, {}, {5: 1, 6: 2}]
    assert rows_of(bits.value(68)) == [{}, {}, {72: 1, 73: 2}]
    assert bits.wires.tolist() == list(range(1, 74))


def test_sides_of_different_length_are_refused() -> None:
    one, two = forms.constant([1]), forms.constant([1, 2])
    with pytest.raises(ValueError, match="1, 2 and 1 rows"):
        Builder(0).constrain("product", one, two, one)


def test_a_wire_that_does_not_exist_is_refused() -> None:
    builder = Builder(1)
    builder.zero(forms.of_wires(np.array([2])))
    with pytest.raises(ValueError, match="does not exist"):
        builder.finish()
