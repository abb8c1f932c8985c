# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever bytes come in, the importer gives a graph or one of its errors.

PROOFMESH_FUZZ_EXAMPLES sets the number of examples of each property for a longer campaign. What campaigns found is
kept at the end.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper
from proving_models import exported
from proving_onnx_models import model, tensor

from protocol.errors import ModelError, ModelTooLargeError
from proving.importer.graph import Graph
from proving.importer.model import import_model

EXAMPLES = int(os.environ.get("PROOFMESH_FUZZ_EXAMPLES", "150"))
FILES = Path(__file__).parent / "torch_exports"
fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@lru_cache(maxsize=1)
def seeds() -> tuple[bytes, ...]:
    """Valid models of many kinds."""
    shapes = [tensor("shape", [1, 2, 2, 2], np.int64), tensor("pads", [0, 0, 1, 1, 0, 0, 0, 1], np.int64),
              tensor("k", np.ones((2, 1, 2, 2))), tensor("scale", 0.25), tensor("zero", 3, np.uint8)]
    made = model(
        [
            helper.make_node("Reshape", ["X", "shape"], ["a"]),
            helper.make_node("Pad", ["a", "pads"], ["b"]),
            helper.make_node("Conv", ["b", "k"], ["c"], group=2, dilations=[1, 2]),
            helper.make_node("AveragePool", ["c"], ["d"], kernel_shape=[2, 1], ceil_mode=1),
            helper.make_node("QuantizeLinear", ["d", "scale", "zero"], ["e"]),
            helper.make_node("DequantizeLinear", ["e", "scale", "zero"], ["f"]),
            helper.make_node("ReduceMean", ["f"], ["g"], axes=[2], keepdims=0),
            helper.make_node("Split", ["g"], ["h", "i"], axis=1),
            helper.make_node("Concat", ["i", "h"], ["j"], axis=2),
            helper.make_node("Softmax", ["j"], ["out"]),
        ],
        (1, 8), shapes,
    )
    tree = helper.make_node(
        "TreeEnsembleClassifier", ["X"], ["out", "p"], domain="ai.onnx.ml", post_transform="SOFTMAX",
        nodes_treeids=[0] * 5, nodes_nodeids=[0, 1, 2, 3, 4], nodes_featureids=[0, 0, 1, 0, 0],
        nodes_values=[0.5, 0.0, 1.5, 0.0, 0.0], nodes_modes=["BRANCH_LEQ", "LEAF", "BRANCH_EQ", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 3, 0, 0], nodes_falsenodeids=[2, 0, 4, 0, 0], class_treeids=[0] * 3,
        class_nodeids=[1, 3, 4], class_ids=[0, 1, 2], class_weights=[1.0, 2.0, 3.0], classlabels_int64s=[0, 1, 2],
    )
    whole = [made.SerializeToString(), model([tree], results=("out", "p")).SerializeToString(),
             exported("logistic", 3), exported("mlp", 2),
             *((FILES / f"{name}_torchscript.onnx").read_bytes() for name in ("convolutions", "attention", "residual"))]
    for each in whole:
        import_model(each)
    return tuple(bytes(each) for each in whole)


def outcome(data: bytes) -> None:
    try:
        assert isinstance(import_model(data), Graph)
    except ModelError as refusal:
        assert "[PM-MDL-" in str(refusal)


@fuzzed
@given(st.data())
def test_changed_bytes_give_a_graph_or_a_model_error(data: st.DataObject) -> None:
    seed = bytearray(data.draw(st.sampled_from(seeds())))
    for _ in range(data.draw(st.integers(1, 4))):
        seed[data.draw(st.integers(0, len(seed) - 1))] = data.draw(st.integers(0, 255))
    outcome(bytes(seed))


@fuzzed
@given(st.data())
def test_cut_and_spliced_files_give_a_graph_or_a_model_error(data: st.DataObject) -> None:
    first, second = data.draw(st.sampled_from(seeds())), data.draw(st.sampled_from(seeds()))
    start, end = data.draw(st.integers(0, len(first))), data.draw(st.integers(0, len(second)))
    outcome(first[:start] + second[end:])


NUMBERS = st.sampled_from([-(1 << 63), -7, -2, -1, 0, 1, 2, 3, 5, 1 << 20, (1 << 63) - 1])


@fuzzed
@given(st.data())
def test_changed_fields_give_a_graph_or_a_model_error(data: st.DataObject) -> None:
    """Structure stays, so that the operators themselves are reached with attributes and shapes that lie."""
    made = ModelProto.FromString(data.draw(st.sampled_from(seeds())))
    for _ in range(data.draw(st.integers(1, 3))):
        change(made, data)
    outcome(made.SerializeToString())


def change(made: Any, data: st.DataObject) -> None:
    graph = made.graph
    match data.draw(st.integers(0, 5)):
        case 0:
            node = data.draw(st.sampled_from(list(graph.node)))
            if node.input:
                names = [each for other in graph.node for each in other.output] + [each.name for each in graph.input]
                node.input[data.draw(st.integers(0, len(node.input) - 1))] = data.draw(st.sampled_from(names))
        case 1:
            attributes = [each for node in graph.node for each in node.attribute if each.ints or each.i]
            if attributes:
                found = data.draw(st.sampled_from(attributes))
                if found.ints:
                    found.ints[data.draw(st.integers(0, len(found.ints) - 1))] = data.draw(NUMBERS)
                else:
                    found.i = data.draw(NUMBERS)
        case 2 if graph.initializer:
            tensor = data.draw(st.sampled_from(list(graph.initializer)))
            if tensor.dims:
                tensor.dims[data.draw(st.integers(0, len(tensor.dims) - 1))] = data.draw(NUMBERS)
        case 3:
            dims = graph.input[0].type.tensor_type.shape.dim
            dims[data.draw(st.integers(0, len(dims) - 1))].dim_value = data.draw(NUMBERS)
        case 4:
            node = data.draw(st.sampled_from(list(graph.node)))
            node.op_type = data.draw(st.sampled_from([each.op_type for each in graph.node] + OPERATORS))
        case _:
            made.opset_import[0].version = data.draw(st.integers(1, 30))


OPERATORS = ["Add", "MatMul", "Gather", "Where", "ReduceMax", "Expand", "Tile", "Slice", "ConvTranspose", "MaxPool",
             "LayerNormalization", "BatchNormalization", "Unsqueeze", "Squeeze", "Flatten", "Transpose", "Pow", "Clip"]

def test_a_long_dimension_is_refused_at_once() -> None:
    """Found by a campaign: 4 million inputs, within the limit on values, took 13 seconds and more to refuse."""
    made = ModelProto.FromString((FILES / "attention_torchscript.onnx").read_bytes())
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1 << 20
    with pytest.raises(ModelTooLargeError, match="input values"):
        import_model(made.SerializeToString())


def test_a_million_values_are_sorted_out() -> None:
    """Found by a campaign: distinct elements were found by hashing, quadratic in practice; it would not end."""
    made = model([helper.make_node("Expand", ["X", "e"], ["a"]), helper.make_node("Add", ["a", "a"], ["b"]),
                  helper.make_node("Softmax", ["b"], ["out"])], (1, 8), [tensor("e", [1 << 17, 8], np.int64)])
    import_model(made.SerializeToString())
