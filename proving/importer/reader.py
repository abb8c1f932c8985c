# SPDX-License-Identifier: GPL-3.0-or-later
"""The boundary to model files: foreign bytes become checked nodes and constants, or one clear error."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, numpy_helper

from protocol.errors import MalformedModelError, ModelTooLargeError, UnsupportedOperatorError, WeightError
from proving.importer.limits import (
    MAX_DIMENSION,
    MAX_INITIALIZERS,
    MAX_INPUT_VALUES,
    MAX_MODEL_BYTES,
    MAX_NODES,
    MAX_RANK,
    MAX_WEIGHTS,
    MIN_IR,
    MIN_ML_OPSET,
    MIN_OPSET,
)
from proving.importer.node import Node
from proving.importer.values import BOOLEAN, FLOATS, INTEGERS, SMALL_FLOATS, TEXT, Fixed
from proving.importer.wire import check_fields

ML = "ai.onnx.ml"
DOMAINS = {"": "", "ai.onnx": "", ML: ML}
NEWEST_OPSET, NEWEST_ML_OPSET = 28, 5


@dataclass(frozen=True, slots=True)
class ModelInput:
    """An input of the model; `shape` with a batch of one."""

    name: str
    shape: tuple[int, ...]
    type: int


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What the importer reads of a file: the nodes that the outputs need, in order, constants, inputs, outputs."""

    nodes: tuple[Node, ...]
    constants: dict[str, Fixed]
    inputs: tuple[ModelInput, ...]
    outputs: tuple[str, ...]


def read(data: bytes) -> ModelFile:
    """Parse and check a model file.

    Raises:
        ModelTooLargeError: it passes a limit of limits.py.
        MalformedModelError: it is no self-contained, well-formed ONNX model.
        UnsupportedOperatorError: it uses an unknown version or operator set, functions, or dynamic shapes.
        WeightError: a weight is NaN or infinite.
    """
    model = _parse(data)
    versions = _versions(model)
    graph = model.graph
    if len(graph.node) > MAX_NODES or len(graph.initializer) > MAX_INITIALIZERS:
        raise ModelTooLargeError(f"The model has more than {MAX_NODES} nodes or constants.")
    if graph.sparse_initializer:
        raise UnsupportedOperatorError("The model uses sparse tensors.")
    _check_texts(graph)
    constants = _initializers(graph)
    inputs = tuple(_input(each) for each in graph.input if each.name not in constants)
    if not inputs:
        raise UnsupportedOperatorError("The model has no input.")
    if sum(math.prod(each.shape) for each in inputs) > MAX_INPUT_VALUES:
        raise ModelTooLargeError(f"The model has more than {MAX_INPUT_VALUES} input values.")
    outputs = tuple(each.name for each in graph.output)
    nodes = [Node(each, DOMAINS.get(each.domain, each.domain), versions) for each in graph.node]
    _check_names(nodes, outputs, {*constants, *(each.name for each in inputs)})
    return ModelFile(_needed(nodes, outputs), constants, inputs, outputs)


def _parse(data: bytes) -> ModelProto:
    if len(data) > MAX_MODEL_BYTES:
        raise ModelTooLargeError(f"The model has {len(data)} bytes; the limit is {MAX_MODEL_BYTES}.")
    check_fields(data, ModelProto.DESCRIPTOR)
    try:
        model = onnx.load_model_from_string(data)
    except (DecodeError, ValueError):
        raise MalformedModelError("The file is not an ONNX model: it cannot be parsed.") from None
    if not model.graph.node:
        raise MalformedModelError("The file is not an ONNX model: it has no nodes.")
    return model


def _versions(model: ModelProto) -> dict[str, int]:
    """Return the version of each operator set, by normalised domain."""
    if not MIN_IR <= model.ir_version <= onnx.IR_VERSION:
        raise UnsupportedOperatorError(
            f"The file has IR version {model.ir_version}; {MIN_IR} to {onnx.IR_VERSION} are known."
        )
    if model.functions:
        raise UnsupportedOperatorError("The model defines functions of its own; export it with them inlined.")
    found: dict[str, int] = {}
    for each in model.opset_import:
        if not isinstance(each.domain, str):
            raise MalformedModelError("A name in the model is not UTF-8 text.")
        domain = DOMAINS.get(each.domain)
        if domain is None:
            continue
        if found.setdefault(domain, each.version) != each.version:
            raise MalformedModelError(f"The model imports two versions of operator set {each.domain!r:.40}.")
    if "" in found and not MIN_OPSET <= found[""] <= NEWEST_OPSET:
        raise UnsupportedOperatorError(
            f"The model uses operator set {found['']}; {MIN_OPSET} to {NEWEST_OPSET} are supported."
        )
    if ML in found and not MIN_ML_OPSET <= found[ML] <= NEWEST_ML_OPSET:
        raise UnsupportedOperatorError(
            f"The model uses operator set {ML} {found[ML]}; {MIN_ML_OPSET} to {NEWEST_ML_OPSET} are supported."
        )
    return found


def _check_texts(graph: GraphProto) -> None:
    """Refuse names that are not UTF-8: protobuf hands them out as bytes, against their type."""
    texts: list[object] = [each.name for each in graph.initializer]
    for value in (*graph.input, *graph.output):
        texts.append(value.name)
        texts += [each.dim_param for each in value.type.tensor_type.shape.dim]
    for node in graph.node:
        texts += [node.name, node.op_type, node.domain, *node.input, *node.output]
        texts += [each.name for each in node.attribute]
    if not all(isinstance(text, str) for text in texts):
        raise MalformedModelError("A name in the model is not UTF-8 text.")


def _check_names(nodes: Iterable[Node], outputs: tuple[str, ...], seen: set[str]) -> None:
    """Refuse a value that is made twice, or read before it is made (so there is no cycle)."""
    if not outputs:
        raise MalformedModelError("The model has no output.")
    for node in nodes:
        for name in filter(None, node.inputs):
            if name not in seen:
                raise MalformedModelError(f"{node.title} reads {name!r:.80}, which no earlier node makes.")
        for name in filter(None, node.outputs):
            if name in seen:
                raise MalformedModelError(f"Two values of the model are named {name!r:.80}.")
            seen.add(name)
    for name in outputs:
        if name not in seen:
            raise MalformedModelError(f"Output {name!r:.80} is made by no node.")


def _needed(nodes: list[Node], outputs: tuple[str, ...]) -> tuple[Node, ...]:
    """Leave out nodes that no output needs."""
    wanted, kept = set(outputs), []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(filter(None, node.inputs))
            kept.append(node)
    return tuple(reversed(kept))


def _initializers(graph: GraphProto) -> dict[str, Fixed]:
    constants: dict[str, Fixed] = {}
    weights = 0
    for tensor in graph.initializer:
        if tensor.name in constants:
            raise MalformedModelError(f"Two constants of the model are named {tensor.name!r:.80}.")
        weights += element_count(tensor)
        if weights > MAX_WEIGHTS:
            raise ModelTooLargeError(f"The model has more than {MAX_WEIGHTS} weights.")
        constants[tensor.name] = fixed(tensor, trained=True)
    return constants


def element_count(tensor: TensorProto) -> int:
    """Return how many numbers a tensor of the file has, before it is read."""
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise MalformedModelError(f"Tensor {tensor.name!r:.80} lies outside the model file.")
    if len(tensor.dims) > MAX_RANK or any(not 0 <= each <= MAX_DIMENSION for each in tensor.dims):
        raise ModelTooLargeError(f"Tensor {tensor.name!r:.80} has unacceptable dimensions.")
    if (count := math.prod(tensor.dims)) > MAX_WEIGHTS:
        raise ModelTooLargeError(f"Tensor {tensor.name!r:.80} has more than {MAX_WEIGHTS} numbers.")
    return count


def element_bytes(kind: int) -> int:
    """Return how many bytes an element of a type takes in raw data; 0 for types of which several share a byte."""
    if kind not in FLOATS | INTEGERS | {BOOLEAN}:
        return 0
    return 0 if kind in PACKED else int(onnx.helper.tensor_dtype_to_np_dtype(kind).itemsize)


PACKED = frozenset({TensorProto.INT4, TensorProto.UINT4, TensorProto.INT2, TensorProto.UINT2})


def fixed(tensor: TensorProto, trained: bool = False) -> Fixed:
    """Return a tensor of the file; of floats with several elements none may be NaN or infinite."""
    element_count(tensor)
    try:
        array = numpy_helper.to_array(tensor)
    except Exception as error:  # the parser raises many kinds for foreign bytes
        reason = type(error).__name__
        raise MalformedModelError(f"Tensor {tensor.name!r:.80} cannot be read ({reason}).") from None
    return from_array(array, tensor.data_type, tensor.name, trained)


def from_array(array: NDArray[Any], kind: int, name: str, trained: bool = False) -> Fixed:
    """Return an array as a known tensor; see `fixed`."""
    if kind in FLOATS | SMALL_FLOATS:
        values = array.astype(np.float64)
        if values.size > 1 and not bool(np.isfinite(values).all()):
            raise WeightError(f"A number in {name!r:.80} is NaN or infinite.")
        return Fixed(values, kind, trained and values.ndim > 0)
    if kind in INTEGERS:
        if kind == TensorProto.UINT64 and array.size and int(array.max()) >= 1 << 63:
            raise WeightError(f"A number in {name!r:.80} is beyond 2^63.")
        return Fixed(array.astype(np.int64), kind, trained and array.ndim > 0)
    if kind == BOOLEAN:
        return Fixed(array.astype(np.bool_), kind)
    if kind == TEXT:
        texts = [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in array.flat]
        return Fixed(np.array(texts, dtype=object).reshape(array.shape), kind)
    raise UnsupportedOperatorError(f"Tensor {name!r:.80} has an element type that is not supported ({kind}).")


def _input(value: ValueInfoProto) -> ModelInput:
    if not value.type.HasField("tensor_type"):
        raise UnsupportedOperatorError(f"Input {value.name!r:.80} is not a tensor.")
    kind = value.type.tensor_type
    if kind.elem_type not in FLOATS | SMALL_FLOATS | INTEGERS | {BOOLEAN}:
        raise UnsupportedOperatorError(f"Input {value.name!r:.80} is not a tensor of numbers.")
    if not kind.HasField("shape") or len(kind.shape.dim) > MAX_RANK:
        raise UnsupportedOperatorError(f"Input {value.name!r:.80} has no fixed shape.")
    shape: list[int] = []
    for axis, dim in enumerate(kind.shape.dim):
        size = int(dim.dim_value) if dim.HasField("dim_value") else 0
        if size == 0 and dim.HasField("dim_value"):
            raise UnsupportedOperatorError(f"Input {value.name!r:.80} is empty.")
        if size <= 0 and axis == 0:
            size = 1
        if size <= 0:
            named = f"is dynamic ({dim.dim_param!r:.40})" if dim.dim_param else "is not fixed"
            raise UnsupportedOperatorError(
                f"Input {value.name!r:.80}: dimension {axis} {named}; only the first (the batch) may be."
            )
        if size > MAX_DIMENSION:
            raise ModelTooLargeError(f"Input {value.name!r:.80} has unacceptable dimensions.")
        shape.append(size)
    return ModelInput(value.name, tuple(shape), kind.elem_type)
