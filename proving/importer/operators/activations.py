# SPDX-License-Identifier: GPL-3.0-or-later
"""Activation functions, each reduced to ReLU, the smooth functions and arithmetic."""

from __future__ import annotations

from proving.importer import arithmetic
from proving.importer.call import Call, Rules
from proving.importer.graph import Comparison, Function
from proving.importer.operators.elementwise import clip, function, magnitude
from proving.importer.values import Value, number

SQRT_HALF = 0.7071067811865476
SQRT_2_OVER_PI = 0.7978845608028654
GELU_CUBIC = 0.044715
SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


def _relu(call: Call) -> Value:
    return arithmetic.relu(call.builder, call.value())


def _leaky(call: Call) -> Value:
    return _sloped(call, number(call.node.number("alpha", 0.01)))


def _prelu(call: Call) -> Value:
    return _sloped(call, call.value(1))


def _sloped(call: Call, slope: Value) -> Value:
    """Return x where x is positive, else slope * x, with one decomposition and each slope used once."""
    b, x = call.builder, call.value()
    positive = arithmetic.relu(b, x)
    return arithmetic.add(b, positive, arithmetic.multiply(b, arithmetic.subtract(b, x, positive), slope))


def _exponential_tail(call: Call, alpha: float, stretch: float = 1.0) -> Value:
    """Return relu(x) + alpha * (exp(min(x, 0) / stretch) - 1)."""
    b, x = call.builder, call.value()
    positive = arithmetic.relu(b, x)
    negative = arithmetic.multiply(b, arithmetic.subtract(b, x, positive), number(1.0 / stretch))
    tail = arithmetic.subtract(b, arithmetic.apply(b, negative, Function.EXP), number(1.0))
    return arithmetic.add(b, positive, arithmetic.multiply(b, tail, number(alpha)))


def _elu(call: Call) -> Value:
    return _exponential_tail(call, call.node.number("alpha", 1.0))


def _celu(call: Call) -> Value:
    alpha = call.node.number("alpha", 1.0)
    return _exponential_tail(call, alpha, alpha)


def _selu(call: Call) -> Value:
    inner = _exponential_tail(call, call.node.number("alpha", SELU_ALPHA))
    return arithmetic.multiply(call.builder, inner, number(call.node.number("gamma", SELU_GAMMA)))


def _hard(call: Call, alpha: float, beta: float) -> Value:
    b = call.builder
    line = arithmetic.add(b, arithmetic.multiply(b, call.value(), number(alpha)), number(beta))
    return clip(b, line, number(0.0), number(1.0))


def _hard_sigmoid(call: Call) -> Value:
    return _hard(call, call.node.number("alpha", 0.2), call.node.number("beta", 0.5))


def _hard_swish(call: Call) -> Value:
    return arithmetic.multiply(call.builder, call.value(), _hard(call, 1.0 / 6.0, 0.5))


def _thresholded(call: Call) -> Value:
    b, x = call.builder, call.value()
    above = arithmetic.compare(b, Comparison.GREATER, x, number(call.node.number("alpha", 1.0)))
    return arithmetic.select(b, above, x, number(0.0))


def _softsign(call: Call) -> Value:
    b, x = call.builder, call.value()
    return arithmetic.divide(b, x, arithmetic.add(b, magnitude(b, x), number(1.0)))


def _mish(call: Call) -> Value:
    b, x = call.builder, call.value()
    gate = arithmetic.apply(b, arithmetic.apply(b, x, Function.SOFTPLUS), Function.TANH)
    return arithmetic.multiply(b, x, gate)


def _swish(call: Call) -> Value:
    b, x = call.builder, call.value()
    gate = arithmetic.apply(b, arithmetic.multiply(b, x, number(call.node.number("alpha", 1.0))), Function.SIGMOID)
    return arithmetic.multiply(b, x, gate)


def _gelu(call: Call) -> Value:
    b, x = call.builder, call.value()
    if call.node.text("approximate", "none") == "tanh":
        cube = arithmetic.whole_power(b, x, 3)
        inner = arithmetic.add(b, x, arithmetic.multiply(b, cube, number(GELU_CUBIC)))
        gate = arithmetic.apply(b, arithmetic.multiply(b, inner, number(SQRT_2_OVER_PI)), Function.TANH)
    else:
        gate = arithmetic.apply(b, arithmetic.multiply(b, x, number(SQRT_HALF)), Function.ERF)
    half = arithmetic.multiply(b, arithmetic.add(b, gate, number(1.0)), number(0.5))
    return arithmetic.multiply(b, x, half)


def _shrink(call: Call) -> Value:
    """Return x - bias above lambd, x + bias below -lambd, else 0."""
    b, x = call.builder, call.value()
    bound, bias = call.node.number("lambd", 0.5), number(call.node.number("bias", 0.0))
    above = arithmetic.compare(b, Comparison.GREATER, x, number(bound))
    below = arithmetic.compare(b, Comparison.GREATER, number(-bound), x)
    low = arithmetic.select(b, below, arithmetic.add(b, x, bias), number(0.0))
    return arithmetic.select(b, above, arithmetic.subtract(b, x, bias), low)


def _hyperbolic(call: Call, sign: float) -> Value:
    b, x = call.builder, call.value()
    rising = arithmetic.apply(b, x, Function.EXP)
    falling = arithmetic.apply(b, arithmetic.negate(b, x), Function.EXP)
    both = arithmetic.add(b, rising, arithmetic.multiply(b, falling, number(sign)))
    return arithmetic.multiply(b, both, number(0.5))


RULES: Rules = {
    "Atan": function(Function.ATAN),
    "Celu": _celu,
    "Cos": function(Function.COS),
    "Cosh": lambda call: _hyperbolic(call, 1.0),
    "Elu": _elu,
    "Erf": function(Function.ERF),
    "Exp": function(Function.EXP),
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "LeakyRelu": _leaky,
    "Log": function(Function.LOG),
    "Mish": _mish,
    "PRelu": _prelu,
    "Relu": _relu,
    "Selu": _selu,
    "Shrink": _shrink,
    "Sigmoid": function(Function.SIGMOID),
    "Sin": function(Function.SIN),
    "Sinh": lambda call: _hyperbolic(call, -1.0),
    "Softplus": function(Function.SOFTPLUS),
    "Softsign": _softsign,
    "Swish": _swish,
    "Tanh": function(Function.TANH),
    "ThresholdedRelu": _thresholded,
}
