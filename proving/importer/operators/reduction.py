# SPDX-License-Identifier: GPL-3.0-or-later
"""Reductions over axes: ReduceSum and kin, ArgMax, ArgMin."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from proving.importer import arithmetic
from proving.importer.builder import Builder, Origin, Reading, distinct_elements
from proving.importer.call import Call, Rule, Rules
from proving.importer.graph import ArgMax, Function
from proving.importer.operators.elementwise import absolute
from proving.importer.operators.pooling import averages
from proving.importer.values import INTEGERS, Elements, Fixed, Value, Variable

AXES_AS_INPUT = 18
"""Since this version of the operator set, axes are an operand (ReduceSum: since 13)."""

Reduce = Callable[[Builder, Elements], Elements]
"""From a table of elements [outputs, taps] to elements [outputs]."""
Exact = Callable[..., Any]
"""numpy's reduction of the same meaning, for integers."""


def _axes(call: Call, rank: int, since: int) -> tuple[int, ...] | None:
    """Return the axes to reduce; None: the operator does nothing."""
    if call.node.version < since:
        found = call.node.integers("axes") if call.node.has("axes") else None
    else:
        found = call.integers(1)
    if not found:
        return None if call.node.integer("noop_with_empty_axes") else tuple(range(rank))
    return call.axes(found, rank)


def grouped(elements: Elements, axes: tuple[int, ...], keep: bool) -> tuple[Elements, tuple[int, ...]]:
    """Return a table with the reduced axes last, [outputs, taps], and the outputs' shape."""
    kept = [each for each in range(elements.ndim) if each not in axes]
    taps = math.prod(elements.shape[each] for each in axes)
    table = elements.transpose(*kept, *axes).reshape(-1, taps)
    shape = [1 if each in axes else size for each, size in enumerate(elements.shape) if keep or each not in axes]
    return table, tuple(shape)


def _reduction(reduce: Reduce, since: int = AXES_AS_INPUT,
               before: Callable[[Builder, Value], Value] | None = None, exact: Exact | None = None) -> Rule:
    """Return a rule; `exact` folds known integers (the arithmetic of shapes)."""
    def rule(call: Call) -> Value:
        value = call.value()
        axes = _axes(call, len(value.shape), since)
        if before is not None:
            value = before(call.builder, value)
        if axes is None:
            return value
        if exact is not None and isinstance(value, Fixed) and value.type in INTEGERS:
            return Fixed(np.asarray(exact(value.values, axis=axes, keepdims=bool(call.node.integer("keepdims", 1)))),
                         value.type)
        variable = call.builder.variable(value)
        table, shape = grouped(variable.elements, axes, bool(call.node.integer("keepdims", 1)))
        if not table.size:
            raise call.node.unsupported("reduces nothing")
        return Variable(reduce(call.builder, table).reshape(shape), value.type)

    return rule


def total(builder: Builder, table: Elements) -> Elements:
    return builder.combine(table, 1.0)


def _mean(builder: Builder, table: Elements) -> Elements:
    return averages(builder, table, np.array(table.shape[1]))


def _smallest(builder: Builder, table: Elements) -> Elements:
    negated = arithmetic.negate(builder, Variable(table))
    assert isinstance(negated, Variable)
    return _elements(arithmetic.negate(builder, Variable(arithmetic.largest(builder, negated.elements))))


def _elements(value: Value) -> Elements:
    assert isinstance(value, Variable)
    return value.elements


def _product(builder: Builder, table: Elements) -> Elements:
    while table.shape[1] > 1:
        half = table.shape[1] // 2
        pairs = arithmetic.product(builder, table[:, :half], table[:, half : 2 * half])
        table = np.concatenate([pairs, table[:, 2 * half :]], axis=1)
    return table[:, 0]


def square(builder: Builder, value: Value) -> Value:
    return arithmetic.multiply(builder, value, value)


def _root(builder: Builder, table: Elements) -> Elements:
    return builder.apply(total(builder, table), Function.SQRT)


def _log_sum(builder: Builder, table: Elements) -> Elements:
    return builder.apply(total(builder, table), Function.LOG)


def log_sum_exp(builder: Builder, table: Elements) -> Elements:
    """Return max + ln(sum(exp(x - max))) of each row."""
    top = arithmetic.largest(builder, table)
    below = arithmetic.subtract(builder, Variable(table), Variable(top[:, None]))
    sums = total(builder, builder.apply(_elements(below), Function.EXP))
    return _elements(arithmetic.add(builder, Variable(builder.apply(sums, Function.LOG)), Variable(top)))


def _position(call: Call, least: bool) -> Value:
    value = call.variable()
    axis = call.axis(call.node.integer("axis", 0), len(value.shape))
    if least:
        negated = arithmetic.negate(call.builder, value)
        assert isinstance(negated, Variable)
        value = negated
    table, shape = grouped(value.elements, (axis,), bool(call.node.integer("keepdims", 1)))
    last = bool(call.node.integer("select_last_index"))
    return Variable(positions(call.builder, table, last).reshape(shape), TensorProto.INT64)


def positions(builder: Builder, table: Elements, last: bool = False) -> Elements:
    """Return the position of the largest element in each row of a table."""
    if table.shape[1] < 1:
        raise ValueError("no element to choose from")
    if table.shape[1] == 1:
        return builder.variable(Fixed(np.zeros(len(table), dtype=np.int64), TensorProto.INT64)).elements
    distinct, places = distinct_elements(table)
    node = ArgMax(builder.vector(distinct), places.reshape(table.shape), last)
    origin = Origin(Reading.POSITION, table[0]) if len(table) == 1 else None
    return builder.emit(node, len(table), origin)


RULES: Rules = {
    "ArgMax": lambda call: _position(call, False),
    "ArgMin": lambda call: _position(call, True),
    "ReduceL1": _reduction(total, before=absolute),
    "ReduceL2": _reduction(_root, before=square),
    "ReduceLogSum": _reduction(_log_sum),
    "ReduceLogSumExp": _reduction(log_sum_exp),
    "ReduceMax": _reduction(arithmetic.largest, exact=np.max),
    "ReduceMean": _reduction(_mean),
    "ReduceMin": _reduction(_smallest, exact=np.min),
    "ReduceProd": _reduction(_product, exact=np.prod),
    "ReduceSum": _reduction(total, since=13, exact=np.sum),
    "ReduceSumSquare": _reduction(total, before=square),
}
