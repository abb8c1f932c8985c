# SPDX-License-Identifier: GPL-3.0-or-later
"""The boundary to model files: foreign bytes become a checked ONNX graph, or one clear error."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper

from protocol.errors import MalformedModelError, ModelTooLargeError, UnsupportedOperatorError, WeightError

MAX_MODEL_BYTES = 32 << 20
MAX_NODES = 128
MAX_INITIALIZERS = 128
MAX_FEATURES = 4096
MAX_MAGNITUDE = 2.0**64
MAX_DIMENSION = 1 << 16
MAX_WEIGHTS = 1 << 20
MAX_RANK = 4
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
FLOATS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE})


@dataclass(frozen=True, slots=True)
class Constant:
    """A float tensor of the file, exactly: `values` in row-major order."""

    shape: tuple[int, ...]
    values: tuple[Fraction, ...]

    def row(self, index: int) -> tuple[Fraction, ...]:
        width = self.shape[-1]
        return self.values[index * width : (index + 1) * width]


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """What the importer reads: nodes in the file's order, float constants, other constants, one input."""

    nodes: tuple[NodeProto, ...]
    constants: dict[str, Constant]
    tables: dict[str, tuple[str, ...]]
    """Constants that are no floats (class labels, shapes), as text."""
    input_name: str
    input_size: int


def read_onnx(data: bytes) -> OnnxGraph:
    """Parse and check a model file.

    Raises:
        ModelTooLargeError: it passes a limit of this module.
        MalformedModelError: it is no self-contained, well-formed ONNX model.
        UnsupportedOperatorError: it defines functions or uses unknown operator sets.
        WeightError: a weight is NaN or infinite.
    """
    if len(data) > MAX_MODEL_BYTES:
        raise ModelTooLargeError(f"The model has {len(data)} bytes; the limit is {MAX_MODEL_BYTES}.")
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError):
        raise MalformedModelError("The file is not an ONNX model: it cannot be parsed.") from None
    if not all(isinstance(each.domain, str) for each in model.opset_import):
        raise MalformedModelError("A name in the model is not UTF-8 text.")
    if model.functions or any(each.domain not in DOMAINS for each in model.opset_import):
        raise UnsupportedOperatorError("The model uses its own functions or a foreign operator set.")
    graph = model.graph
    _check_counts(graph)
    _check_texts(graph)
    constants, tables = _initializers(graph)
    name, size = _single_input(graph, set(constants) | set(tables))
    _check_names(graph, name, set(constants) | set(tables))
    return OnnxGraph(tuple(graph.node), constants, tables, name, size)


def _check_counts(graph: GraphProto) -> None:
    if not graph.node:
        raise MalformedModelError("The file is not an ONNX model: it has no nodes.")
    if len(graph.node) > MAX_NODES or len(graph.initializer) > MAX_INITIALIZERS:
        raise ModelTooLargeError(f"The model has more than {MAX_NODES} nodes or constants.")
    if graph.sparse_initializer or graph.quantization_annotation:
        raise UnsupportedOperatorError("The model uses sparse or quantised tensors.")


def _check_texts(graph: GraphProto) -> None:
    """Refuse names that are not UTF-8: protobuf hands them out as bytes, against their type."""
    texts: list[object] = [each.name for each in graph.initializer]
    texts += [each.name for each in graph.input]
    for node in graph.node:
        texts += [node.name, node.op_type, node.domain, *node.input, *node.output]
        texts += [each.name for each in node.attribute]
    if not all(isinstance(text, str) for text in texts):
        raise MalformedModelError("A name in the model is not UTF-8 text.")


def _check_names(graph: GraphProto, input_name: str, constants: set[str]) -> None:
    seen = {input_name, *constants}
    for node in graph.node:
        for output in filter(None, node.output):
            if output in seen:
                raise MalformedModelError(f"Two values of the model are named {output!r:.80}.")
            seen.add(output)


def _initializers(graph: GraphProto) -> tuple[dict[str, Constant], dict[str, tuple[str, ...]]]:
    constants: dict[str, Constant] = {}
    tables: dict[str, tuple[str, ...]] = {}
    weights = 0
    for tensor in graph.initializer:
        if tensor.name in constants or tensor.name in tables:
            raise MalformedModelError(f"Two constants of the model are named {tensor.name!r:.80}.")
        weights += _element_count(tensor)
        if weights > MAX_WEIGHTS:
            raise ModelTooLargeError(f"The model has more than {MAX_WEIGHTS} weights.")
        values = _values(tensor)
        if tensor.data_type in FLOATS:
            exact = tuple(exact_number(value, tensor.name) for value in values)
            constants[tensor.name] = Constant(tuple(tensor.dims), exact)
        else:
            tables[tensor.name] = tuple(
                value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                for value in values
            )
    return constants, tables


def _element_count(tensor: TensorProto) -> int:
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise MalformedModelError(f"Tensor {tensor.name!r:.80} lies outside the model file.")
    if len(tensor.dims) > MAX_RANK or any(not 0 < each <= MAX_DIMENSION for each in tensor.dims):
        raise ModelTooLargeError(f"Tensor {tensor.name!r:.80} has unacceptable dimensions.")
    return math.prod(tensor.dims)


def _values(tensor: TensorProto) -> Iterator[object]:
    try:
        array = numpy_helper.to_array(tensor)
    except Exception as error:  # the parser raises many kinds for foreign bytes
        reason = type(error).__name__
        raise MalformedModelError(f"Tensor {tensor.name!r:.80} cannot be read ({reason}).") from None
    return iter(array.reshape(-1).tolist())


def exact_number(value: object, owner: str) -> Fraction:
    """Return a float of the file as the rational that it is.

    Raises:
        WeightError: it is not finite, or beyond 2^64.
    """
    if not isinstance(value, float) or not math.isfinite(value):
        raise WeightError(f"A number in {owner!r:.80} is NaN or infinite.")
    if abs(value) > MAX_MAGNITUDE:
        raise WeightError(f"A number in {owner!r:.80} is beyond 2^64.")
    return Fraction(value)


def _single_input(graph: GraphProto, constants: set[str]) -> tuple[str, int]:
    inputs = [each for each in graph.input if each.name not in constants]
    if len(inputs) != 1:
        raise UnsupportedOperatorError(f"The model has {len(inputs)} inputs; exactly one is supported.")
    return inputs[0].name, _width(inputs[0])


def _width(value: ValueInfoProto) -> int:
    kind = value.type.tensor_type
    if kind.elem_type not in FLOATS | {TensorProto.INT64}:
        raise UnsupportedOperatorError(f"Input {value.name!r:.80} is not a tensor of floats or integers.")
    dims = kind.shape.dim
    if len(dims) != 2 or dims[0].dim_value > 1 or not 0 < dims[1].dim_value <= MAX_FEATURES:
        raise UnsupportedOperatorError(
            f"Input {value.name!r:.80} must have the shape [rows, features] with a fixed number of features."
        )
    return int(dims[1].dim_value)


def attribute(node: NodeProto, name: str) -> AttributeProto | None:
    """Return an attribute of a node, or None."""
    return next((each for each in node.attribute if each.name == name), None)
