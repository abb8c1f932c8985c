# SPDX-License-Identifier: GPL-3.0-or-later
"""A model without its weights: the ONNX file that a bundle with private weights shows to everybody.

The circuit of private weights depends on the architecture alone, so a file with other weights in the same places
compiles to the same circuit; that, and that no trained value of the original is left, is checked before it is used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, numpy_helper

from protocol.errors import PrivateWeightsError
from proving.fixedpoint.passes.reading import needed
from proving.groth16.compiled import CompiledModel, compile_model
from proving.importer.graph import Graph, Linear
from proving.importer.model import import_model
from proving.settings import ModelSettings
from proving.sparse import Array

OPERANDS = {
    "Gemm": (1, 2), "MatMul": (0, 1), "Conv": (1, 2), "ConvTranspose": (1, 2), "Add": (0, 1),
    "BatchNormalization": (1, 2, 3, 4),
}
"""Where the operators that are trained take their weights."""
ATTRIBUTES = {
    "LinearClassifier": ("coefficients", "intercepts"),
    "LinearRegressor": ("coefficients", "intercepts"),
    "SVMClassifier": ("coefficients", "rho"),
    "SVMRegressor": ("coefficients", "rho"),
}


SEEDS = (b"1", b"2", b"3")
"""Placeholders have 16 random bits: that one is the same under three seeds by chance has the odds 2^-32."""


def without_weights(model: bytes, settings: ModelSettings, compiled: CompiledModel) -> bytes:
    """Return the model file with placeholders in place of its trained weights.

    Raises:
        PrivateWeightsError: a trained weight would stay readable, or the circuit depends on more than the
            architecture; the message names the layer.
    """
    first, *others = (_replaced(model, seed) for seed in SEEDS)
    _check_gone(import_model(model), [import_model(each) for each in (first, *others)])
    if compile_model(first, settings).circuit_hash != compiled.circuit_hash:
        raise PrivateWeightsError("The circuit of this model depends on its weights, so they cannot be private.")
    return first


def _replaced(model: bytes, seed: bytes) -> bytes:
    proto = onnx.load_model_from_string(model)
    taken = set(_weights_of(proto))
    for tensor in proto.graph.initializer:
        if tensor.name in taken and tensor.data_type in (TensorProto.FLOAT, TensorProto.DOUBLE):
            values = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(_placeholder(seed, tensor.name, values), tensor.name))
    for node in proto.graph.node:
        for attribute in node.attribute:
            _replace_attribute(node, attribute, seed, taken)
    del proto.metadata_props[:]
    proto.doc_string = proto.graph.doc_string = ""
    return bytes(proto.SerializeToString(deterministic=True))


def _weights_of(proto: ModelProto) -> Iterator[str]:
    for node in proto.graph.node:
        for place in OPERANDS.get(node.op_type, ()):
            if place < len(node.input):
                yield node.input[place]


def _replace_attribute(node: NodeProto, attribute: AttributeProto, seed: bytes, taken: set[str]) -> None:
    if attribute.name in ATTRIBUTES.get(node.op_type, ()):
        values = np.array(attribute.floats, dtype=np.float32)
        del attribute.floats[:]
        attribute.floats.extend(_placeholder(seed, f"{node.name}.{attribute.name}", values).tolist())
    elif node.op_type == "Constant" and attribute.name == "value" and node.output[0] in taken:
        values = numpy_helper.to_array(attribute.t)
        if values.dtype in (np.float32, np.float64):
            attribute.t.CopyFrom(numpy_helper.from_array(_placeholder(seed, node.output[0], values), attribute.t.name))


def _placeholder(seed: bytes, name: str, like: Array) -> Array:
    """Return numbers from 1/16 to 1/8: none is zero, none fits worse than the weights of a trained model."""
    drawn = hashlib.shake_256(seed + name.encode()).digest(2 * like.size)
    values = (np.frombuffer(drawn, dtype="<u2").astype(np.float64) + 65536) / 2**20
    return values.astype(like.dtype).reshape(like.shape)


def _check_gone(original: Graph, replaced: Sequence[Graph]) -> None:
    """Refuse where a trained value is the same under all sets of placeholders: then it is not a placeholder."""
    trained = _trained(original)
    if not trained:
        raise PrivateWeightsError("The model has no layer with trained weights.")
    others = [_trained(graph) for graph in replaced]
    if any(len(each) != len(trained) for each in others):
        raise PrivateWeightsError("The shape of this model depends on its weights, so they cannot be private.")
    for index, (label, _) in enumerate(trained):
        layers = [each[index][1] for each in others]
        if _same([each.matrix.values for each in layers]) or _same([each.bias for each in layers]):
            raise PrivateWeightsError(f"The weights of layer {label!r} would stay readable in the model file.")


def _trained(graph: Graph) -> list[tuple[str, Linear]]:
    """Return the layers with trained weights in front of the scores, each with its name."""
    found = []
    for ref in needed(graph.nodes, graph.head.scores):
        node = graph.nodes[ref]
        if isinstance(node, Linear) and node.trained:
            found.append((graph.labels[ref] if graph.labels else str(ref), node))
    return found


def _same(sets: Sequence[Array]) -> bool:
    """Say whether a value other than zero is equal in all."""
    first, *others = sets
    if any(each.shape != first.shape for each in others):
        return True
    equal = np.logical_and.reduce([first == each for each in others])
    return bool(np.any(equal & (first != 0)))
