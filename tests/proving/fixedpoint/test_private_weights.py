# SPDX-License-Identifier: GPL-3.0-or-later
"""Private weights: one program for every owner of an architecture, computing each owner's model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from proving_graphs import convolution, dense, fixed_and_real, graph_of, max_pool, mlp, random_rows, settings

from protocol.errors import WeightError
from proving.fixedpoint.bounds import program_bounds
from proving.fixedpoint.program import Linear as ProgramLinear
from proving.fixedpoint.program import Multiply, Parameter, Program
from proving.fixedpoint.quantise import quantise
from proving.importer.graph import Input, Node, Relu
from proving.settings import InputRange, ModelSettings, WeightMode, WeightSpec

TWELVE = WeightSpec(WeightMode.FOLDED, 12)
CENTRED = settings(InputRange("x", -64, 7, 6, scale=6), weights=TWELVE)


def _pictures(program: Program) -> list[Any]:
    """Everything about a program's nodes that a circuit depends on."""
    found: list[Any] = []
    for node in program.nodes:
        fields = [getattr(node, name) for name in node.__slots__]
        for each in fields:
            if hasattr(each, "indptr"):
                found += [each.indptr.tolist(), each.indices.tolist(), each.values.tolist()]
            else:
                found.append(each.tolist() if isinstance(each, np.ndarray) else each)
    return found


def test_two_owners_have_one_program_and_other_values() -> None:
    one, other = (quantise(mlp([6, 5, 3], seed), CENTRED) for seed in (1, 2))
    assert _pictures(one) == _pictures(other)
    assert one.parameter_values is not None and other.parameter_values is not None
    assert not np.array_equal(one.parameter_values, other.parameter_values)
    assert all(
        np.array_equal(a.low, b.low) and np.array_equal(a.high, b.high)
        for a, b in zip(program_bounds(one), program_bounds(other), strict=True)
    )


@pytest.mark.parametrize("mode", [WeightMode.FOLDED, WeightMode.POSEIDON])
def test_it_computes_the_model_as_the_circuit_with_constants_does(mode: WeightMode) -> None:
    graph = mlp([6, 8, 4, 2], 3)
    chosen = replace(CENTRED, weights=WeightSpec(mode, 12))
    rows = random_rows(chosen, 200)
    program, private, real = fixed_and_real(graph, chosen, rows)
    _, constant, _ = fixed_and_real(graph, replace(chosen, weights=WeightSpec()), rows)
    assert np.abs(private - real).max() <= 1.5 * np.abs(constant - real).max() + 2.0**-9
    (parameter,) = (each for each in program.nodes if isinstance(each, Parameter))
    # 6x8 + 8x4 + 4x2 weights, 14 biases of 16 bits in two limbs of 12.
    assert parameter.size == 88 + 14 * 2


def test_a_kernel_is_written_down_once() -> None:
    rng = np.random.default_rng(0)
    nodes: list[Node] = [Input(64), convolution(rng, 1, 8, 3, 3, 0), max_pool(3, 6, 1), Relu(2)]
    nodes.append(dense(rng.normal(size=(2, 27)) * 0.2, [0.1, -0.1], 3))
    chosen = settings(InputRange("x", 0, 8, 64, scale=8), weights=TWELVE)
    program, fixed, real = fixed_and_real(graph_of(nodes), chosen, random_rows(chosen, 30))
    assert np.abs(fixed - real).max() < 0.05
    (parameter,) = (each for each in program.nodes if isinstance(each, Parameter))
    assert parameter.size == 27 + 3 * 2 + 54 + 2 * 2
    products = [len(program_bounds(program)[ref].low) for ref, each in enumerate(program.nodes)
                if isinstance(each, Multiply)]
    assert products == [3 * 36 * 9, 54]


def test_raw_inputs_of_any_size_have_weights_of_their_size() -> None:
    """An income beside a flag: eight bits are enough for both, since each is a fraction of its range."""
    chosen = settings(
        InputRange("income", 0, 19), InputRange("flag", 0, 1), weight_bits=6, weights=WeightSpec(WeightMode.FOLDED, 8)
    )
    graph = graph_of([Input(2), dense([[1.2345e-6, 0.7]], [0.1], 0)])
    _, fixed, real = fixed_and_real(graph, chosen, random_rows(chosen, 200))
    assert np.abs(fixed - real).max() <= 2 * 2.0**-7 + 2.0**-8


def test_the_low_end_of_an_input_is_in_the_owners_bias() -> None:
    """Years: the range of the bias is that of a centred feature, whatever the year 2000 adds to it."""
    chosen = settings(InputRange("year", 1980, 6, 2), weights=TWELVE, weight_bits=6)
    graph = graph_of([Input(2), dense([[0.1, -0.03]], [-2000 * 0.07], 0)])
    _, fixed, real = fixed_and_real(graph, chosen, random_rows(chosen, 100))
    assert np.abs(fixed - real).max() <= 3 * 2.0**-7
    program = quantise(graph, chosen)
    assert any(isinstance(each, ProgramLinear) for each in program.nodes)


def test_weights_that_do_not_fit_are_refused_with_the_layer_and_the_bits_they_need() -> None:
    graph = graph_of([Input(1), dense([[3.0]], [0], 0)])
    chosen = settings(InputRange("x", 0, 8, scale=8), weights=WeightSpec(WeightMode.FOLDED, 8), weight_bits=7)
    with pytest.raises(WeightError, match=r"node 1.*10 bits"):
        quantise(graph, chosen)
    assert quantise(graph, replace(chosen, weight_bits=5)).parameter_values is not None


def test_a_bias_beyond_its_limbs_is_refused() -> None:
    graph = graph_of([Input(1), dense([[1.0]], [3000.0], 0)])
    with pytest.raises(WeightError, match="bias"):
        quantise(graph, settings(InputRange("x", 0, 8, scale=8), weights=TWELVE, weight_bits=6))


def test_different_values_under_one_tie_are_refused() -> None:
    layer = replace(dense([[1.0, 2.0]], [0.0], 0), tied=np.array([0, 0]))
    with pytest.raises(WeightError, match="shared"):
        quantise(graph_of([Input(2), layer]), settings(InputRange("x", 0, 8, 2, scale=8), weights=TWELVE))


def test_a_model_without_trained_layers_has_nothing_to_hide() -> None:
    graph = graph_of([Input(1), Relu(0)])
    with pytest.raises(WeightError, match="no trained layer"):
        quantise(graph, settings(InputRange("x", 0, 8), weights=TWELVE))


@pytest.mark.parametrize("bits", [3, 8, 13, 20])
def test_biases_survive_being_cut_into_limbs(bits: int) -> None:
    chosen = settings(
        InputRange("x", 0, 1), weights=WeightSpec(WeightMode.FOLDED, bits), weight_bits=1, fractional_bits=8
    )
    for bias in (-127.99609375, -1.0, -2.0**-8, 0.0, 2.0**-8, 99.5, 127.99609375):
        graph = graph_of([Input(1), dense([[0.5]], [bias], 0)])
        _, fixed, real = fixed_and_real(graph, chosen, np.array([[0], [1]]))
        assert np.array_equal(fixed, real)


def test_settings_are_those_of_the_architecture_alone() -> None:
    """Scales do not look at the weights: a model with tiny weights has the scales of one with large ones."""
    def scales(factor: float) -> tuple[int, ...]:
        chosen: ModelSettings = CENTRED
        return quantise(graph_of([Input(6), dense(np.full((2, 6), factor), [0, 0], 0), Relu(1)]), chosen).scales
    assert scales(1e-4) == scales(1.5)
