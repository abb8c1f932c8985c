# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes over graphs: what merges, what does not, and that numbers of parameters follow from the architecture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from proving_graph_eval import scores
from proving_onnx_models import agree, imported, model, tensor

from proving.importer.graph import Gather, Graph, Head, Input, Linear, Link, Maximum, Relu
from proving.importer.model import import_model
from proving.importer.passes import simplify
from proving.importer.passes.pooling import maximum_before_relu
from proving.sparse import from_rows

IMAGE = np.random.RandomState(2).randn(1, 2, 6, 6).astype(np.float32)


def network(seed: int, *, pads: int = 0, scaled: bool = False, pooled: bool = False, zero: bool = False) -> bytes:
    """A convolution with batch normalisation; in front of it a scaler, behind it an average and a dense layer."""
    random = np.random.RandomState(seed)
    kernel = random.randn(3, 2, 3, 3)
    if zero:
        kernel[:, 0] = 0
    nodes, last = [], "X"
    if scaled:
        nodes += [helper.make_node("Sub", ["X", "mean"], ["s"]), helper.make_node("Div", ["s", "deviation"], ["t"])]
        last = "t"
    nodes += [helper.make_node("Conv", [last, "w"], ["a"], pads=[pads] * 4),
              helper.make_node("BatchNormalization", ["a", "g", "h", "m", "v"], ["b"]),
              helper.make_node("Relu", ["b"], ["c"])]
    if pooled:
        nodes.append(helper.make_node("GlobalAveragePool", ["c"], ["d"]))
    nodes += [helper.make_node("Flatten", ["d" if pooled else "c"], ["e"]),
              helper.make_node("Gemm", ["e", "x", "y"], ["out"])]
    inner = 3 if pooled else 3 * (4 + 2 * pads) ** 2
    tensors = [tensor("w", kernel), tensor("g", random.rand(3) + 0.5), tensor("h", random.randn(3)),
               tensor("m", random.randn(3)), tensor("v", random.rand(3) + 0.5), tensor("x", random.randn(inner, 2)),
               tensor("y", random.randn(2)), tensor("mean", random.randn(1, 2, 1, 1)),
               tensor("deviation", random.rand(1, 2, 1, 1) + 0.5)]
    return bytes(model(nodes, (None, 2, 6, 6), tensors).SerializeToString())


def layers(graph: Graph) -> list[Linear]:
    return [each for each in graph.nodes if isinstance(each, Linear)]


def count(numbers: Any, size: int) -> int:
    return size if numbers is None else len(np.unique(numbers[numbers >= 0]))


def parameters(layer: Linear) -> tuple[int, int]:
    """How many different weights and biases a layer has."""
    return count(layer.tied, len(layer.matrix.values)), count(layer.bias_tied, len(layer.bias))


def architecture(graph: Graph) -> list[Any]:
    """Everything of a graph but the values of its weights."""
    return [(type(each), each.sources, each.trained, each.matrix.indptr.tolist(), each.matrix.indices.tolist(),
             None if each.tied is None else each.tied.tolist(),
             None if each.bias_tied is None else each.bias_tied.tolist()) if isinstance(each, Linear) else type(each)
            for each in graph.nodes]


def test_batch_normalisation_joins_its_convolution_and_ties_stay() -> None:
    graph = agree(network(0, pads=1), IMAGE)
    first, last = layers(graph)
    assert first.trained and parameters(first) == (3 * 2 * 9, 3)
    assert last.tied is None and parameters(last) == (3 * 36 * 2, 2)


def test_a_scaler_joins_an_unpadded_convolution() -> None:
    first, _ = layers(agree(network(0, scaled=True), IMAGE))
    assert parameters(first) == (3 * 2 * 9, 3)


def test_a_scaler_stays_in_front_of_a_padded_convolution() -> None:
    """The bias would differ at the borders: more parameters than the scaler has."""
    scaler, first, _ = layers(agree(network(0, pads=1, scaled=True), IMAGE))
    assert parameters(scaler) == (2, 2) and parameters(first) == (3 * 2 * 9, 3)


def test_an_average_is_an_exact_sum_and_a_factor_in_the_next_layer() -> None:
    _, pool, last = layers(agree(network(0, pooled=True), IMAGE))
    assert set(pool.matrix.values.tolist()) == {1 / 16} and not pool.trained and last.trained
    graph = agree(network(0, pooled=True, pads=1), IMAGE)  # 36 values: 1/64 in the sum, 64/36 in the weights
    assert set(layers(graph)[1].matrix.values.tolist()) == {1 / 64}


@given(st.integers(0, 2**31), st.booleans(), st.booleans(), st.booleans())
@settings(max_examples=10, deadline=None)
def test_the_structure_does_not_depend_on_the_weights(seed: int, scaled: bool, pooled: bool, zero: bool) -> None:
    one = imported(network(seed, scaled=scaled, pooled=pooled, zero=zero))
    other = imported(network(seed + 1, scaled=scaled, pooled=pooled))
    assert architecture(one) == architecture(other)


@given(st.integers(0, 2**31), st.booleans(), st.booleans())
@settings(max_examples=10, deadline=None)
def test_entries_of_one_parameter_have_one_value(seed: int, scaled: bool, pooled: bool) -> None:
    for layer in layers(imported(network(seed, pads=1, scaled=scaled, pooled=pooled))):
        for tied, values in ((layer.tied, layer.matrix.values), (layer.bias_tied, layer.bias)):
            if tied is not None:
                for each in np.unique(tied[tied >= 0]):
                    assert len(np.unique(values[tied == each])) == 1


def test_importing_twice_gives_the_same_bits() -> None:
    first, second = (import_model(network(4, scaled=True, pooled=True)) for _ in range(2))
    assert architecture(first) == architecture(second)
    for one, other in zip(layers(first), layers(second), strict=True):
        assert one.matrix.values.tobytes() == other.matrix.values.tobytes()
        assert one.bias.tobytes() == other.bias.tobytes()


def pooling(between: bool, shared: bool) -> Graph:
    """max(relu(x)) of four inputs in pairs; perhaps through a Gather, perhaps with the ReLU read elsewhere."""
    nodes: list[Any] = [Input(4), Relu(0)]
    if between:
        nodes.append(Gather((1,), np.array([3, 2, 1, 0])))
    nodes.append(Maximum(len(nodes) - 1, np.array([[0, 1], [2, 3]])))
    sources = (len(nodes) - 1, 1) if shared else (len(nodes) - 1,)
    width = 6 if shared else 2
    rows = [{column: float(column + 1) for column in range(width)}]
    nodes.append(Linear(sources, replace(from_rows(width, rows), values=np.arange(1.0, width + 1)), np.zeros(1)))
    return Graph(tuple(nodes), Head(len(nodes) - 1, Link.NONE, ()), (), ("X",), ((1, 4),), ("",) * len(nodes))


@pytest.mark.parametrize("between", [False, True])
def test_the_maximum_is_taken_before_relu(between: bool) -> None:
    graph = pooling(between, shared=False)
    found = simplify(graph)
    assert [type(each) for each in found.nodes] == [Input, Maximum, Relu, Linear]
    for row in np.random.RandomState(1).randn(20, 4):
        assert scores(found, row) == scores(graph, row)


def test_a_relu_that_others_read_stays_where_it_is() -> None:
    graph = pooling(between=False, shared=True)
    assert [type(each) for each in maximum_before_relu(graph).nodes] == [type(each) for each in graph.nodes]


def test_a_learnt_offset_is_parameters_and_a_structural_sum() -> None:
    data = model([helper.make_node("Relu", ["X"], ["a"]), helper.make_node("Sub", ["a", "w"], ["b"]),
                  helper.make_node("Relu", ["b"], ["out"])], (1, 3), [tensor("w", [0.5, -1.0, 2.0])])
    graph = agree(data.SerializeToString(), np.array([[1.0, 2.0, 3.0]], dtype=np.float32))
    vector, total = layers(graph)
    assert vector.trained and not len(vector.matrix.indices) and vector.bias.tolist() == [-0.5, 1.0, -2.0]
    assert not total.trained and set(total.matrix.values.tolist()) == {1.0} and not total.bias.any()


@given(st.integers(0, 2**31), st.integers(0, 2), st.booleans(), st.booleans())
@settings(max_examples=10, deadline=None)
def test_every_entry_of_a_trained_layer_is_a_parameter(seed: int, pads: int, scaled: bool, pooled: bool) -> None:
    graph = agree(network(seed, pads=pads, scaled=scaled, pooled=pooled), IMAGE, tolerance=1e-4)
    for layer in filter(lambda each: each.trained, layers(graph)):
        assert layer.tied is None or bool((layer.tied >= 0).all())
        assert layer.bias_tied is None or not layer.bias[layer.bias_tied < 0].any()
