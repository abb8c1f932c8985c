# SPDX-License-Identifier: GPL-3.0-or-later
"""Identity of two things: embeddings of two private images compared in the proof, one of them committed earlier.

One network embeds both; only whether they are near is shown. Euclidean: `|a - b|^2 <= t`. Cosine without division or
root: `cos(a, b) >= c` for c >= 0 is `a.b >= 0 and (a.b)^2 - c^2 |a|^2 |b|^2 >= 0`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from proving_statements import SECRETS, Compiled, compiled, dense, whole

from proving.constraints.determinism import undetermined
from proving.importer import graph
from proving.importer.model import import_model
from proving.settings import InputRange, ModelSettings, OutputSpec, Predicate, Reveal
from proving.sparse import from_rows
from proving.statement.commitment import commit_group
from proving.statement.opening import open_predicate, open_public

PIXELS, FEATURES = 9, 4
KERNEL = np.random.default_rng(1).integers(-64, 65, (FEATURES, PIXELS)) / 64
IMAGES = st.lists(st.integers(0, 15), min_size=PIXELS, max_size=PIXELS)
FIELDS = (InputRange("probe", 0, 4, PIXELS, scale=4), InputRange("enrolled", 0, 4, PIXELS, scale=4, group=1))


def embedding(source: int, first: int) -> tuple[graph.Node, ...]:
    """The same layer for each image."""
    half = graph.Gather((0,), np.arange(PIXELS) + PIXELS * source)
    return half, dense((first,), KERNEL.tolist(), [0.125] * FEATURES), graph.Relu(first + 1)


def total(source: int, count: int, sign: float = 1.0) -> graph.Linear:
    return graph.Linear((source,), from_rows(count, [dict.fromkeys(range(count), sign)], np.float64), np.zeros(1))


def euclidean() -> graph.Graph:
    minus = from_rows(2 * FEATURES, [{i: 1.0, FEATURES + i: -1.0} for i in range(FEATURES)], np.float64)
    difference = graph.Linear((3, 6), minus, np.zeros(FEATURES))
    nodes = (graph.Input(2 * PIXELS), *embedding(0, 1), *embedding(1, 4), difference, graph.Multiply(7, 7), total(8, 4))
    return whole(nodes, graph.Head(9, graph.Link.NONE, ()), PIXELS, PIXELS)


def cosine(least: float) -> graph.Graph:
    nodes = (
        graph.Input(2 * PIXELS),
        *embedding(0, 1),
        *embedding(1, 4),
        graph.Multiply(3, 6),
        graph.Multiply(3, 3),
        graph.Multiply(6, 6),
        total(7, FEATURES),
        total(8, FEATURES),
        total(9, FEATURES),
        graph.Multiply(10, 10),
        graph.Multiply(11, 12),
        graph.Linear((13, 14), from_rows(2, [{0: 1.0, 1: -(least**2)}], np.float64), np.zeros(1)),
    )
    return whole(nodes, graph.Head(15, graph.Link.NONE, ()), PIXELS, PIXELS)


@cache
def near(kind: str, threshold: str) -> Compiled:
    spec = OutputSpec(
        Reveal.PREDICATE,
        predicate=Predicate.THRESHOLD,
        threshold=threshold,
        threshold_on="score",
        at_most=kind == "euclidean",
    )
    model = euclidean() if kind == "euclidean" else cosine(0.75)
    return compiled(model, ModelSettings(FIELDS, spec, fractional_bits=10, weight_bits=6))


def embedded(image: list[int]) -> np.ndarray:
    return np.maximum(KERNEL @ (np.array(image) / 16) + 0.125, 0)


@given(probe=IMAGES, enrolled=IMAGES)
@settings(max_examples=25, deadline=None)
def test_the_distance_is_compared_as_the_interpreter_and_the_floats_do(probe: list[int], enrolled: list[int]) -> None:
    model = near("euclidean", "0.5")
    raw = (*probe, *enrolled)
    statement = model.statement(raw)
    assert open_predicate(statement) == bool(model.revealed(raw)[0])
    assert statement.groups == {1: commit_group(FIELDS[1:], enrolled, 13)}
    distance = float(((embedded(probe) - embedded(enrolled)) ** 2).sum())
    if abs(distance - 0.5) > 0.02:
        assert open_predicate(statement) == (distance <= 0.5)


@given(probe=IMAGES, enrolled=IMAGES)
@settings(max_examples=25, deadline=None)
def test_the_cosine_is_compared_without_division(probe: list[int], enrolled: list[int]) -> None:
    model = near("cosine", "0")
    a, b = embedded(probe), embedded(enrolled)
    # Behind a ReLU no product of embeddings is negative.
    difference = float((a @ b) ** 2 - 0.75**2 * (a @ a) * (b @ b))
    if abs(difference) > 0.05:
        assert open_predicate(model.statement((*probe, *enrolled))) == (difference >= 0)


@cache
def exported() -> bytes:
    """The distance as an ordinary ONNX model with two inputs and one embedding."""
    weight = numpy_helper.from_array(KERNEL.T.astype(np.float32), "weight")
    bias = numpy_helper.from_array(np.full(FEATURES, 0.125, np.float32), "bias")
    nodes = [
        node
        for name in ("probe", "enrolled")
        for node in (
            helper.make_node("Gemm", [name, "weight", "bias"], [f"{name} linear"]),
            helper.make_node("Relu", [f"{name} linear"], [f"{name} embedding"]),
        )
    ]
    nodes += [
        helper.make_node("Sub", ["probe embedding", "enrolled embedding"], ["difference"]),
        helper.make_node("Mul", ["difference", "difference"], ["squares"]),
        helper.make_node("ReduceSum", ["squares"], ["distance"], keepdims=0),
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, PIXELS]) for name in ("probe", "enrolled")]
    output = helper.make_tensor_value_info("distance", TensorProto.FLOAT, [])
    model = helper.make_model(
        helper.make_graph(nodes, "identity", inputs, [output], [weight, bias]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


@given(probe=IMAGES, enrolled=IMAGES)
@settings(max_examples=15, deadline=None)
def test_an_onnx_model_with_two_inputs_compares_as_onnxruntime_does(probe: list[int], enrolled: list[int]) -> None:
    spec = OutputSpec(Reveal.PUBLIC, score_bits=10)
    model = near_onnx(spec)
    session = onnxruntime.InferenceSession(exported())
    images = {n: np.array([v], np.float32) / 16 for n, v in (("probe", probe), ("enrolled", enrolled))}
    (distance,) = session.run(None, images)
    (shown,) = open_public(model.statement((*probe, *enrolled))).reals
    assert abs(shown - float(distance)) < 0.02


@cache
def near_onnx(spec: OutputSpec) -> Compiled:
    return compiled(import_model(exported()), ModelSettings(FIELDS, spec, fractional_bits=12, weight_bits=6))


def test_an_image_is_near_itself_whatever_the_blindings() -> None:
    model = near("euclidean", "0")
    image = tuple(range(PIXELS))
    assert open_predicate(model.statement(image + image))
    far = (15, *image[1:])
    assert open_predicate(model.statement(far + image)) is False


def test_the_enrolled_image_is_recognised_by_its_commitment_and_the_probe_is_not() -> None:
    model = near("euclidean", "0.5")
    one, two = [1] * PIXELS, [2] * PIXELS
    first = model.statement((*one, *two), replace(SECRETS, blinding=21, output_key=22))
    second = model.statement((*one, *two), replace(SECRETS, blinding=31, output_key=32))
    assert first.groups == second.groups
    assert first.commitment != second.commitment


@pytest.mark.parametrize("kind", ["euclidean", "cosine"])
def test_the_comparison_follows_from_the_images(kind: str) -> None:
    circuit = near(kind, "0.5").circuit
    assert undetermined(circuit.system, circuit.free, range(1, 1 + circuit.system.public)) == ()
