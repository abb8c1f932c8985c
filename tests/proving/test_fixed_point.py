# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixed-point program: exact thresholds, exact bounds, close to the float model."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from proving_models import HIGH, LOW, exported, graph, predicate, public, sample_rows, tensor, tiny

from protocol.errors import CompileSettingsError, WeightError
from proving.accuracy import compare
from proving.groth16.backend import GROTH16
from proving.interpreter import affine, open_outputs, run
from proving.onnx_import import import_onnx
from proving.quantise import quantise
from proving.settings import InputRange, OutputMode, Settings, logit_threshold

INPUTS = st.tuples(*[st.integers(LOW, HIGH)] * 4)
MLP = quantise(import_onnx(exported("mlp")), public())


@given(st.integers(1, 10**6 - 1).filter(lambda n: n != 500_000), st.integers(8, 60))
@settings(deadline=None)
def test_the_threshold_is_the_least_integer_score_that_reaches_the_probability(n: int, bits: int) -> None:
    odds = Fraction(n, 10**6 - n)
    least = logit_threshold(f"{Decimal(n) / 10**6:f}", bits)
    with localcontext() as context:
        context.prec = 100
        at, below = ((Decimal(score) / (1 << bits)).exp() for score in (least, least - 1))
    assert Fraction(below) < odds <= Fraction(at)


def test_a_probability_of_one_half_is_the_logit_zero() -> None:
    assert logit_threshold("0.5", 40) == logit_threshold("0.50", 8) == 0


@pytest.mark.parametrize("text", ["0", "1", "-0.1", "1.5", "nan", "inf", "", "x", "0." + "1" * 40, "0,5"])
def test_a_threshold_that_is_no_probability_is_refused(text: str) -> None:
    with pytest.raises(CompileSettingsError):
        predicate(text)


@given(INPUTS)
@settings(max_examples=200, deadline=None)
def test_no_neuron_leaves_its_interval(inputs: tuple[int, ...]) -> None:
    trace = run(MLP, inputs)
    layers = [*(layer.affine for layer in MLP.hidden), MLP.score]
    for sums, layer in zip(trace.pre_activations, layers, strict=True):
        assert all(b.low <= z <= b.high for z, b in zip(sums, layer.bounds, strict=True))


def test_first_layer_bounds_are_reached() -> None:
    layer = MLP.hidden[0].affine
    for row, bound, bias in zip(layer.weights, layer.bounds, layer.biases, strict=True):
        worst = [127 if weight > 0 else 0 for weight in row]
        assert bias + sum(w * v for w, v in zip(row, worst, strict=True)) == bound.high


def test_the_interpreter_computes_the_network_by_hand() -> None:
    program = quantise(import_onnx(tiny().SerializeToString()), public(count=2))
    # 0.5 * 8 + 0.25 * 4 + 1 = 6; -8 + 4 - 2 < 0; 6 + 0.25
    assert run(program, (8, 4)).scores == (int(6.25 * 2**program.scale_bits),)
    assert open_outputs(program, run(program, (8, 4)).outputs) == (int(6.25 * 2**8),)


@given(INPUTS)
@settings(max_examples=100, deadline=None)
def test_public_scores_open_to_the_floor_of_the_logit(inputs: tuple[int, ...]) -> None:
    trace = run(MLP, inputs)
    drop = MLP.scale_bits - 8
    assert open_outputs(MLP, trace.outputs) == tuple(score >> drop for score in trace.scores)


def test_several_logits_are_packed_and_open_again() -> None:
    program = quantise(import_onnx(exported("mlp", 3)), public())
    trace = run(program, (5, -3, 90, 17))
    assert len(trace.outputs) == program.output_elements == 1
    assert open_outputs(program, trace.outputs) == tuple(s >> program.scale_bits - 8 for s in trace.scores)


@pytest.mark.parametrize("kind", ["logistic", "mlp", "wide"])
@pytest.mark.parametrize("classes", [2, 3])
def test_decisions_agree_with_onnxruntime(kind: str, classes: int) -> None:
    model = exported(kind, classes)
    rows = [tuple(map(int, row)) for row in sample_rows(seed=5)]
    figures = {each.name: each.value for each in compare(model, GROTH16.compile(model, public()), rows)}
    assert float(figures["decision_agreement"]) >= 0.995
    assert float(figures["max_probability_error"]) < 1e-3


def test_an_unreachable_threshold_is_refused() -> None:
    model = graph(
        [*tiny().graph.node], [tensor("w", [[0, 0], [0, 0]]), tensor("b", [1, 1]),
                               tensor("v", [[1], [1]]), tensor("u", [0])]
    )
    with pytest.raises(CompileSettingsError, match="both sides"):
        quantise(import_onnx(model.SerializeToString()), predicate("0.1", count=2))


def test_weights_that_overflow_the_field_are_refused() -> None:
    model = tiny()
    scales = [1e19, 1e19]
    chain = ["X", *(f"m{i}" for i in range(6))]
    nodes = [helper.make_node("Mul", [a, "s"], [b]) for a, b in pairwise(chain)]
    model.graph.node[0].input[0] = chain[-1]
    grown = graph([*nodes, *model.graph.node], [*model.graph.initializer, tensor("s", scales)])
    network = import_onnx(grown.SerializeToString())
    with pytest.raises(WeightError, match="240 bits"):
        quantise(network, public(count=2))


def test_a_weight_beyond_all_reason_is_refused() -> None:
    model = tiny()
    model.graph.initializer[1].CopyFrom(tensor("b", [3e38, 0]))
    with pytest.raises(WeightError, match="2\\^64"):
        import_onnx(model.SerializeToString())


def test_settings_that_do_not_fit_the_model_are_refused() -> None:
    network = import_onnx(exported("mlp", 3))
    with pytest.raises(CompileSettingsError, match="4 inputs"):
        quantise(network, public(count=3))
    with pytest.raises(CompileSettingsError, match="one logit"):
        quantise(network, predicate())
    twins = (InputRange("x", 0, 1), InputRange("x", 0, 1))
    with pytest.raises(CompileSettingsError, match="same name"):
        Settings(twins, OutputMode.PUBLIC)
    with pytest.raises(CompileSettingsError, match="threshold"):
        Settings(twins[:1], OutputMode.PUBLIC, "0.5")


def test_raw_magnitudes_keep_their_precision() -> None:
    # An income of 300,000 beside a flag: the tiny weight of the income must not be rounded away.
    model = graph(
        [helper_scaler(), *exported_tail()], [tensor("w", [[1.0], [1.0]])]
    )
    inputs = (InputRange.covering("income", 0, 300_000), InputRange.covering("flag", 0, 1))
    program = quantise(import_onnx(model.SerializeToString()), Settings(inputs, OutputMode.PUBLIC))
    for income in (0, 1, 150_000, 300_000):
        score = run(program, (income, 1)).scores[0] / 2**program.scale_bits
        assert math.isclose(score, income / 100_000 + 1, abs_tol=2**-15)
    assert affine(program.score, (0, 0)) == program.score.biases


def helper_scaler() -> object:
    return helper.make_node("Scaler", ["X"], ["s"], domain="ai.onnx.ml", offset=[0.0, 0.0], scale=[1e-5, 1.0])


def exported_tail() -> list[object]:
    return [helper.make_node("MatMul", ["s", "w"], ["l"]), helper.make_node("Sigmoid", ["l"], ["out"])]
