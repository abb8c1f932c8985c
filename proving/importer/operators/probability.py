# SPDX-License-Identifier: GPL-3.0-or-later
"""Softmax and kin, within a model or at its end (where the head stops in front of them)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from proving.importer import arithmetic
from proving.importer.builder import Builder, Origin, Reading
from proving.importer.call import Call, Rule, Rules
from proving.importer.graph import Divide, Function
from proving.importer.operators.labels import one_hot
from proving.importer.operators.reduction import grouped, log_sum_exp, positions, total
from proving.importer.values import Elements, Fixed, Value, Variable


def softmax(builder: Builder, table: Elements) -> Elements:
    """Return exp(x - max) / sum of each row [rows, classes]."""
    if table.shape[1] == 1:
        return builder.variable(Fixed(np.ones(table.shape))).elements
    top = arithmetic.largest(builder, table)
    below = arithmetic.subtract(builder, Variable(table), Variable(top[:, None]))
    assert isinstance(below, Variable)
    powers = builder.apply(below.elements, Function.EXP)
    sums = np.broadcast_to(total(builder, powers)[:, None], table.shape)
    node = Divide(builder.vector(powers), builder.vector(sums))
    origin = Origin(Reading.SOFTMAX, table.reshape(-1))
    return builder.emit(node, table.size, origin).reshape(table.shape)


def _log_softmax(builder: Builder, table: Elements) -> Elements:
    total_log = Variable(log_sum_exp(builder, table)[:, None])
    found = arithmetic.subtract(builder, Variable(table), total_log)
    assert isinstance(found, Variable)
    ref = int(builder.refs(found.elements.reshape(-1)[:1])[0])
    builder.origins[ref] = Origin(Reading.SOFTMAX, table.reshape(-1))
    return found.elements


def _hardmax(builder: Builder, table: Elements) -> Elements:
    return one_hot(builder, Variable(positions(builder, table)), table.shape[1])


def _rowwise(compute: Callable[[Builder, Elements], Elements]) -> Rule:
    """Return the rule of an operator on rows: along an axis since version 13, before on a flattened matrix."""

    def rule(call: Call) -> Value:
        value = call.variable()
        rank = len(value.shape)
        if call.node.version < 13:
            axis = call.node.integer("axis", 1)
            if not -rank <= axis <= rank:
                raise call.node.malformed(f"has an axis {axis} that its input lacks")
            axis = axis + rank if axis < 0 else axis
            table = value.elements.reshape(math.prod(value.shape[:axis]), -1)
            return Variable(compute(call.builder, table).reshape(value.shape), value.type)
        axis = call.axis(call.node.integer("axis", -1), rank)
        table, _ = grouped(value.elements, (axis,), True)
        kept = [size for each, size in enumerate(value.shape) if each != axis]
        found = compute(call.builder, table).reshape(*kept, value.shape[axis])
        return Variable(np.moveaxis(found, -1, axis), value.type)

    return rule


RULES: Rules = {
    "Hardmax": _rowwise(_hardmax),
    "LogSoftmax": _rowwise(_log_softmax),
    "Softmax": _rowwise(softmax),
}
