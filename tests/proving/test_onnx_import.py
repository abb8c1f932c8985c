# SPDX-License-Identifier: GPL-3.0-or-later
"""Model files: what skl2onnx exports is understood exactly, anything else gets one clear error."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from proving_models import exported, graph, tensor, tiny

from protocol.errors import (
    MalformedModelError,
    ModelError,
    ModelTooLargeError,
    UnsupportedOperatorError,
    WeightError,
)
from proving import onnx_file
from proving.onnx_import import import_onnx


@pytest.mark.parametrize(
    ("kind", "classes", "shape"),
    [("logistic", 2, [1]), ("logistic", 3, [3]), ("mlp", 2, [5, 3, 1]), ("mlp", 3, [5, 3, 3])],
)
def test_pipelines_of_skl2onnx_are_imported(kind: str, classes: int, shape: list[int]) -> None:
    network = import_onnx(exported(kind, classes))
    assert [len(layer.biases) for layer in network.layers] == shape
    assert network.labels == tuple(map(str, range(classes)))
    assert network.input_size == 4


def test_weights_are_the_exact_rationals_of_the_file() -> None:
    first, last = import_onnx(tiny().SerializeToString()).layers
    assert first.weights == ((Fraction(1, 2), Fraction(1, 4)), (Fraction(-1), Fraction(1)))
    assert first.biases == (Fraction(1), Fraction(-2))
    assert last.weights == ((Fraction(1), Fraction(-1, 2)),) and last.biases == (Fraction(1, 4),)


def test_elementwise_arithmetic_folds_into_the_first_layer() -> None:
    model = graph(
        [
            helper.make_node("Sub", ["X", "mean"], ["a"]),
            helper.make_node("Div", ["a", "sigma"], ["b"]),
            helper.make_node("Mul", ["two", "b"], ["c"]),
            helper.make_node("Gemm", ["c", "w"], ["d"], transB=1, alpha=0.5),
            helper.make_node("Sigmoid", ["d"], ["out"]),
        ],
        [tensor("mean", [3, 4]), tensor("sigma", [3, 2]), tensor("two", 2), tensor("w", [[1, 8]])],
    )
    (layer,) = import_onnx(model.SerializeToString()).layers
    assert layer.weights == ((Fraction(1, 3), Fraction(4)),)
    assert layer.biases == (-Fraction(1) - 16,)


def test_an_unsupported_operator_is_named_with_its_node_and_what_is_supported() -> None:
    model = tiny()
    model.graph.node[2].op_type = "Tanh"
    with pytest.raises(UnsupportedOperatorError) as caught:
        import_onnx(model.SerializeToString())
    text = str(caught.value)
    assert "[PM-MDL-002]" in text and "relu" in text and "Tanh" in text and "MatMul" in text


def edit(change: Callable[[Any], object]) -> bytes:
    model = tiny()
    change(model)
    return bytes(model.SerializeToString())


def _external(model: Any) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    model.graph.initializer[0].external_data.add(key="location", value="../../secret")


def _set_raw(model: Any, raw: bytes) -> None:
    model.graph.initializer[0].raw_data = raw


NAN, INFINITY = b"\x00\x00\xc0\x7f" * 4, b"\x00\x00\x80\x7f" * 4

HOSTILE: dict[str, tuple[bytes, type[ModelError]]] = {
    "empty": (b"", MalformedModelError),
    "noise": (b"\xff" * 100, MalformedModelError),
    "truncated": (tiny().SerializeToString()[:-7], MalformedModelError),
    "external data": (edit(_external), MalformedModelError),
    "nan": (edit(lambda m: _set_raw(m, NAN)), WeightError),
    "infinite": (edit(lambda m: _set_raw(m, INFINITY)), WeightError),
    "short tensor": (edit(lambda m: _set_raw(m, b"\0" * 5)), MalformedModelError),
    "huge dimension": (edit(lambda m: m.graph.initializer[0].dims.append(2**40)), ModelTooLargeError),
    "negative dimension": (edit(lambda m: m.graph.initializer[0].dims.append(-1)), ModelTooLargeError),
    "many weights": (
        edit(lambda m: m.graph.initializer[0].dims.extend([2**16, 2**16])), ModelTooLargeError
    ),
    "many nodes": (edit(lambda m: m.graph.node.extend([m.graph.node[0]] * 600)), ModelTooLargeError),
    "same name twice": (edit(lambda m: m.graph.node.append(m.graph.node[0])), MalformedModelError),
    "two inputs": (edit(lambda m: m.graph.input.add(name="Y")), UnsupportedOperatorError),
    "functions": (edit(lambda m: m.functions.add(name="f")), UnsupportedOperatorError),
    "foreign operators": (edit(lambda m: m.opset_import.add(domain="evil")), UnsupportedOperatorError),
    "no classifier": (edit(lambda m: m.graph.node.pop()), UnsupportedOperatorError),
    "not a chain": (
        edit(lambda m: m.graph.node[3].input.__setitem__(0, "X")), UnsupportedOperatorError
    ),
    "logits over rows": (
        edit(lambda m: m.graph.node[4].attribute.append(helper.make_attribute("axis", 0))),
        UnsupportedOperatorError,
    ),
    "wrong matrix": (edit(lambda m: m.graph.initializer[2].dims.__setitem__(0, 1)), ModelError),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_get_one_clear_error(name: str) -> None:
    data, kind = HOSTILE[name]
    with pytest.raises(kind) as caught:
        import_onnx(data)
    assert "[PM-MDL-" in str(caught.value)


def test_files_above_the_limit_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "MAX_MODEL_BYTES", 100)
    with pytest.raises(ModelTooLargeError):
        import_onnx(tiny().SerializeToString())


TINY = tiny().SerializeToString()


@given(st.integers(0, len(TINY) - 1), st.integers(1, 255))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_gives_a_model_or_a_model_error(position: int, change: int) -> None:
    data = bytearray(TINY)
    data[position] ^= change
    with suppress(ModelError):
        import_onnx(bytes(data))
