# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounds enclose what programs compute; the fast interpreter computes what the oracle does."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proving_programs import RandomProgram, program_of, random_inputs

from protocol.errors import InputRangeError, InputShapeError, WeightError
from proving.fixedpoint import interpreter
from proving.fixedpoint.batch import Evaluator, run_batch
from proving.fixedpoint.bounds import analyse, program_bounds
from proving.fixedpoint.program import Gather, Input, Linear, Multiply, Node, Rescale
from proving.settings import InputRange, WeightMode
from proving.sparse import exact, from_rows


@settings(max_examples=120, deadline=None)
@given(seed=st.integers(0, 2**32), mode=st.sampled_from([WeightMode.CONSTANT, WeightMode.FOLDED]))
def test_every_value_lies_in_its_bounds_and_both_interpreters_agree(seed: int, mode: WeightMode) -> None:
    generator = random.Random(seed)
    program = RandomProgram(generator, mode).grow(generator.randint(1, 12))
    bounds = program_bounds(program)
    rows = [random_inputs(program, generator) for _ in range(6)]
    evaluator = Evaluator(program, bounds)
    batch = evaluator.scores(rows)
    for row, scores in zip(rows, batch, strict=True):
        trace = interpreter.run(program, row)
        assert tuple(map(int, scores)) == trace.scores
        for values, fast, bound in zip(trace.values, evaluator.trace(row), bounds, strict=True):
            assert values == tuple(map(int, fast))
            assert all(low <= x <= high for low, x, high in zip(bound.low, values, bound.high, strict=True))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_linear_bounds_are_reached(seed: int) -> None:
    generator = random.Random(seed)
    inputs = (InputRange("x", generator.randint(-9, 9), 3, 3),)
    rows = [{c: generator.randint(-5, 5) for c in range(3)} for _ in range(2)]
    nodes: list[Node] = [Input(3), Linear((0,), from_rows(3, rows), exact([1, -7]))]
    bounds = analyse(nodes, inputs)[1]
    for index, row in enumerate(rows):
        least = sum(7 * min(each, 0) for each in row.values()) + [1, -7][index]
        most = sum(7 * max(each, 0) for each in row.values()) + [1, -7][index]
        assert [int(bounds.low[index]), int(bounds.high[index])] == [least, most]


def _over_a_signed_input(*more: Node) -> list[int]:
    """Bounds of the last node, over x in -8 to 7 (node 1)."""
    nodes: list[Node] = [Input(1), Linear((0,), from_rows(1, [{0: 1}]), exact([-8])), *more]
    bounds = analyse(nodes, (InputRange("x", 0, 4),))[-1]
    return [int(bounds.low[0]), int(bounds.high[0])]


def test_an_absolute_value_is_not_negative() -> None:
    absolute = Linear((1, 2), from_rows(2, [{0: -1, 1: 2}]), exact([0]))
    assert _over_a_signed_input(Rescale(1, 0, True), absolute) == [0, 8]


def test_a_leaky_relu_keeps_its_slopes_apart() -> None:
    leaky = Linear((1, 2), from_rows(2, [{0: 1, 1: 9}]), exact([0]))
    assert _over_a_signed_input(Rescale(1, 0, True), leaky) == [-8, 70]


def test_a_relu_taken_twice_beside_its_source_is_not_counted_twice() -> None:
    """Each row may use an entry for one pair only: here x is the source of a ReLU and a factor of a product."""
    nodes = (Rescale(1, 0, True), Multiply(0, 1), Linear((1, 2, 3), from_rows(3, [{0: 1, 1: -1, 2: -1}]), exact([0])))
    low, high = _over_a_signed_input(*nodes)
    values = [x - max(x, 0) - (x + 8) * x for x in range(-8, 8)]
    assert low <= min(values) and max(values) <= high


def test_a_signed_weight_times_an_activation_has_the_interval_of_the_product() -> None:
    """u x - 8 x, with u in 0 to 15 and x in 0 to 7, is w x with w in -8 to 7."""
    nodes: list[Node] = [
        Input(2), Gather((0,), np.array([0])), Gather((0,), np.array([1])), Multiply(1, 2),
        Linear((3, 2), from_rows(2, [{0: 1, 1: -8}]), exact([0])),
    ]
    bounds = analyse(nodes, (InputRange("u", 0, 4), InputRange("x", 0, 3)))[-1]
    assert (int(bounds.low[0]), int(bounds.high[0])) == (-56, 49)


def test_a_square_is_not_negative() -> None:
    assert _over_a_signed_input(Multiply(1, 1)) == [0, 64]


def test_values_beyond_the_field_are_refused_with_the_name_of_the_layer() -> None:
    nodes: list[Node] = [Input(1), *(Multiply(each, each) for each in range(5))]
    program = program_of(nodes, (InputRange("x", 0, 10),), labels=("x", "a", "b", "c", "d", "deep"))
    with pytest.raises(WeightError, match="'deep'"):
        program_bounds(program)


def test_rows_of_another_shape_or_out_of_range_are_refused() -> None:
    program = program_of([Input(2)], (InputRange("a", -4, 3), InputRange("b", 0, 1)))
    assert run_batch(program, [[-4, 1], [3, 0]]).tolist() == [[0, 1], [7, 0]]
    for rows in ([[1]], [[1, 1, 1]], [[0.5, 1]]):
        with pytest.raises(InputShapeError):
            run_batch(program, rows)  # type: ignore[arg-type]
    with pytest.raises(InputRangeError, match="'a'"):
        run_batch(program, [[4, 0]])
    with pytest.raises(InputRangeError, match="'b'"):
        interpreter.run(program, [0, 2])
    with pytest.raises(InputShapeError):
        interpreter.run(program, [0])


def test_batches_are_exact_beyond_floats() -> None:
    """Sums near 2^62 and beyond, in matrix products over many rows."""
    for bits in (20, 34, 62):
        rng = random.Random(bits)
        inputs = (InputRange("x", 0, bits, 4),)
        rows = [{c: rng.randint(-(1 << 40), 1 << 40) for c in range(4)} for _ in range(3)]
        program = program_of([Input(4), Linear((0,), from_rows(4, rows), exact([1 << 50, 3, -(1 << 70)]))], inputs)
        data = [random_inputs(program, rng) for _ in range(20)]
        found = run_batch(program, data)
        assert [tuple(map(int, each)) for each in found] == [interpreter.run(program, row).scores for row in data]
