# SPDX-License-Identifier: GPL-3.0-or-later
"""Hostile and broken model files get one clear error each, within bounded time and memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from proving_onnx_models import changed, model, tensor

from protocol.errors import (
    MalformedModelError,
    ModelError,
    ModelTooLargeError,
    UnsupportedOperatorError,
    WeightError,
)
from proving.importer import limits, reader, wire
from proving.importer.model import import_model

BYTES = 300 << 20
"""What any refusal may take of memory."""
VARINT_MAX = b"\xff\xff\xff\xff\x0f"


def network() -> Any:
    """A 2-2-1 network."""
    return model(
        [
            helper.make_node("MatMul", ["X", "w"], ["a"], name="first"),
            helper.make_node("Add", ["a", "b"], ["c"], name="bias"),
            helper.make_node("Relu", ["c"], ["d"], name="relu"),
            helper.make_node("Gemm", ["d", "v", "u"], ["e"], name="last"),
            helper.make_node("Sigmoid", ["e"], ["out"], name="sigmoid"),
        ],
        tensors=[tensor("w", [[0.5, -1.0], [0.25, 1.0]]), tensor("b", [1.0, -2.0]), tensor("v", [[1.0], [-0.5]]),
                 tensor("u", [0.25])],
    )


def one(operator: str, *operands: str, shape: Any = (None, 2), tensors: Any = (), **attributes: Any) -> bytes:
    """A model of one node."""
    node = helper.make_node(operator, ["X", *operands], ["out"], name="it", **attributes)
    return bytes(model([node], shape, tensors).SerializeToString())


def external(made: Any) -> None:
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL
    made.graph.initializer[0].external_data.add(key="location", value="../../../../etc/passwd")


def cycle(made: Any) -> None:
    made.graph.node[0].input[0] = "e"


def numbers(*values: int) -> TensorProto:
    return tensor("n", values, np.int64)


def attribute_of_wrong_type(made: Any) -> None:
    made.graph.node[3].attribute.append(helper.make_attribute("alpha", "one"))


def nested(depth: int) -> bytes:
    """A graph attribute within a graph attribute, and so on."""
    data = b""
    for _ in range(depth):
        for tag in (b"\x32", b"\x2a", b"\x0a"):  # AttributeProto.g, NodeProto.attribute, GraphProto.node
            data = tag + length(data) + data
    return b"\x3a" + length(data) + data


def length(data: bytes) -> bytes:
    count, found = len(data), b""
    while count > 0x7F:
        found, count = found + bytes([count & 0x7F | 0x80]), count >> 7
    return found + bytes([count])


def set_raw(made: Any, raw: bytes) -> None:
    made.graph.initializer[0].raw_data = raw


def set_type(made: Any, kind: int) -> None:
    made.graph.input[0].type.tensor_type.elem_type = kind


def set_opset(made: Any, version: int) -> None:
    made.opset_import[0].version = version


def lying_dimensions(made: Any) -> None:
    del made.graph.initializer[0].dims[:]
    made.graph.initializer[0].dims.extend([4096, 4096])


EMPTY_NODES = b"\x0a\x00" * 2_200_000
NAN, INFINITY = b"\x00\x00\xc0\x7f" * 4, b"\x00\x00\x80\x7f" * 4
TREE = {
    "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0],
    "nodes_values": [0.5, 0.0, 0.0], "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_truenodeids": [1, 0, 0],
    "nodes_falsenodeids": [2, 0, 0], "target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0],
    "target_weights": [1.0, 2.0], "n_targets": 1,
}


def forest(**changes: Any) -> bytes:
    node = helper.make_node("TreeEnsembleRegressor", ["X"], ["out"], domain="ai.onnx.ml", **{**TREE, **changes})
    return bytes(model([node]).SerializeToString())


HOSTILE: dict[str, tuple[bytes, type[ModelError]]] = {
    "empty": (b"", MalformedModelError),
    "noise": (b"\xff" * 100, MalformedModelError),
    "truncated": (network().SerializeToString()[:-7], MalformedModelError),
    "a length beyond the end": (b"\x3a" + VARINT_MAX, MalformedModelError),
    "a group, which no proto3 writer makes": (b"\x3b\x3c", MalformedModelError),
    "two million empty nodes": (b"\x3a" + length(EMPTY_NODES) + EMPTY_NODES, ModelTooLargeError),
    "two thousand nested graphs": (nested(2000), ModelTooLargeError),
    "external data": (changed(network(), external), MalformedModelError),
    "a cycle": (changed(network(), cycle), MalformedModelError),
    "a value made twice": (changed(network(), lambda m: m.graph.node.append(m.graph.node[0])), MalformedModelError),
    "an output of nobody": (
        changed(network(), lambda m: m.graph.output.append(helper.make_empty_tensor_value_info("z"))),
        MalformedModelError,
    ),
    "no output": (changed(network(), lambda m: m.graph.ClearField("output")), MalformedModelError),
    "no node": (changed(network(), lambda m: m.graph.ClearField("node")), MalformedModelError),
    "no input": (changed(network(), lambda m: m.graph.ClearField("input")), ModelError),
    "nan weights": (changed(network(), lambda m: set_raw(m, NAN)), WeightError),
    "infinite weights": (changed(network(), lambda m: set_raw(m, INFINITY)), WeightError),
    "weights beyond 2^64": (
        changed(network(), lambda m: m.graph.initializer[0].CopyFrom(tensor("w", [[1e30, 1], [1, 1]]))), WeightError
    ),
    "a short tensor": (changed(network(), lambda m: set_raw(m, b"\0" * 5)), MalformedModelError),
    "a tensor that lies about its size": (changed(network(), lying_dimensions), ModelError),
    "a huge dimension": (changed(network(), lambda m: m.graph.initializer[0].dims.append(2**40)), ModelTooLargeError),
    "a negative dimension": (changed(network(), lambda m: m.graph.initializer[0].dims.append(-1)), ModelTooLargeError),
    "declared terabytes": (
        changed(network(), lambda m: m.graph.initializer[0].dims.extend([2**20, 2**20])), ModelTooLargeError
    ),
    "a complex tensor": (
        changed(network(), lambda m: m.graph.initializer[0].CopyFrom(tensor("w", [[1, 1], [1, 1]], np.complex64))),
        UnsupportedOperatorError,
    ),
    "a text input": (changed(network(), lambda m: set_type(m, TensorProto.STRING)), UnsupportedOperatorError),
    "a dynamic feature dimension": (one("Relu", shape=(None, "features")), UnsupportedOperatorError),
    "an input of unknown rank": (
        changed(network(), lambda m: m.graph.input[0].type.tensor_type.ClearField("shape")), UnsupportedOperatorError
    ),
    "an input of a trillion values": (one("Relu", shape=(1 << 20, 1 << 20)), ModelTooLargeError),
    "an old operator set": (changed(network(), lambda m: set_opset(m, 6)), UnsupportedOperatorError),
    "an operator set of the future": (changed(network(), lambda m: set_opset(m, 99)), UnsupportedOperatorError),
    "an IR version of the future": (
        changed(network(), lambda m: setattr(m, "ir_version", 99)), UnsupportedOperatorError
    ),
    "two versions of one operator set": (
        changed(network(), lambda m: m.opset_import.add(domain="ai.onnx", version=9)), MalformedModelError
    ),
    "functions": (changed(network(), lambda m: m.functions.add(name="f")), UnsupportedOperatorError),
    "a foreign operator": (
        changed(network(), lambda m: setattr(m.graph.node[2], "domain", "com.evil")), UnsupportedOperatorError
    ),
    "an attribute of a wrong type": (changed(network(), attribute_of_wrong_type), MalformedModelError),
    "a matrix that does not fit": (
        changed(network(), lambda m: m.graph.initializer[2].CopyFrom(tensor("v", [[1.0]] * 3))), MalformedModelError
    ),
    "an axis that is not there": (one("Softmax", axis=7), MalformedModelError),
    "a reshape to other sizes": (one("Reshape", "n", tensors=[numbers(3, 7)]), MalformedModelError),
    "an index out of range": (one("Gather", "n", tensors=[numbers(5)], axis=1), MalformedModelError),
    "an expansion to terabytes": (one("Expand", "n", tensors=[numbers(1 << 40, 2)]), ModelTooLargeError),
    "a negative tile": (one("Tile", "n", tensors=[numbers(-1, 1)]), ModelTooLargeError),
    "a pad of terabytes": (one("Pad", "n", tensors=[numbers(0, 1 << 41, 0, 0)]), ModelTooLargeError),
    "an endless slice": (one("Slice", "n", "n", "n", "n", tensors=[numbers(0)]), MalformedModelError),
    "a quadratic expansion": (
        bytes(model([helper.make_node("Unsqueeze", ["X", "one"], ["a"]), helper.make_node("Add", ["a", "X"], ["out"])],
                    (1, 4000), [tensor("one", [2], np.int64)]).SerializeToString()),
        ModelTooLargeError,
    ),
    "a convolution of a trillion taps": (
        one("Conv", "w", shape=(1, 64, 2000, 2000), tensors=[tensor("w", np.ones((64, 64, 7, 7)))]), ModelTooLargeError
    ),
    "a stride of zero": (
        one("Conv", "w", shape=(1, 1, 4, 4), tensors=[tensor("w", np.ones((1, 1, 2, 2)))], strides=[0, 1]),
        MalformedModelError,
    ),
    "a kernel larger than its input": (one("MaxPool", shape=(1, 1, 2, 2), kernel_shape=[5, 5]), MalformedModelError),
    "a split into nothing": (one("Split", num_outputs=0), MalformedModelError),
    "zero groups": (
        one("Conv", "w", shape=(1, 1, 4, 4), tensors=[tensor("w", np.ones((1, 1, 2, 2)))], group=0),
        MalformedModelError,
    ),
    "division by zero": (one("Div", "z", tensors=[tensor("z", [0.0, 1.0])]), WeightError),
    "a tree that is its own child": (forest(nodes_falsenodeids=[0, 0, 0]), MalformedModelError),
    "a tree with a shared child": (forest(nodes_falsenodeids=[1, 0, 0]), MalformedModelError),
    "a tree with a missing child": (forest(nodes_falsenodeids=[9, 0, 0]), MalformedModelError),
    "a tree on a missing feature": (forest(nodes_featureids=[7, 0, 0]), MalformedModelError),
    "a tree with short tables": (forest(nodes_values=[0.5]), MalformedModelError),
    "a tree of an unknown mode": (forest(nodes_modes=["BRANCH_ODD", "LEAF", "LEAF"]), UnsupportedOperatorError),
    "a threshold of nan": (forest(nodes_values=[float("nan"), 0.0, 0.0]), WeightError),
    "a leaf of infinity": (forest(target_weights=[float("inf"), 0.0]), WeightError),
    "a leaf for a missing target": (forest(target_ids=[0, 5]), MalformedModelError),
    "a million targets": (forest(n_targets=1 << 20), MalformedModelError),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_gets_one_clear_error(name: str) -> None:
    data, kind = HOSTILE[name]
    with pytest.raises(kind) as caught:
        import_model(data)
    assert "[PM-MDL-" in str(caught.value) and len(str(caught.value)) < 4000


@pytest.mark.parametrize("name", [each for each in HOSTILE if each.split()[0] not in ("two",)])
def test_a_refusal_takes_bounded_memory(name: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ModelError):
            import_model(HOSTILE[name][0])
        assert tracemalloc.get_traced_memory()[1] < BYTES
    finally:
        tracemalloc.stop()


def test_a_name_that_is_no_text_is_refused() -> None:
    data = network().SerializeToString().replace(b"sigmoid", b"sig\xff\xfeid")
    with pytest.raises(MalformedModelError):
        import_model(data)


def test_files_above_the_limit_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_MODEL_BYTES", 100)
    with pytest.raises(ModelTooLargeError):
        import_model(network().SerializeToString())


def test_fields_are_counted_before_they_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_FIELDS", 20)
    with pytest.raises(ModelTooLargeError):
        import_model(network().SerializeToString())


def test_all_unsupported_nodes_are_named_in_one_error() -> None:
    made = network()
    made.graph.node[0].op_type, made.graph.node[2].op_type = "Loop", "Einsum"
    with pytest.raises(UnsupportedOperatorError) as caught:
        import_model(made.SerializeToString())
    text = str(caught.value)
    assert all(each in text for each in ("'first'", "Loop", "'relu'", "Einsum"))


def test_all_unsupported_forms_are_named_in_one_error() -> None:
    made = model(
        [
            helper.make_node("Dropout", ["X", "r", "t"], ["a"], name="dropping"),
            helper.make_node("BatchNormalization", ["X", *"bbbb"], ["b1"], name="training", training_mode=1),
            helper.make_node("Add", ["a", "b1"], ["out"]),
        ],
        tensors=[tensor("r", 0.5), tensor("t", True, np.bool_), tensor("b", [1.0, 1.0])],
    )
    with pytest.raises(UnsupportedOperatorError) as caught:
        import_model(made.SerializeToString())
    assert "'dropping'" in str(caught.value) and "'training'" in str(caught.value)


def test_nodes_that_no_output_needs_may_be_anything() -> None:
    made = network()
    made.graph.node.append(helper.make_node("Loop", ["X"], ["unused"]))
    made.graph.node.append(helper.make_node("If", ["unused"], ["unread"], else_branch=made.graph))
    assert import_model(made.SerializeToString()).head.labels == ("0", "1")


def test_the_limits_leave_room_for_the_models_of_the_benchmark() -> None:
    assert limits.MAX_ENTRIES >= 5_000_000 and limits.MAX_WEIGHTS >= 5_000_000
