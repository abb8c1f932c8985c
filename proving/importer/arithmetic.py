# SPDX-License-Identifier: GPL-3.0-or-later
"""Elementwise arithmetic on values with ONNX's broadcasting: folded where known, else nodes of the graph.

Folding uses only operations that IEEE-754 rounds correctly (+, -, *, /, square root, comparison), so it gives
the same numbers on every machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from protocol.errors import ModelTooLargeError, WeightError
from proving.importer.builder import Builder, distinct_elements
from proving.importer.graph import Compare, Comparison, Divide, Function, Maximum, Multiply, Rounding, Select
from proving.importer.limits import MAX_ELEMENTS
from proving.importer.values import BOOLEAN, FLOATS, INTEGERS, Elements, Fixed, Value, Variable, number
from proving.sparse import Array

NUMERIC = FLOATS | INTEGERS | {BOOLEAN}
"""Element types that can be computed with."""
STRUCTURE = -1
"""The parameter number of what is no weight; see graph.Linear."""


def common_shape(*values: Value) -> tuple[int, ...]:
    """Return the shape that operands broadcast to; ValueError if they do not fit each other."""
    shape = np.broadcast_shapes(*(each.shape for each in values))
    if math.prod(shape) > MAX_ELEMENTS:
        raise ModelTooLargeError(f"An operation has more than {MAX_ELEMENTS} results.")
    return shape


def fold(operation: Callable[..., Any], *values: Fixed, kind: int | None = None) -> Fixed:
    """Compute on known numbers."""
    common_shape(*values)
    found = np.asarray(operation(*(each.values for each in values)))
    return Fixed(found, values[0].type if kind is None else kind, any(each.trained for each in values))


def spread(value: Fixed, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return a known tensor broadcast to a shape and flattened, and the number of the original element of each."""
    numbers = np.broadcast_to(value.numbers, shape).reshape(-1)
    source = np.arange(value.values.size, dtype=np.int64).reshape(value.shape)
    tied = np.broadcast_to(source, shape).reshape(-1)
    return np.array(numbers), np.array(tied) if value.trained else np.full(numbers.shape, STRUCTURE, dtype=np.int64)


def expand(value: Variable, shape: tuple[int, ...]) -> Elements:
    return np.broadcast_to(value.elements, shape)


def add(builder: Builder, left: Value, right: Value) -> Value:
    return _sum(builder, left, right, 1.0)


def subtract(builder: Builder, left: Value, right: Value) -> Value:
    return _sum(builder, left, right, -1.0)


def _sum(builder: Builder, left: Value, right: Value, sign: float) -> Value:
    """Return `left + sign * right`."""
    if isinstance(left, Fixed) and isinstance(right, Fixed):
        return fold(np.add if sign > 0 else np.subtract, left, right)
    shape = common_shape(left, right)
    if isinstance(left, Variable) and isinstance(right, Variable):
        table = np.stack([expand(left, shape).reshape(-1), expand(right, shape).reshape(-1)], axis=1)
        return Variable(builder.combine(table, np.array([1.0, sign])).reshape(shape), left.type)
    if isinstance(left, Variable):
        variable, fixed, own, other = left, right, 1.0, sign
    else:
        assert isinstance(right, Variable)
        variable, fixed, own, other = right, left, sign, 1.0
    assert isinstance(fixed, Fixed)
    if own == 1.0 and shape == variable.shape and not fixed.values.any() and not fixed.trained:
        return variable
    offsets, tied = spread(fixed, shape)
    elements = expand(variable, shape)
    ones = np.full(elements.size, own)
    return Variable(builder.elementwise(elements, ones, other * offsets, fixed.trained,
                                        np.full(elements.size, STRUCTURE, dtype=np.int64), tied), variable.type)


def multiply(builder: Builder, left: Value, right: Value) -> Value:
    if isinstance(left, Fixed) and isinstance(right, Fixed):
        return fold(np.multiply, left, right)
    shape = common_shape(left, right)
    if isinstance(left, Variable) and isinstance(right, Variable):
        return Variable(product(builder, expand(left, shape), expand(right, shape)), left.type)
    variable, fixed = (left, right) if isinstance(left, Variable) else (right, left)
    assert isinstance(variable, Variable) and isinstance(fixed, Fixed)
    return scale(builder, variable, fixed)


def product(builder: Builder, left: Elements, right: Elements) -> Elements:
    """Return the elementwise product of elements of one shape."""
    node = Multiply(builder.vector(left), builder.vector(right))
    return builder.emit(node, left.size).reshape(left.shape)


def scale(builder: Builder, variable: Variable, fixed: Fixed) -> Value:
    """Return `variable * fixed`."""
    shape = common_shape(variable, fixed)
    if shape == variable.shape and not fixed.trained and bool((fixed.values == 1).all()):
        return variable
    factors, tied = spread(fixed, shape)
    elements = expand(variable, shape)
    nothing = np.full(elements.size, STRUCTURE, dtype=np.int64)
    return Variable(builder.elementwise(elements, factors, np.zeros(elements.size), fixed.trained, tied, nothing),
                    variable.type)


def negate(builder: Builder, value: Value) -> Value:
    return multiply(builder, value, Fixed(np.array(-1, dtype=np.int64) if value.type in INTEGERS else np.array(-1.0)))


def divide(builder: Builder, left: Value, right: Value) -> Value:
    """Return the quotient; of integers, cut towards zero."""
    whole = left.type in INTEGERS
    if isinstance(left, Fixed) and isinstance(right, Fixed):
        return fold(_cut_quotient if whole else np.divide, left, right)
    if isinstance(right, Fixed) and not whole:
        return multiply(builder, left, Fixed(1.0 / right.numbers, right.type, right.trained))
    shape = common_shape(left, right)
    if isinstance(left, Fixed) and not whole:
        assert isinstance(right, Variable)
        inverted = Variable(builder.apply(right.elements, Function.RECIPROCAL), right.type)
        return multiply(builder, left, inverted)
    above, below = expand(builder.variable(left), shape), expand(builder.variable(right), shape)
    result = quotient(builder, above, below)
    return Variable(builder.round(result, Rounding.TOWARDS_ZERO) if whole else result, left.type)


def _cut_quotient(left: Array, right: Array) -> Array:
    found = np.abs(left) // np.abs(right)
    return np.asarray(np.where((left < 0) == (right < 0), found, -found))


def quotient(builder: Builder, left: Elements, right: Elements) -> Elements:
    node = Divide(builder.vector(left), builder.vector(right))
    return builder.emit(node, left.size).reshape(left.shape)


def relu(builder: Builder, value: Value) -> Value:
    if isinstance(value, Fixed):
        return fold(lambda x: np.maximum(x, 0), value)
    return Variable(builder.relu(value.elements), value.type)


def apply(builder: Builder, value: Value, function: Function) -> Value:
    """Return a smooth function; known numbers become a node, so that the compiler rounds them as it does others."""
    variable = builder.variable(value)
    return Variable(builder.apply(variable.elements, function), variable.type)


def rounded(builder: Builder, value: Value, rounding: Rounding, kind: int | None = None) -> Value:
    """Return whole numbers, of the element type `kind`."""
    kind = value.type if kind is None else kind
    if isinstance(value, Fixed):
        operation = {Rounding.FLOOR: np.floor, Rounding.CEIL: np.ceil, Rounding.NEAREST_EVEN: np.rint,
                     Rounding.TOWARDS_ZERO: np.trunc}[rounding]
        return fold(operation, value, kind=kind)
    return Variable(builder.round(value.elements, rounding), kind)


def maximum(builder: Builder, values: Sequence[Value]) -> Value:
    """Return the elementwise maximum of any number of values."""
    fixed = [each for each in values if isinstance(each, Fixed)]
    variables = [each for each in values if isinstance(each, Variable)]
    known = fixed[0] if fixed else None
    for each in fixed[1:]:
        assert known is not None
        known = fold(np.maximum, known, each)
    if not variables:
        assert known is not None
        return known
    result: Value = variables[0]
    if len(variables) > 1:
        shape = common_shape(*variables)
        table = np.stack([expand(each, shape).reshape(-1) for each in variables], axis=1)
        result = Variable(largest(builder, table).reshape(shape), variables[0].type)
    return result if known is None else at_least(builder, result, known)


def minimum(builder: Builder, values: Sequence[Value]) -> Value:
    return negate(builder, maximum(builder, [negate(builder, each) for each in values]))


def at_least(builder: Builder, value: Value, low: Fixed) -> Value:
    """Return `max(value, low)`."""
    if isinstance(value, Fixed):
        return fold(np.maximum, value, low)
    if bool((low.values == -np.inf).all()):
        return Variable(expand(value, common_shape(value, low)), value.type)
    return add(builder, relu(builder, subtract(builder, value, low)), low)


def at_most(builder: Builder, value: Value, high: Fixed) -> Value:
    """Return `min(value, high)`."""
    if isinstance(value, Fixed):
        return fold(np.minimum, value, high)
    if bool((high.values == np.inf).all()):
        return Variable(expand(value, common_shape(value, high)), value.type)
    return subtract(builder, high, relu(builder, subtract(builder, high, value)))


def largest(builder: Builder, table: Elements) -> Elements:
    """Return the maximum of each row of elements, int64[rows]; -1 stands for no element."""
    if table.shape[1] == 1:
        return table[:, 0]
    table = np.where(table < 0, table.max(axis=1, keepdims=True), table)
    distinct, places = distinct_elements(table)
    source = builder.vector(distinct)
    return builder.emit(Maximum(source, places.reshape(table.shape)), len(table))


def compare(builder: Builder, comparison: Comparison, left: Value, right: Value) -> Value:
    if isinstance(left, Fixed) and isinstance(right, Fixed):
        operation = {Comparison.GREATER: np.greater, Comparison.GREATER_EQUAL: np.greater_equal,
                     Comparison.EQUAL: np.equal}[comparison]
        return fold(operation, left, right, kind=BOOLEAN)
    shape = common_shape(left, right)
    if (settled := _against_infinity(comparison, left, right)) is not None:
        return Fixed(np.full(shape, settled), BOOLEAN)
    first, second = expand(builder.variable(left), shape), expand(builder.variable(right), shape)
    node = Compare(comparison, builder.vector(first), builder.vector(second))
    return Variable(builder.emit(node, first.size).reshape(shape), BOOLEAN)


def _against_infinity(comparison: Comparison, left: Value, right: Value) -> bool | None:
    """Return how a number compares with infinity, or None if neither side is that."""
    for value, sign in ((left, 1.0), (right, -1.0)):
        if isinstance(value, Fixed) and value.values.size and bool(np.isinf(value.numbers).all()):
            signs = np.unique(np.sign(value.numbers))
            if len(signs) == 1:
                return comparison is not Comparison.EQUAL and bool(signs[0] == sign)
    return None


def select(builder: Builder, condition: Value, then: Value, otherwise: Value) -> Value:
    if isinstance(condition, Fixed):
        shape = common_shape(condition, then, otherwise)
        if isinstance(then, Fixed) and isinstance(otherwise, Fixed):
            return Fixed(np.where(condition.values, then.values, otherwise.values), then.type,
                         then.trained or otherwise.trained)
        chosen = np.broadcast_to(condition.values, shape)
        # Only numbers that are chosen count: what is masked may be infinite.
        first, second = _masked(builder, then, chosen, shape), _masked(builder, otherwise, ~chosen, shape)
        return Variable(np.where(chosen, first, second), then.type)
    shape = common_shape(condition, then, otherwise)
    parts = [expand(builder.variable(each), shape) for each in (condition, then, otherwise)]
    node = Select(*(builder.vector(each) for each in parts))
    return Variable(builder.emit(node, parts[0].size).reshape(shape), then.type)


def _masked(builder: Builder, value: Value, used: Array, shape: tuple[int, ...]) -> Elements:
    if isinstance(value, Variable):
        return expand(value, shape)
    numbers = np.where(used, np.broadcast_to(value.values, shape), np.zeros((), dtype=value.values.dtype))
    return builder.variable(Fixed(numbers, value.type, value.trained)).elements


def whole_power(builder: Builder, value: Value, exponent: int) -> Value:
    """Return `value ** exponent` for an exponent of at least 1."""
    result: Value | None = None
    square = value
    while exponent:
        if exponent & 1:
            result = square if result is None else multiply(builder, result, square)
        exponent >>= 1
        if exponent:
            square = multiply(builder, square, square)
    assert result is not None
    return result


def inverted(builder: Builder, condition: Value) -> Value:
    """Return the negation of a truth value."""
    if isinstance(condition, Fixed):
        return fold(np.logical_not, condition, kind=BOOLEAN)
    flipped = subtract(builder, number(1.0), Variable(condition.elements))
    assert isinstance(flipped, Variable)
    return Variable(flipped.elements, BOOLEAN)


def cast(builder: Builder, value: Value, kind: int) -> Value:
    """Return a value as another element type; floats lose their fraction on the way to integers."""
    if isinstance(value, Fixed):
        if kind == BOOLEAN:
            return Fixed(value.values != 0, kind)
        if kind in INTEGERS:
            if not bool((np.abs(value.numbers) < 2.0**63).all()):
                raise WeightError(f"A number in {builder.label:.80} is beyond the integers that it becomes.")
            return Fixed(np.trunc(value.numbers).astype(np.int64), kind, value.trained)
        return Fixed(value.numbers, kind, value.trained)
    if kind == BOOLEAN and value.type != BOOLEAN:
        same = compare(builder, Comparison.EQUAL, value, number(0.0))
        return inverted(builder, same)
    if kind in INTEGERS and value.type not in INTEGERS | {BOOLEAN}:
        return rounded(builder, value, Rounding.TOWARDS_ZERO, kind)
    return Variable(value.elements, kind, value.table, value.labels)
