# SPDX-License-Identifier: GPL-3.0-or-later
"""Trained models in fixed point decide as they do in float; calibration and report say so in figures."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from proving_graph_eval import scores as float_scores
from proving_graphs import convolution, dense, graph_of, lenet, max_pool, settings
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from protocol.errors import CompileSettingsError, InputShapeError, ProvingError
from proving.fixedpoint.accuracy import float_answers, report
from proving.fixedpoint.batch import Evaluator, run_batch
from proving.fixedpoint.bounds import program_bounds
from proving.fixedpoint.calibrate import Target, calibrate
from proving.fixedpoint.cost import total_cost
from proving.fixedpoint.quantise import quantise
from proving.importer.graph import Graph, Input, Link, Node, Relu
from proving.importer.model import import_model
from proving.settings import InputRange, ModelSettings, OutputSpec, Predicate, Reveal, WeightMode, WeightSpec


@dataclass(frozen=True)
class Trained:
    """A model with its graph, settings at 8 bits, and raw rows to learn from (calibrate) and to hold out."""

    model: bytes
    graph: Graph
    settings: ModelSettings
    seen: Any
    held_out: Any
    truth: list[str]


def _trained(estimator: Any, data: Any, target: Any, fields: tuple[InputRange, ...]) -> Trained:
    """Train on two thirds of the rows, as raw integers stand for them."""
    scale = np.repeat([2.0**each.scale for each in fields], [each.count for each in fields])
    raw = np.rint(data * scale).astype(np.int64)
    rows = np.random.default_rng(0).permutation(len(raw))
    cut = 2 * len(rows) // 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit((raw / scale)[rows[:cut]], target[rows[:cut]])
    model = to_onnx(estimator, data[:1].astype(np.float32), options=_options(estimator)).SerializeToString()
    seen, held_out = raw[rows[:cut]], raw[rows[cut:]]
    return Trained(
        model, import_model(model), settings(*fields), seen, held_out, [str(each) for each in target[rows[cut:]]]
    )


def _options(estimator: Any) -> dict[str, Any]:
    return {"zipmap": False} if hasattr(estimator, "predict_proba") else {}


@lru_cache(maxsize=1)
def digits() -> Trained:
    data = load_digits()
    mlp = make_pipeline(StandardScaler(), MLPClassifier((64, 32), max_iter=40, random_state=0))
    return _trained(mlp, data.data, data.target, (InputRange("pixel", 0, 5, 64),))


@lru_cache(maxsize=2)
def cancer(kind: str) -> Trained:
    data = load_breast_cancer()
    tops = np.ceil(np.log2(data.data.max(axis=0)))
    fields = tuple(
        InputRange(name[:64], 0, 16, scale=int(max(0, 15 - top)))
        for name, top in zip(data.feature_names, tops, strict=True)
    )
    last = LogisticRegression() if kind == "logistic" else MLPClassifier((16, 8), max_iter=150, random_state=0)
    return _trained(make_pipeline(StandardScaler(), last), data.data, data.target, fields)


@pytest.mark.parametrize(
    "make", [digits, lambda: cancer("logistic"), lambda: cancer("mlp")], ids=["digits", "lr", "mlp"]
)
def test_decisions_at_eight_bits_are_those_of_onnxruntime_on_rows_held_out(make: Any) -> None:
    trained = make()
    program = quantise(trained.graph, trained.settings)
    found = report(trained.model, trained.graph, program, trained.held_out, trained.truth)
    assert found.agreement is not None and found.float_accuracy is not None and found.circuit_accuracy is not None
    assert (1 - found.agreement) * found.rows <= max(1, 0.005 * found.rows)
    assert found.max_error <= 0.05 and found.mean_error <= found.max_error
    assert found.float_accuracy > 0.9 and abs(found.circuit_accuracy - found.float_accuracy) <= 1 - found.agreement
    assert found.constraints == total_cost(program) == sum(count for _, count in found.layers)


def test_a_cnn_with_trained_head_decides_alike() -> None:
    data = load_digits()
    images = data.data.astype(np.int64)
    rng = np.random.default_rng(1)
    nodes: list[Node] = [Input(64), convolution(rng, 1, 8, 16, 3, 0), max_pool(16, 6, 1), Relu(2)]
    chosen = settings(InputRange("pixel", 0, 5, 64, scale=4))
    fine = quantise(graph_of(nodes), replace(chosen, fractional_bits=20, weight_bits=20))
    features = run_batch(fine, images) / 2.0**fine.scale_bits
    head = RidgeClassifier().fit(features[:1200], data.target[:1200])
    layers: list[Node] = [*nodes, dense(head.coef_, head.intercept_, 3)]
    graph = graph_of(layers, link=Link.SOFTMAX, labels=[str(each) for each in range(10)])
    expected = (features[1200:] @ head.coef_.T + head.intercept_).argmax(axis=1)
    assert (expected == data.target[1200:]).mean() > 0.9
    for spec in (WeightSpec(), WeightSpec(WeightMode.FOLDED, 12)):
        found = run_batch(quantise(graph, replace(chosen, weights=spec)), images[1200:])
        assert int((found.argmax(axis=1) != expected).sum()) <= 0.005 * len(expected)


def test_lenet_is_quantised_and_its_rows_are_near_the_float_models() -> None:
    graph = lenet()
    program = quantise(graph, settings(InputRange("image", 0, 8, 784)))
    bounds = program_bounds(program)
    assert 100_000 < total_cost(program, bounds) < 120_000
    rows = np.random.default_rng(0).integers(0, 256, (64, 784))
    found = Evaluator(program, bounds).scores(rows)
    real = np.stack([float_scores(graph, row.astype(float)) for row in rows[:8]])
    assert np.abs(found[:8] / 2.0**program.scale_bits - real).max() < 0.2


def test_programs_are_the_same_again() -> None:
    trained = cancer("mlp")
    one, other = (quantise(trained.graph, trained.settings) for _ in range(2))
    assert [repr(each.tolist()) for each in _arrays(one)] == [repr(each.tolist()) for each in _arrays(other)]


def _arrays(program: Any) -> list[Any]:
    found = []
    for node in program.nodes:
        for name in node.__slots__:
            value = getattr(node, name)
            parts = (value.indptr, value.indices, value.values) if hasattr(value, "indptr") else (value,)
            found += [each for each in parts if isinstance(each, np.ndarray)]
    return found


def test_calibration_reaches_its_target_at_fewer_constraints() -> None:
    trained = cancer("mlp")
    found = calibrate(trained.model, trained.graph, trained.settings, trained.seen, Target(1.0, 0.02))
    assert found.agreement == 1.0 and found.max_error <= 0.02
    program = quantise(trained.graph, found.settings)
    assert total_cost(program) == found.constraints < total_cost(quantise(trained.graph, trained.settings))
    # One bit less of both misses the target.
    less = replace(
        found.settings,
        fractional_bits=found.settings.fractional_bits - 1, weight_bits=found.settings.weight_bits - 1,
    )
    worse = report(trained.model, trained.graph, quantise(trained.graph, less), trained.seen)
    assert worse.max_error > 0.02 or worse.agreement != 1.0


def test_calibration_finds_the_width_of_private_weights() -> None:
    trained = cancer("logistic")
    chosen = replace(trained.settings, weights=WeightSpec(WeightMode.FOLDED, 8))
    found = calibrate(trained.model, trained.graph, chosen, trained.seen, Target(max_error=0.02)).settings
    program = quantise(trained.graph, found)
    assert report(trained.model, trained.graph, program, trained.seen).max_error <= 0.02
    with pytest.raises(Exception, match="bits"):
        quantise(trained.graph, replace(found, weights=replace(found.weights, bits=found.weights.bits - 1)))


def test_a_regressor_is_calibrated_to_an_error_in_its_own_units() -> None:
    data = load_diabetes()
    fields = tuple(InputRange(name, -1024, 11, scale=12) for name in data.feature_names)
    trained = _trained(LinearRegression(), np.clip(data.data, -0.249, 0.249), data.target, fields)
    with pytest.raises(CompileSettingsError, match="maximal error"):
        calibrate(trained.model, trained.graph, trained.settings, trained.seen, Target())
    found = calibrate(trained.model, trained.graph, trained.settings, trained.seen, Target(max_error=0.5))
    assert found.agreement is None and found.max_error <= 0.5
    # float32 of the reference is off by some 1e-5 itself.
    with pytest.raises(CompileSettingsError, match="best had an error"):
        calibrate(trained.model, trained.graph, trained.settings, trained.seen, Target(max_error=1e-12))


def test_a_predicates_bit_is_the_decision() -> None:
    trained = cancer("mlp")
    output = OutputSpec(Reveal.PREDICATE, predicate=Predicate.THRESHOLD, threshold="0.9")
    program = quantise(trained.graph, replace(trained.settings, output=output))
    found = report(trained.model, trained.graph, program, trained.held_out)
    assert found.agreement is not None and found.agreement >= 0.99
    assert program.revealed is not None
    bits = Evaluator(program).values(program.revealed.ref, trained.held_out)[:, 0]
    logits = run_batch(program, trained.held_out)[:, 0] / 2.0**program.scale_bits
    assert np.array_equal(bits, logits >= np.log(9))


@pytest.mark.parametrize("at_most", [False, True])
def test_the_bit_of_a_threshold_on_a_plain_value_is_the_decision(at_most: bool) -> None:
    data = load_diabetes()
    fields = tuple(InputRange(name, -1024, 11, scale=12) for name in data.feature_names)
    trained = _trained(LinearRegression(), np.clip(data.data, -0.249, 0.249), data.target, fields)
    output = OutputSpec(
        Reveal.PREDICATE, predicate=Predicate.THRESHOLD, threshold="150", threshold_on="score", at_most=at_most
    )
    asked = replace(trained.settings, output=output)
    with pytest.raises(CompileSettingsError, match="maximal error"):
        calibrate(trained.model, trained.graph, asked, trained.seen, Target())
    found = calibrate(trained.model, trained.graph, asked, trained.seen, Target(max_error=5))
    assert found.agreement == 1.0
    program = quantise(trained.graph, found.settings)
    assert program.revealed is not None
    bits = Evaluator(program).values(program.revealed.ref, trained.seen)[:, 0]
    expected = float_answers(trained.model, trained.graph, program, trained.seen)
    assert np.array_equal(bits, expected.decisions) and 0.2 < bits.mean() < 0.8
    assert np.array_equal(bits, (expected.values[:, 0] <= 150) == at_most)


def test_a_threshold_that_is_a_public_input_does_not_disturb_the_report() -> None:
    trained = cancer("mlp")
    output = OutputSpec(Reveal.PREDICATE, predicate=Predicate.THRESHOLD, threshold_public=True)
    program = quantise(trained.graph, replace(trained.settings, output=output))
    assert report(trained.model, trained.graph, program, trained.held_out).max_error < 0.05
    field = program.inputs[-1]
    assert field.name == "threshold" and program.revealed is not None
    row = [int(each) for each in trained.held_out[0]]
    score = int(run_batch(program, [[*row, 0]])[0, 0]) / 2.0**program.scale_bits
    evaluator = Evaluator(program)
    for limit in (score - 0.1, score + 0.1):
        bit = evaluator.values(program.revealed.ref, [[*row, int(np.floor(limit * 2**field.scale))]])
        assert bit.tolist() == [[int(score >= limit)]]


def test_rows_of_another_shape_and_models_that_do_not_run_are_refused() -> None:
    trained = cancer("mlp")
    program = quantise(trained.graph, trained.settings)
    with pytest.raises(InputShapeError):
        report(trained.model, trained.graph, program, trained.held_out[:, :-1])
    with pytest.raises(ProvingError, match="onnxruntime"):
        report(trained.model[:200], trained.graph, program, trained.held_out)


def test_a_label_is_calibrated_although_the_model_has_an_output_of_that_name() -> None:
    trained = cancer("mlp")
    assert "label" in {each.name for each in trained.graph.outputs}
    shown = replace(trained.settings, output=OutputSpec(Reveal.PUBLIC, target="label"))
    found = calibrate(trained.model, trained.graph, shown, trained.seen, Target(1.0, 0.05))
    assert found.agreement == 1.0 and found.max_error <= 0.05
