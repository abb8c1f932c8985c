# SPDX-License-Identifier: GPL-3.0-or-later
"""Constants, shapes as constants, and element types: Constant, ConstantOfShape, Shape, Size, Range, Cast."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from proving.importer import arithmetic
from proving.importer.call import Call, Rules
from proving.importer.operators.shape import check_size
from proving.importer.reader import fixed as read_tensor
from proving.importer.reader import from_array
from proving.importer.values import SMALL_FLOATS, Fixed, Value


def _cast(call: Call) -> Value:
    return _cast_to(call, call.value(), call.node.integer("to"))


def _cast_to(call: Call, value: Value, kind: int) -> Value:
    if kind not in arithmetic.NUMERIC or value.type not in arithmetic.NUMERIC | SMALL_FLOATS:
        raise call.node.unsupported(f"casts element type {value.type} to {kind}, which is not supported")
    return arithmetic.cast(call.builder, value, kind)


def _constant(call: Call) -> Value:
    node = call.node
    if (tensor := node.tensor("value")) is not None:
        return read_tensor(tensor)
    for name, values, kind in (
        ("value_float", node.number, TensorProto.FLOAT), ("value_floats", node.numbers, TensorProto.FLOAT),
        ("value_int", node.integer, TensorProto.INT64), ("value_ints", node.integers, TensorProto.INT64),
    ):
        if node.has(name):
            return from_array(np.asarray(values(name)), kind, node.name)
    raise node.unsupported("holds something else than a dense tensor")


def _constant_of_shape(call: Call) -> Value:
    shape, tensor = call.integers(0), call.node.tensor("value")
    if shape is None:
        raise call.node.malformed("has no shape")
    check_size(shape)
    filler = Fixed(np.zeros(1)) if tensor is None else read_tensor(tensor)
    return Fixed(np.full(shape, filler.values.reshape(())), filler.type)


def _shape(call: Call) -> Value:
    shape = call.value().shape
    start, end = call.node.integer("start"), call.node.integer("end", len(shape))
    return Fixed(np.array(shape[start:end], dtype=np.int64), TensorProto.INT64)


def _size(call: Call) -> Value:
    return Fixed(np.array(math.prod(call.value().shape), dtype=np.int64), TensorProto.INT64)


def _range(call: Call) -> Value:
    start, limit, step = (call.constant(index) for index in range(3))
    if float(step.numbers.reshape(())) == 0:
        raise call.node.malformed("has a step of 0")
    count = math.ceil((float(limit.numbers.reshape(())) - float(start.numbers.reshape(())))
                      / float(step.numbers.reshape(())))
    check_size((max(0, count),))
    return Fixed(start.values.reshape(()) + np.arange(max(0, count)) * step.values.reshape(()), start.type)


RULES: Rules = {
    "Cast": _cast,
    "CastLike": lambda call: _cast_to(call, call.value(), call.value(1).type),
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Shape": _shape,
    "Size": _size,
}
