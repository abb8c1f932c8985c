# SPDX-License-Identifier: GPL-3.0-or-later
"""Each node of a graph in fixed point, beside float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from proving_graphs import dense, fixed_and_real, graph_of, random_rows, settings

from protocol.errors import CompileSettingsError, UnsupportedOperatorError, WeightError
from proving.fixedpoint.program import Maximum as ProgramMaximum
from proving.fixedpoint.program import Quotient, Rescale
from proving.fixedpoint.quantise import quantise
from proving.importer.graph import (
    Apply,
    ArgMax,
    Compare,
    Comparison,
    Constant,
    Divide,
    Function,
    Gather,
    Input,
    Linear,
    Maximum,
    Multiply,
    Node,
    Relu,
    Round,
    Rounding,
    Select,
)
from proving.settings import Encoding, InputRange, ModelSettings, OutputSpec, Reveal

SIGNED = settings(InputRange("x", -40, 7, 6, scale=4))
"""Six inputs from -2.5 to 5.4375, in sixteenths."""
INTEGERS = settings(InputRange("x", -5, 3, 6))
FIRST, SECOND = (Gather((0,), np.arange(start, start + 3)) for start in (0, 3))


def _differ_by(chosen: ModelSettings, *nodes: Node, rows: int = 200) -> float:
    graph = graph_of([Input(6), *nodes])
    _, fixed, real = fixed_and_real(graph, chosen, random_rows(chosen, rows))
    return float(np.abs(fixed - real).max())


def _mix(seed: int = 1, rows: int = 3) -> Linear:
    rng = np.random.default_rng(seed)
    return dense(rng.normal(size=(rows, 6)), rng.normal(size=rows), 0)


def test_a_layer_is_off_by_the_rounding_of_its_weights() -> None:
    # Six weights and a bias, each off by 2^-9 of what it multiplies at most.
    assert _differ_by(SIGNED, _mix()) <= 6 * 2.0**-9 * 1.001 + 2.0**-9


def test_a_relu_rounds_to_the_nearest() -> None:
    chosen = settings(InputRange("x", -4000, 13, 1, scale=12), fractional_bits=6)
    graph = graph_of([Input(1), Relu(0)])
    _, fixed, real = fixed_and_real(graph, chosen, np.arange(-4000, 4000)[:, None])
    assert np.abs(fixed - real).max() == 2.0**-7
    # Halves go up; the rest has no bias.
    assert abs(float((fixed - real)[real > 0].mean())) <= 2.0**-13


@pytest.mark.parametrize("nodes", [
    [FIRST, SECOND, Multiply(1, 2)],
    [Multiply(0, 0)],
    [FIRST, SECOND, Compare(Comparison.GREATER, 1, 2)],
    [FIRST, SECOND, Compare(Comparison.GREATER_EQUAL, 1, 2)],
    [FIRST, SECOND, Compare(Comparison.EQUAL, 1, 2)],
    [FIRST, SECOND, Compare(Comparison.EQUAL, 1, 1)],
    [FIRST, SECOND, Compare(Comparison.GREATER, 1, 2), Select(3, 1, 2)],
    [Maximum(0, np.array([[0, 1, 2], [3, 4, 5], [5, 0, 2]]))],
    [Maximum(0, np.array([[0], [3]]))],
    [Maximum(0, np.arange(6)[None, :])],
    [ArgMax(0, np.arange(6).reshape(1, 6))],
    [ArgMax(0, np.arange(6).reshape(2, 3))],
    [ArgMax(0, np.array([[0, 1, 2, 3, 4], [4, 4, 3, 3, 5]]), last=True)],
    [Constant(np.array([2.0, -0.75, 3.0])), Gather((0, 1), np.array([0, 6, 7, 8, 5]))],
    [Relu(0)],
    [dense([[1, -1, 0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25, 0, 0]], [0.5, 0], 0, trained=False)],
    *([[Round(0, rounding)] for rounding in Rounding]),
    *([[dense(np.eye(6) / 2, np.zeros(6), 0, trained=False), Round(1, rounding)] for rounding in Rounding]),
], ids=lambda nodes: "-".join(type(each).__name__ for each in nodes))
@pytest.mark.parametrize("chosen", [SIGNED, INTEGERS], ids=["sixteenths", "integers"])
def test_what_needs_no_rounding_is_exact(nodes: list[Node], chosen: ModelSettings) -> None:
    assert _differ_by(chosen, *nodes) == 0


@pytest.mark.parametrize("rounding", Rounding)
def test_whole_numbers_behind_a_layer_are_off_only_at_a_step(rounding: Rounding) -> None:
    graph = graph_of([Input(6), _mix(), Round(1, rounding)])
    before = graph_of([Input(6), _mix()])
    rows = random_rows(SIGNED, 300)
    _, fixed, real = fixed_and_real(graph, SIGNED, rows)
    _, _, exact = fixed_and_real(before, SIGNED, rows)
    place = 0.5 if rounding is Rounding.NEAREST_EVEN else 0.0
    near_a_step = np.abs((exact + place) - np.rint(exact + place)) < 0.02
    assert np.array_equal(fixed[~near_a_step], real[~near_a_step])
    assert np.abs(fixed - real).max() <= 1


def test_a_quotient_is_off_by_half_a_unit() -> None:
    chosen = settings(InputRange("x", -100, 8, 3), InputRange("y", 3, 6, 3))
    assert _differ_by(chosen, FIRST, SECOND, Divide(1, 2)) <= 2.0**-9


def test_a_reciprocal_is_a_quotient() -> None:
    chosen = settings(InputRange("x", 1, 10, 6, scale=5))
    program, fixed, real = fixed_and_real(
        graph_of([Input(6), Apply(0, Function.RECIPROCAL)]), chosen, random_rows(chosen, 300)
    )
    assert any(isinstance(each, Quotient) for each in program.nodes)
    assert np.abs(fixed - real).max() <= 2.0**-9


def test_what_could_divide_by_a_negative_number_is_refused() -> None:
    with pytest.raises(UnsupportedOperatorError, match="node 3"):
        quantise(graph_of([Input(6), FIRST, SECOND, Divide(1, 2)]), SIGNED)


def test_a_divisor_of_zero_is_held_at_its_smallest_unit() -> None:
    chosen = settings(InputRange("x", 0, 3, 6))
    _, fixed, _ = fixed_and_real(
        graph_of([Input(6), FIRST, SECOND, Divide(1, 2)]), chosen, np.array([[5, 0, 7, 0, 0, 2]])
    )
    assert fixed.tolist() == [[5.0, 0.0, 3.5]]


def test_softmax_inside_a_model() -> None:
    """exp(x - max) / sum, as the importer writes it."""
    top = Maximum(1, np.arange(6)[None, :])
    below = dense(np.hstack([np.eye(6), -np.ones((6, 1))]), np.zeros(6), 1, 2, trained=False)
    total = dense(np.ones((1, 6)), [0], 4, trained=False)
    chosen = settings(InputRange("x", -40, 7, 6, scale=4), fractional_bits=10)
    same = Gather((5,), np.zeros(6, np.int64))
    nodes: list[Node] = [_mix(3, 6), top, below, Apply(3, Function.EXP), total, same, Divide(4, 6)]
    assert _differ_by(chosen, *nodes) <= 4 * 2.0**-10


def test_a_maximum_in_front_of_a_relu_costs_a_window_less_one_and_one() -> None:
    groups = np.arange(24).reshape(6, 4)
    rng = np.random.default_rng(0)
    layer = dense(rng.normal(size=(24, 6)), np.zeros(24), 0)
    program = quantise(graph_of([Input(6), layer, Maximum(1, groups), Relu(2)]), SIGNED)
    maxima = [program.nodes[ref.left] for ref in program.nodes if isinstance(ref, ProgramMaximum)]
    assert [len(each.index) for each in maxima if hasattr(each, "index")] == [12, 6]
    # The other Rescale cuts the score that is shown.
    assert len([each for each in program.nodes if isinstance(each, Rescale)]) <= 2


def test_overlapping_windows_share_the_pairs_that_meet_in_both() -> None:
    groups = np.array([[0, 1, 2], [0, 1, 3], [1, 0, 4]])
    program = quantise(graph_of([Input(6), Maximum(0, groups)]), SIGNED)
    first = next(each for each in program.nodes if isinstance(each, ProgramMaximum))
    gather = program.nodes[first.left]
    assert hasattr(gather, "index") and len(gather.index) == 1


@pytest.mark.parametrize(("weights", "added"), [
    ([[1, 1, -1]], 0), ([[0.25, 0.25, 0.5]], 2), ([[3, 5, 7]], 0), ([[1 / 3, 1 / 3, 1 / 3]], 10),
])
def test_the_scale_of_a_map_is_no_larger_than_its_coefficients_need(weights: Any, added: int) -> None:
    chosen = settings(InputRange("x", 0, 1, 3))
    program = quantise(graph_of([Input(3), dense(weights, [0], 0, trained=False)]), chosen)
    assert program.scale_bits == added


def test_large_inputs_have_weights_of_more_bits() -> None:
    """An income of up to 2^19 beside a flag: the weight on the income is off by half a unit over its whole range."""
    chosen = settings(InputRange("income", 0, 19), InputRange("flag", 0, 1))
    graph = graph_of([Input(2), dense([[1.2345e-5, 0.7]], [0.1], 0)])
    _, fixed, real = fixed_and_real(graph, chosen, random_rows(chosen, 200))
    assert np.abs(fixed - real).max() <= 3 * 2.0**-9


def test_an_image_of_bytes_costs_what_one_of_fractions_does() -> None:
    weights = np.random.default_rng(0).normal(size=(4, 9))
    scales = []
    for field, factor in ((InputRange("x", 0, 8, 9), 255), (InputRange("x", 0, 8, 9, scale=8), 1)):
        program = quantise(graph_of([Input(9), dense(weights / factor, np.zeros(4), 0)]), settings(field))
        scales.append(program.scale_bits)
    assert scales == [16, 16]


def test_the_offset_of_an_input_is_in_the_bias_whatever_its_size() -> None:
    """A year in 2^40 to 2^40 + 255: the weights are rounded for the 255, not for the 2^40."""
    low = 1 << 40
    chosen = settings(InputRange("x", low, 8, 3))
    graph = graph_of([Input(3), dense([[0.013, -0.02, 0.0071]], [-low * (0.013 - 0.02 + 0.0071)], 0)])
    _, fixed, real = fixed_and_real(graph, chosen, random_rows(chosen, 50))
    assert np.abs(fixed - real).max() <= 4 * 2.0**-9 + 2.0**-12


@pytest.mark.parametrize("weight", [1e75, 1e300])
def test_weights_that_overflow_any_scale_are_refused_by_layer(weight: float) -> None:
    with pytest.raises(WeightError, match="node 1"):
        quantise(graph_of([Input(1), dense([[weight]], [0], 0)]), settings(InputRange("x", 0, 8)))


def test_sums_that_overflow_are_refused_by_layer() -> None:
    graph = graph_of([Input(1), dense([[1e62]], [0], 0), Relu(1), dense([[1e62]], [0], 2)])
    with pytest.raises(WeightError, match="node"):
        quantise(graph, settings(InputRange("x", 0, 8)))


def test_inputs_that_the_settings_do_not_describe_are_refused() -> None:
    with pytest.raises(CompileSettingsError, match="6 inputs"):
        quantise(graph_of([Input(6), Relu(0)]), settings(InputRange("x", 0, 8, 5)))


def test_coded_floats_are_for_trees_alone() -> None:
    chosen = settings(InputRange("x", 0, 32, 6, encoding=Encoding.FLOAT32))
    for node in (_mix(), Relu(0), Multiply(0, 0)):
        with pytest.raises(CompileSettingsError, match="float32"):
            quantise(graph_of([Input(6), node]), chosen)


def test_an_unknown_output_is_refused_by_name() -> None:
    chosen = ModelSettings((InputRange("x", 0, 8, 6),), OutputSpec(Reveal.PUBLIC, target="logits"))
    with pytest.raises(CompileSettingsError, match="'logits'"):
        quantise(graph_of([Input(6), _mix()]), chosen)
