# SPDX-License-Identifier: GPL-3.0-or-later
"""Elementwise arithmetic: Add, Sub, Mul, Div, Pow, Neg, Abs, Min, Max, Sum, Mean, Clip, roundings and kin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext

import numpy as np

from proving.importer import arithmetic
from proving.importer.builder import Builder
from proving.importer.call import Call, Rule, Rules
from proving.importer.graph import Comparison, Function, Rounding
from proving.importer.values import INTEGERS, Fixed, Value, Variable, number

LOGARITHM_DIGITS = 40
MAX_POWER = 64


def _binary(operation: Callable[[Builder, Value, Value], Value]) -> Rule:
    return lambda call: operation(call.builder, call.value(0), call.value(1))


def _several(operation: Callable[[Builder, Sequence[Value]], Value]) -> Rule:
    def rule(call: Call) -> Value:
        return operation(call.builder, [call.value(index) for index in range(len(call.operands))])

    return rule


def add_all(builder: Builder, values: Sequence[Value]) -> Value:
    """Return the sum of values with broadcasting."""
    variables = [each for each in values if isinstance(each, Variable)]
    if len(variables) < 2:
        total = values[0]
        for each in values[1:]:
            total = arithmetic.add(builder, total, each)
        return total
    shape = arithmetic.common_shape(*values)
    table = np.stack([arithmetic.expand(each, shape).reshape(-1) for each in variables], axis=1)
    result: Value = Variable(builder.combine(table, 1.0).reshape(shape), variables[0].type)
    for value in values:
        if isinstance(value, Fixed):
            result = arithmetic.add(builder, result, value)
    return result


def _mean(builder: Builder, values: Sequence[Value]) -> Value:
    return arithmetic.multiply(builder, add_all(builder, values), number(1.0 / len(values)))


def absolute(builder: Builder, value: Value) -> Value:
    """Return |x| as 2 relu(x) - x: one decomposition."""
    if isinstance(value, Fixed):
        return arithmetic.fold(np.abs, value)
    positive = builder.relu(value.elements).reshape(-1)
    table = np.stack([positive, value.elements.reshape(-1)], axis=1)
    return Variable(builder.combine(table, np.array([2.0, -1.0])).reshape(value.shape), value.type)


def magnitude(builder: Builder, value: Value) -> Value:
    """Return |x| as relu(x) + relu(-x): two decompositions, but intervals show that it is not negative."""
    return arithmetic.add(builder, arithmetic.relu(builder, value),
                          arithmetic.relu(builder, arithmetic.negate(builder, value)))


def clip(builder: Builder, value: Value, low: Fixed | None, high: Fixed | None) -> Value:
    """Return `min(max(value, low), high)`."""
    if low is not None:
        value = arithmetic.at_least(builder, value, low)
    return value if high is None else arithmetic.at_most(builder, value, high)


def _clip(call: Call) -> Value:
    if call.node.version < 11:
        low = number(call.node.number("min", -np.inf))
        return clip(call.builder, call.value(), low, number(call.node.number("max", np.inf)))
    value, low_bound, high_bound = call.value(), call.optional(1), call.optional(2)
    if low_bound is not None:
        value = arithmetic.maximum(call.builder, [value, low_bound])
    return value if high_bound is None else arithmetic.minimum(call.builder, [value, high_bound])


def _sign(call: Call) -> Value:
    value = call.value()
    if isinstance(value, Fixed):
        return arithmetic.fold(np.sign, value)
    zero = number(0.0)
    above = arithmetic.compare(call.builder, Comparison.GREATER, value, zero)
    below = arithmetic.compare(call.builder, Comparison.GREATER, zero, value)
    return arithmetic.cast(call.builder, arithmetic.subtract(call.builder, above, below), value.type)


def _rounding(rounding: Rounding) -> Rule:
    return lambda call: arithmetic.rounded(call.builder, call.value(), rounding)


def _power(call: Call) -> Value:
    base, exponent = call.value(0), call.value(1)
    if isinstance(exponent, Variable):
        return _exponential(call, base, exponent)
    distinct = np.unique(exponent.numbers)
    shape = arithmetic.common_shape(base, exponent)
    if len(distinct) == 1:
        return _broadcast(call.builder, _constant_power(call, base, float(distinct[0])), shape)
    whole = call.builder.variable(_broadcast(call.builder, base, shape)).elements
    exponents = np.broadcast_to(exponent.numbers, shape)
    elements = np.empty(shape, dtype=np.int64)
    odd = exponents % 0.5 != 0
    if odd.any():  # one logarithm and one exponential for all of them
        powers = _fractional_power(call, Variable(whole[odd], base.type), Fixed(exponents[odd]))
        elements[odd] = call.builder.variable(powers).elements
    for each in np.unique(exponents[~odd]):
        chosen = exponents == each
        part = _constant_power(call, Variable(whole[chosen], base.type), float(each))
        elements[chosen] = call.builder.variable(part).elements
    return Variable(elements, base.type)


def _fractional_power(call: Call, base: Value, exponent: Value) -> Value:
    """Return base ** exponent for a positive base."""
    logarithm = arithmetic.apply(call.builder, base, Function.LOG)
    return arithmetic.apply(call.builder, arithmetic.multiply(call.builder, logarithm, exponent), Function.EXP)


def _broadcast(builder: Builder, value: Value, shape: tuple[int, ...]) -> Value:
    if isinstance(value, Fixed):
        return Fixed(np.broadcast_to(value.values, shape), value.type, value.trained)
    return Variable(arithmetic.expand(value, shape), value.type)


def _constant_power(call: Call, base: Value, exponent: float) -> Value:
    builder = call.builder
    if exponent == 0:
        return Fixed(np.ones(base.shape), base.type)
    if isinstance(base, Fixed) and exponent == 0.5:
        return arithmetic.fold(np.sqrt, base)
    magnitude = abs(exponent)
    if magnitude > MAX_POWER:
        raise call.node.unsupported(f"has an exponent beyond {MAX_POWER}")
    whole = int(magnitude)
    match magnitude - whole:
        case 0.0:
            result = arithmetic.whole_power(builder, base, whole)
        case 0.5:
            result = arithmetic.apply(builder, base, Function.SQRT)
            if whole:
                result = arithmetic.multiply(builder, result, arithmetic.whole_power(builder, base, whole))
        case _:
            return _fractional_power(call, base, number(exponent))
    return result if exponent > 0 else arithmetic.divide(builder, number(1.0), result)


def _exponential(call: Call, base: Value, exponent: Variable) -> Value:
    """Return base ** exponent for a variable exponent and a positive base."""
    if isinstance(base, Variable):
        return _fractional_power(call, base, exponent)
    if base.values.size > MAX_POWER or not bool((base.numbers > 0).all()):
        raise call.node.unsupported("raises something else than a few positive constants to a variable power")
    logarithm = Fixed(np.array([_ln(float(x)) for x in base.numbers.flat]).reshape(base.shape), base.type)
    return arithmetic.apply(call.builder, arithmetic.multiply(call.builder, logarithm, exponent), Function.EXP)


def _ln(value: float) -> float:
    """Return the natural logarithm, the same on every machine (libm's is not)."""
    with localcontext() as context:
        context.prec = LOGARITHM_DIGITS
        return float(Decimal(value).ln())


def function(kind: Function) -> Rule:
    """Return the rule of an operator that is one of the smooth functions."""
    return lambda call: arithmetic.apply(call.builder, call.value(), kind)


def _square_root(call: Call) -> Value:
    value = call.value()
    if isinstance(value, Fixed):
        return arithmetic.fold(np.sqrt, value)
    return arithmetic.apply(call.builder, value, Function.SQRT)


def _reciprocal(call: Call) -> Value:
    return arithmetic.divide(call.builder, number(1.0), call.value())


def _mod(call: Call) -> Value:
    """Return the remainder by constants, with the sign of the divisor (or, with fmod, of the dividend)."""
    value, divisor = call.value(0), call.constant(1)
    if isinstance(value, Fixed):
        return arithmetic.fold(np.fmod if call.node.integer("fmod") else np.mod, value, divisor)
    rounding = Rounding.TOWARDS_ZERO if call.node.integer("fmod") else Rounding.FLOOR
    shape = arithmetic.common_shape(value, divisor)
    if not bool((divisor.values != 0).all()):
        raise call.node.malformed("divides by zero")
    ratio = arithmetic.multiply(call.builder, value, Fixed(1.0 / divisor.numbers, divisor.type))
    if value.type in INTEGERS:
        # x / d for whole numbers is at least 1/d away from the next multiple: move to the middle of that gap.
        inward = Fixed(0.5 / np.abs(divisor.numbers), divisor.type)
        if rounding is Rounding.TOWARDS_ZERO:
            raise call.node.unsupported("with fmod of integers is not supported")
        ratio = arithmetic.add(call.builder, ratio, inward)
    parts = arithmetic.rounded(call.builder, ratio, rounding)
    whole = arithmetic.multiply(call.builder, parts, divisor)
    result = arithmetic.subtract(call.builder, value, whole)
    return _broadcast(call.builder, result, shape)


RULES: Rules = {
    "Abs": lambda call: absolute(call.builder, call.value()),
    "Add": _binary(arithmetic.add),
    "Ceil": _rounding(Rounding.CEIL),
    "Clip": _clip,
    "Div": _binary(arithmetic.divide),
    "Floor": _rounding(Rounding.FLOOR),
    "Max": _several(arithmetic.maximum),
    "Mean": _several(_mean),
    "Min": _several(arithmetic.minimum),
    "Mod": _mod,
    "Mul": _binary(arithmetic.multiply),
    "Neg": lambda call: arithmetic.negate(call.builder, call.value()),
    "Pow": _power,
    "Reciprocal": _reciprocal,
    "Round": _rounding(Rounding.NEAREST_EVEN),
    "Sign": _sign,
    "Sqrt": _square_root,
    "Sub": _binary(arithmetic.subtract),
    "Sum": _several(add_all),
}
