# SPDX-License-Identifier: GPL-3.0-or-later
"""What each node costs: the formulas that the docstrings and the cost model promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proving_emission import Nodes, nodes_of
from proving_programs import program_of

from proving.fixedpoint.program import (
    Constant,
    Gather,
    Input,
    Linear,
    Maximum,
    Multiply,
    Node,
    NonNegative,
    Piecewise,
    Quotient,
    Rescale,
    Select,
    Thermometer,
)
from proving.settings import InputRange
from proving.sparse import exact, from_rows


def circuit(*nodes: Node, bits: int = 8, count: int = 1) -> Nodes:
    """Return the circuit of nodes behind an input of `count` elements, each 0 to 2^bits - 1."""
    return nodes_of(program_of((Input(count), *nodes), (InputRange("x", 0, bits, count),)))


def affine(slope: int, bias: int, source: int = 0) -> Linear:
    return Linear((source,), from_rows(1, [{0: slope}]), exact([bias]))


def last_cost(*nodes: Node, bits: int = 8, count: int = 1) -> int:
    return circuit(*nodes, bits=bits, count=count).rows_of(len(nodes))


def test_inputs_cost_their_bits() -> None:
    assert circuit(bits=8, count=3).rows_of(0) == 24


def test_inputs_that_many_rows_read_get_a_wire_for_one_more_row() -> None:
    wide = Linear((0,), from_rows(2, [{0: 1, 1: 1 + row} for row in range(200)]), exact([0] * 200))
    nodes = circuit(wide, Rescale(1, 1, relu=True), bits=8, count=2)
    assert nodes.rows_of(0) == 2 * (8 + 1)


@pytest.mark.parametrize("node", [
    Linear((0,), from_rows(3, [{0: 5, 2: -7}, {1: 1}]), exact([1, 2])),
    Gather((0, 0), np.array([4, 0])),
    Constant(exact([1, 2, 3])),
])  # fmt: skip
def test_affine_maps_cost_nothing(node: Node) -> None:
    assert last_cost(node, count=3) == 0


@given(st.integers(-500, 500), st.integers(0, 9))
@settings(deadline=None)
def test_relu_with_rescale_costs_the_bits_of_its_interval_and_two(bias: int, shift: int) -> None:
    low, high = bias, bias + 3 * 255
    cost = last_cost(affine(3, bias), Rescale(1, shift, relu=True))
    if high >> shift <= 0 or low >> shift == high >> shift:
        assert cost == 0
    elif low >= 0:
        assert cost == (0 if shift == 0 else (high - (low >> shift << shift)).bit_length() + 1)
    else:
        assert cost == max((-low - 1).bit_length(), high.bit_length()) + 1 + 2


@given(st.integers(-500, 500), st.integers(1, 9))
@settings(deadline=None)
def test_a_plain_rescale_costs_the_bits_of_its_interval_and_one(bias: int, shift: int) -> None:
    low, high = bias, bias + 3 * 255
    cost = last_cost(affine(3, bias), Rescale(1, shift, relu=False))
    fixed = low >> shift == high >> shift
    assert cost == (0 if fixed else (high - (low >> shift << shift)).bit_length() + 1)


@given(st.integers(-500, 500))
@settings(deadline=None)
def test_a_comparison_costs_the_bits_of_its_interval_and_one(bias: int) -> None:
    low, high = bias, bias + 3 * 255
    cost = last_cost(affine(3, bias), NonNegative(1))
    assert cost == (0 if low >= 0 or high < 0 else max((-low - 1).bit_length(), high.bit_length()) + 1 + 1)


@pytest.mark.parametrize("node", [Rescale(1, 3, relu=False), Rescale(1, 3, relu=True), NonNegative(1)])
def test_a_number_whose_bits_are_wires_already_is_not_decomposed_again(node: Node) -> None:
    assert last_cost(affine(1, -128), node) == (1 if isinstance(node, Rescale) and node.relu else 0)


def test_a_maximum_costs_what_the_relu_of_the_difference_costs() -> None:
    assert last_cost(Gather((0,), np.array([1])), Gather((0,), np.array([0])), Maximum(1, 2), count=2) == 9 + 2
    assert last_cost(affine(1, 256), Maximum(0, 1)) == 0


def test_a_product_costs_one_and_by_a_constant_nothing() -> None:
    assert last_cost(affine(1, -100), Multiply(0, 1)) == 1
    assert last_cost(Multiply(0, 0)) == 1
    assert last_cost(Constant(exact([-3])), Multiply(0, 1)) == 0
    assert last_cost(Constant(exact([-3])), Multiply(1, 0)) == 0


def test_a_choice_costs_one_and_between_constants_nothing() -> None:
    condition, ten, four = NonNegative(1), Constant(exact([10])), Constant(exact([4]))
    assert last_cost(affine(1, -100), condition, ten, Select(2, 0, 3)) == 1
    assert last_cost(affine(1, -100), condition, ten, four, Select(2, 3, 4)) == 0
    assert last_cost(affine(1, 0), NonNegative(1), ten, Select(2, 0, 3)) == 0


def test_a_quotient_costs_the_bits_of_quotient_and_twice_of_remainder_and_two() -> None:
    assert last_cost(affine(1, 3), Quotient(0, 1)) == 7 + 2 * 9 + 2  # quotients to 85, divisors 3 to 258
    assert last_cost(Constant(exact([5])), Quotient(0, 1)) == 6 + 2 * 3 + 2
    assert last_cost(Constant(exact([8])), Quotient(0, 1)) == 5 + 3 + 1
    assert last_cost(affine(1, 300), Quotient(0, 1)) == 0


@pytest.mark.parametrize(("thresholds", "widest"), [((10,), 245), ((10, 100), 155), ((63, 127, 191), 63), ((), 0)])
def test_a_thermometer_costs_its_thresholds_and_two_range_checks(thresholds: tuple[int, ...], widest: int) -> None:
    nodes = circuit(affine(1, 0), Gather((0,), np.array([0])), Thermometer(1, (thresholds,)))
    booleans = {0: 0, 1: 1}.get(len(thresholds), len(thresholds) + 1)
    assert nodes.rows_of(3) == (booleans + 2 * (widest.bit_length() + 1) if thresholds else 0)
    assert nodes.rows_of(0) == 8  # the thermometer is on a computed value: the input keeps its range check


def test_an_input_that_a_thermometer_compares_needs_no_other_check() -> None:
    nodes = circuit(Gather((0,), np.array([1])), Thermometer(1, ((10, 100),)), count=2)
    assert nodes.rows_of(0) == 8
    assert nodes.rows_of(2) == 3 + 2 * (8 + 1)


def test_a_flag_is_its_own_thermometer() -> None:
    nodes = circuit(Thermometer(0, ((0,),)), bits=1)
    assert (nodes.rows_of(0), nodes.rows_of(1)) == (1, 0)


def test_a_thermometer_of_single_numbers_is_one_row_more_than_its_buckets() -> None:
    assert last_cost(Thermometer(0, ((0, 1, 2),)), bits=2) == 4 + 1


def test_a_function_costs_its_thermometer_and_a_product_or_nothing_if_its_slopes_are_equal() -> None:
    thermometer = Thermometer(0, ((9,),))
    assert last_cost(thermometer, Piecewise(0, 1, exact([2, -2]), exact([0, 36]))) == 1
    assert last_cost(thermometer, Piecewise(0, 1, exact([3, 3]), exact([0, 7]))) == 0
