# SPDX-License-Identifier: GPL-3.0-or-later
"""Comparisons and truth values: Greater, Less, Equal and kin, And, Or, Xor, Not, Where."""

from __future__ import annotations

import numpy as np

from proving.importer import arithmetic
from proving.importer.call import Call, Rule, Rules
from proving.importer.graph import Comparison
from proving.importer.values import BOOLEAN, Fixed, Value, Variable


def _comparison(kind: Comparison, turned: bool = False) -> Rule:
    def rule(call: Call) -> Value:
        left, right = call.value(0), call.value(1)
        left, right = (right, left) if turned else (left, right)
        return arithmetic.compare(call.builder, kind, left, right)

    return rule


def _truth(value: Value) -> Value:
    """Return a truth value as a number."""
    if isinstance(value, Fixed):
        return Fixed(value.values.astype(np.float64))
    return Variable(value.elements)


def _and(call: Call) -> Value:
    return _boolean(arithmetic.multiply(call.builder, _truth(call.value(0)), _truth(call.value(1))))


def _or(call: Call) -> Value:
    """Return a + b - a b."""
    return _either(call, 1.0)


def _xor(call: Call) -> Value:
    """Return a + b - 2 a b."""
    return _either(call, 2.0)


def _either(call: Call, common: float) -> Value:
    b, left, right = call.builder, _truth(call.value(0)), _truth(call.value(1))
    both = arithmetic.multiply(b, arithmetic.multiply(b, left, right), Fixed(np.array(common)))
    return _boolean(arithmetic.subtract(b, arithmetic.add(b, left, right), both))


def _boolean(value: Value) -> Value:
    if isinstance(value, Fixed):
        return Fixed(value.values != 0, BOOLEAN)
    return Variable(value.elements, BOOLEAN)


def _where(call: Call) -> Value:
    return arithmetic.select(call.builder, call.value(0), call.value(1), call.value(2))


RULES: Rules = {
    "And": _and,
    "Equal": _comparison(Comparison.EQUAL),
    "Greater": _comparison(Comparison.GREATER),
    "GreaterOrEqual": _comparison(Comparison.GREATER_EQUAL),
    "Less": _comparison(Comparison.GREATER, turned=True),
    "LessOrEqual": _comparison(Comparison.GREATER_EQUAL, turned=True),
    "Not": lambda call: arithmetic.inverted(call.builder, call.value()),
    "Or": _or,
    "Where": _where,
    "Xor": _xor,
}
