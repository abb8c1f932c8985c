# SPDX-License-Identifier: GPL-3.0-or-later
"""Normalisation: BatchNormalization, InstanceNormalization, LayerNormalization, GroupNormalization, RMS, Lp."""

from __future__ import annotations

import math

import numpy as np

from proving.importer import arithmetic
from proving.importer.builder import Builder
from proving.importer.call import Call, Rules
from proving.importer.graph import Function
from proving.importer.operators.elementwise import magnitude
from proving.importer.operators.pooling import averages
from proving.importer.operators.reduction import grouped, square, total
from proving.importer.values import Elements, Fixed, Value, Variable, number


def _batch(call: Call) -> Value:
    """Return scale * (x - mean) / sqrt(variance + epsilon) + bias, one affine map."""
    node = call.node
    if node.integer("training_mode"):
        raise node.unsupported("is in training mode")
    value = call.variable()
    scale, bias, mean, variance = (call.constant(index) for index in range(1, 5))
    if len(value.shape) < 2 or any(each.shape != (value.shape[1],) for each in (scale, bias, mean, variance)):
        raise node.malformed("has statistics that do not fit its channels")
    factors = scale.numbers / np.sqrt(variance.numbers + node.number("epsilon", 1e-5))
    offsets = bias.numbers - mean.numbers * factors
    trained = any(each.trained for each in (scale, bias, mean, variance))
    channel = np.broadcast_to(np.arange(value.shape[1]).reshape(-1, *(1,) * (len(value.shape) - 2)),
                              value.shape).reshape(-1)
    ties = channel.astype(np.int64) if trained else None
    return Variable(call.builder.elementwise(value.elements, factors[channel], offsets[channel], trained, ties, ties),
                    value.type)


def standardised(builder: Builder, table: Elements, epsilon: float, centred: bool = True) -> tuple[Value, ...]:
    """Return (x - mean) / sqrt(mean of squares + epsilon) for each row of a table, the mean, and the divisor.

    Without centring there is no mean, and that place holds the rows themselves.
    """
    value: Value = Variable(table)
    mean: Value = value
    count = np.array(table.shape[1])
    if centred:
        mean = Variable(averages(builder, table, count)[:, None])
        value = arithmetic.subtract(builder, value, mean)
    squares = square(builder, value)
    assert isinstance(squares, Variable)
    variance = Variable(averages(builder, squares.elements, count)[:, None])
    deviation = arithmetic.apply(builder, arithmetic.add(builder, variance, number(epsilon)), Function.SQRT)
    return arithmetic.divide(builder, value, deviation), mean, deviation


def _affine(builder: Builder, value: Value, scale: Value | None, bias: Value | None) -> Value:
    if scale is not None:
        value = arithmetic.multiply(builder, value, scale)
    return value if bias is None else arithmetic.add(builder, value, bias)


def _reshaped(value: Value, shape: tuple[int, ...], kind: int) -> Variable:
    assert isinstance(value, Variable)
    return Variable(value.elements.reshape(shape), kind)


def _layer(call: Call, centred: bool = True) -> tuple[Value, ...]:
    """Return the normalised tensor and, where they are asked for, mean and inverse deviation."""
    value = call.variable()
    axis = call.axis(call.node.integer("axis", -1), len(value.shape))
    table = value.elements.reshape(-1, math.prod(value.shape[axis:]))
    normal, mean, deviation = standardised(call.builder, table, call.node.number("epsilon", 1e-5), centred)
    shaped = _reshaped(normal, value.shape, value.type)
    result = _affine(call.builder, shaped, call.value(1), call.optional(2))
    if not any(call.node.outputs[1:]):
        return (result,)
    inverse = arithmetic.divide(call.builder, number(1.0), deviation)
    shape = value.shape[:axis] + (1,) * (len(value.shape) - axis)
    return result, _reshaped(mean, shape, value.type), _reshaped(inverse, shape, value.type)


def _channelwise(call: Call, groups: int) -> Value:
    value = call.variable()
    if len(value.shape) < 2 or groups < 1 or value.shape[1] % groups:
        raise call.node.malformed("has a number of groups that does not divide its channels")
    table = value.elements.reshape(value.shape[0] * groups, -1)
    normal = standardised(call.builder, table, call.node.number("epsilon", 1e-5))[0]
    scale, bias = (_per_channel(call, call.constant(index), value) for index in (1, 2))
    return _affine(call.builder, _reshaped(normal, value.shape, value.type), scale, bias)


def _per_channel(call: Call, fixed: Fixed, value: Variable) -> Fixed:
    if fixed.shape != (value.shape[1],):
        raise call.node.malformed("has a scale or bias that does not fit its channels")
    shape = (-1, *(1,) * (len(value.shape) - 2))
    return Fixed(fixed.values.reshape(shape), fixed.type, fixed.trained)


def _mean_variance(call: Call) -> Value:
    value = call.variable()
    axes = call.axes(call.node.integers("axes", (0, 2, 3)), len(value.shape))
    table, _ = grouped(value.elements, axes, True)
    normal = standardised(call.builder, table, 1e-9)[0]
    assert isinstance(normal, Variable)
    kept = [each for each in range(len(value.shape)) if each not in axes]
    order = [*kept, *axes]
    spread = normal.elements.reshape([value.shape[each] for each in order])
    return Variable(spread.transpose(np.argsort(order)), value.type)


def _lp(call: Call) -> Value:
    b, value = call.builder, call.variable()
    axis = call.axis(call.node.integer("axis", -1), len(value.shape))
    power = call.node.integer("p", 2)
    if power not in (1, 2):
        raise call.node.unsupported("has a norm other than 1 and 2")
    table, shape = grouped(value.elements, (axis,), True)
    parts = square(b, Variable(table)) if power == 2 else magnitude(b, Variable(table))
    assert isinstance(parts, Variable)
    norm: Value = Variable(total(b, parts.elements).reshape(shape))
    norm = arithmetic.apply(b, norm, Function.SQRT) if power == 2 else norm
    return arithmetic.divide(b, value, norm)


RULES: Rules = {
    "BatchNormalization": _batch,
    "GroupNormalization": lambda call: _channelwise(call, call.node.integer("num_groups")),
    "InstanceNormalization": lambda call: _channelwise(call, call.variable().shape[1]),
    "LayerNormalization": _layer,
    "LpNormalization": _lp,
    "MeanVarianceNormalization": _mean_variance,
    "RMSNormalization": lambda call: _layer(call, False)[0],
}
