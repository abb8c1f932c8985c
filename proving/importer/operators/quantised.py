# SPDX-License-Identifier: GPL-3.0-or-later
"""Models quantised before export: QuantizeLinear and DequantizeLinear, QLinearConv and QLinearMatMul, integer kinds.

An integer tensor is its whole numbers; quantising is a division, a clip and a rounding to even.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from proving.importer import arithmetic
from proving.importer.call import Call, Rules
from proving.importer.graph import Rounding
from proving.importer.operators.convolution import convolve
from proving.importer.operators.elementwise import clip
from proving.importer.operators.linear import matmul
from proving.importer.values import INTEGER_BITS, Fixed, Value, number


def quantise(call: Call, value: Value, scale: Fixed, zero: Fixed, kind: int) -> Value:
    """Return round(value / scale) + zero within the range of an integer element type."""
    if kind not in INTEGER_BITS:
        raise call.node.unsupported(f"quantises to element type {kind}, which is no integer")
    b, (low, high) = call.builder, INTEGER_BITS[kind]
    steps = arithmetic.divide(b, value, scale)
    bounds = [arithmetic.fold(np.subtract, number(float(each)), Fixed(zero.numbers)) for each in (low, high)]
    whole = arithmetic.rounded(b, clip(b, steps, bounds[0], bounds[1]), Rounding.NEAREST_EVEN)
    return arithmetic.cast(b, arithmetic.add(b, whole, Fixed(zero.numbers)), kind)


def dequantise(call: Call, value: Value, scale: Fixed, zero: Fixed | None) -> Value:
    """Return (value - zero) * scale, as float."""
    b = call.builder
    centred = arithmetic.cast(b, value, TensorProto.FLOAT)
    if zero is not None:
        centred = arithmetic.subtract(b, centred, Fixed(zero.numbers, TensorProto.FLOAT, zero.trained))
    return arithmetic.multiply(b, centred, scale)


def _along_axis(call: Call, fixed: Fixed | None, shape: tuple[int, ...]) -> Fixed | None:
    """Return a scale or zero point ready to broadcast: one for all, one for each index of an axis, or blocks."""
    if fixed is None or fixed.values.size == 1:
        return None if fixed is None else Fixed(fixed.values.reshape(()), fixed.type, fixed.trained)
    axis = call.axis(call.node.integer("axis", 1), len(shape))
    if block := call.node.integer("block_size"):
        if len(fixed.shape) != len(shape) or block < 1 or fixed.shape[axis] * block < shape[axis]:
            raise call.node.malformed("has blocks that do not fit its input")
        index = np.arange(shape[axis]) // block
        return Fixed(np.take(fixed.values, index, axis=axis), fixed.type, fixed.trained)
    if fixed.shape != (shape[axis],):
        raise call.node.malformed(f"has {fixed.values.size} scales or zero points for {shape[axis]} indices")
    place = [1] * len(shape)
    place[axis] = shape[axis]
    return Fixed(fixed.values.reshape(place), fixed.type, fixed.trained)


def _zero(kind: int = TensorProto.UINT8) -> Fixed:
    return Fixed(np.zeros((), dtype=np.int64), kind)


def _quantize(call: Call) -> Value:
    value, zero = call.value(), call.fixed(2)
    kind = zero.type if zero is not None else call.node.integer("output_dtype") or TensorProto.UINT8
    scale = _along_axis(call, call.constant(1), value.shape)
    assert scale is not None
    return quantise(call, value, scale, _along_axis(call, zero, value.shape) or _zero(), kind)


def _dequantize(call: Call) -> Value:
    value = call.value()
    scale = _along_axis(call, call.constant(1), value.shape)
    assert scale is not None
    return dequantise(call, value, scale, _along_axis(call, call.fixed(2), value.shape))


def _centred(call: Call, value: Value, zero: Fixed | None, axis: int | None = None) -> Value:
    """Return an integer tensor minus its zero point, as float; a zero point for each index goes along the axis."""
    found = arithmetic.cast(call.builder, value, TensorProto.FLOAT)
    if zero is None:
        return found
    numbers = zero.numbers
    if numbers.size > 1:
        if axis is None or numbers.ndim != 1:
            return arithmetic.subtract(call.builder, found, Fixed(numbers))
        place = [1] * len(value.shape)
        place[axis] = -1
        numbers = numbers.reshape(place)
    else:
        numbers = numbers.reshape(())
    return arithmetic.subtract(call.builder, found, Fixed(numbers))


def _convolution(call: Call, value: Value, kernel: Value, bias: Fixed | None) -> Value:
    if not isinstance(kernel, Fixed):
        raise call.node.unsupported("needs a constant kernel")
    variable = call.builder.variable(value)
    groups = call.node.integer("group", 1)
    if len(variable.shape) < 3 or len(kernel.shape) != len(variable.shape) or groups < 1 \
            or variable.shape[1] % groups:
        raise call.node.malformed("needs an input and a kernel of the same rank, at least 3")
    elements = convolve(call, variable.elements, kernel, bias, groups)
    return type(variable)(elements, TensorProto.INT32)


def _conv_integer(call: Call) -> Value:
    value = _centred(call, call.value(0), call.fixed(2))
    return _convolution(call, value, _centred(call, call.constant(1), call.fixed(3), 0), None)


def _qlinear_conv(call: Call) -> Value:
    x_scale, w_scale, y_scale, y_zero = (call.constant(index) for index in (1, 4, 6, 7))
    value = _centred(call, call.value(0), call.constant(2))
    kernel = _centred(call, call.constant(3), call.constant(5), 0)
    bias = call.fixed(8)
    offsets = None if bias is None else Fixed(bias.numbers, TensorProto.FLOAT, bias.trained)
    sums = arithmetic.cast(call.builder, _convolution(call, value, kernel, offsets), TensorProto.FLOAT)
    place = (-1, *(1,) * (len(sums.shape) - 2)) if w_scale.values.size > 1 else ()
    unit = x_scale.numbers.reshape(()) * w_scale.numbers.reshape(place)
    real = arithmetic.multiply(call.builder, sums, Fixed(unit))
    return quantise(call, real, Fixed(y_scale.numbers.reshape(())), _point(y_zero), y_zero.type)


def _point(zero: Fixed) -> Fixed:
    return Fixed(zero.values.reshape(()), zero.type)


def _matmul_integer(call: Call) -> Value:
    left, right = _matrices(call, 0, call.fixed(2), 1, call.fixed(3))
    return arithmetic.cast(call.builder, matmul(call.builder, left, right), TensorProto.INT32)


def _matrices(call: Call, first: int, first_zero: Fixed | None, second: int,
              second_zero: Fixed | None) -> tuple[Value, Value]:
    """Return both operands minus their zero points: those of the left one go by row, of the right one by column."""
    left, right = call.value(first), call.value(second)
    return (_centred(call, left, first_zero, len(left.shape) - 2),
            _centred(call, right, second_zero, len(right.shape) - 1))


def _qlinear_matmul(call: Call) -> Value:
    a_scale, b_scale, y_scale, y_zero = (call.constant(index) for index in (1, 4, 6, 7))
    left, right = _matrices(call, 0, call.constant(2), 3, call.constant(5))
    a_unit = a_scale.numbers.reshape(-1, 1) if a_scale.values.size > 1 else a_scale.numbers.reshape(())
    b_unit = b_scale.numbers.reshape(-1) if b_scale.values.size > 1 else b_scale.numbers.reshape(())
    real = arithmetic.multiply(call.builder, matmul(call.builder, left, right), Fixed(a_unit * b_unit))
    return quantise(call, real, Fixed(y_scale.numbers.reshape(())), _point(y_zero), y_zero.type)


RULES: Rules = {
    "ConvInteger": _conv_integer,
    "DequantizeLinear": _dequantize,
    "MatMulInteger": _matmul_integer,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
    "QuantizeLinear": _quantize,
}
