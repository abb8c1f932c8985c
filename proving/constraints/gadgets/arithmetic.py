# SPDX-License-Identifier: GPL-3.0-or-later
"""Gather, Linear, Multiply and Select. Affine maps cost nothing, a product or a choice one row an element.

A product wire that could be negative would be a residue of full size, which is slow to prove with. So factors are
counted from their lower bounds where that adds few entries: `l r = (l - a)(r - b) + a r + b l - a b`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from proving.constraints import forms
from proving.constraints.emission import Emission
from proving.constraints.forms import Form
from proving.constraints.witness import Run
from proving.fixedpoint.program import Gather, Linear, Multiply, Ref, Select
from proving.sparse import SAFE, Array, exact

FEW = 32
"""At most this many entries are added to a product's form to keep its wire from being negative."""


def gather(emission: Emission, node: Gather) -> Form:
    """Rows of the sources."""
    return forms.take(forms.stack([emission.values[each] for each in node.sources]), node.index)


def linear(emission: Emission, node: Linear) -> Form:
    """Combinations of combinations."""
    return forms.compose(node.matrix, forms.stack([emission.values[each] for each in node.sources]), node.bias)


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """Wires from `first` on are `(left - left_low) * (right - right_low)`, of elements of two nodes."""

    first: int
    left: Ref
    right: Ref
    elements: Array
    left_low: Array
    right_low: Array

    def fill(self, run: Run) -> None:
        left = run.trace[self.left][self.elements] - self.left_low
        right = run.trace[self.right][self.elements] - self.right_low
        if forms.magnitude(left) * forms.magnitude(right) >= SAFE:
            left = left.astype(object)
        run.put(self.first, left * right)


def multiply(emission: Emission, ref: Ref, node: Multiply) -> Form:
    """Elementwise products."""
    left, right = emission.values[node.left], emission.values[node.right]
    fixed_left, fixed_right = emission.fixed(node.left), emission.fixed(node.right)
    by_left, by_right = np.flatnonzero(fixed_left), np.flatnonzero(fixed_right & ~fixed_left)
    rest = np.flatnonzero(~fixed_left & ~fixed_right)
    parts = [
        (by_left, forms.scale(emission.low(node.left)[by_left], forms.take(right, by_left))),
        (by_right, forms.scale(emission.low(node.right)[by_right], forms.take(left, by_right))),
    ]
    if len(rest):
        parts.append((rest, _products(emission, ref, node, rest)))
    return forms.scatter(left.rows, parts)


def _products(emission: Emission, ref: Ref, node: Multiply, elements: Array) -> Form:
    left, right = emission.factor(node.left, elements), emission.factor(node.right, elements)
    left_low, right_low = emission.low(node.left)[elements], emission.low(node.right)[elements]
    added = np.where(left_low == 0, 0, forms.entries(right)) + np.where(right_low == 0, 0, forms.entries(left))
    direct = np.asarray((emission.low(ref)[elements] >= 0) | (added > FEW), dtype=bool)
    if node.left == node.right:
        direct |= True
    a, b = exact(np.where(direct, 0, left_low)), exact(np.where(direct, 0, right_low))
    wires = emission.builder.product(forms.shift(left, -a), forms.shift(right, -b))
    emission.builder.steps.append(Products(int(wires[0]), node.left, node.right, elements, a, b))
    product = forms.of_wires(wires)
    if not (np.any(a) or np.any(b)):
        return product
    correction = -(a.astype(object) * b)
    return forms.add(product, forms.scale(a, right), forms.scale(b, left), forms.constant(correction))


@dataclass(frozen=True, slots=True, eq=False)
class Choices:
    """Wires from `first` on are `condition * (then - otherwise - least)`, of elements of three nodes."""

    first: int
    condition: Ref
    then: Ref
    otherwise: Ref
    elements: Array
    least: Array

    def fill(self, run: Run) -> None:
        difference = run.trace[self.then][self.elements] - run.trace[self.otherwise][self.elements] - self.least
        run.put(self.first, run.trace[self.condition][self.elements] * difference)


def select(emission: Emission, node: Select) -> Form:
    """`then` where the condition is 1, else `otherwise`; free where either both are fixed or the condition is."""
    count = emission.values[node.condition].rows
    settled = emission.fixed(node.condition)
    leaves = ~settled & emission.fixed(node.then) & emission.fixed(node.otherwise)
    chosen = emission.low(node.condition) > 0
    yes, no = np.flatnonzero(settled & chosen), np.flatnonzero(settled & ~chosen)
    leaf, rest = np.flatnonzero(leaves), np.flatnonzero(~settled & ~leaves)
    parts = [
        (yes, forms.take(emission.values[node.then], yes)),
        (no, forms.take(emission.values[node.otherwise], no)),
        (leaf, _between_constants(emission, node, leaf)),
    ]
    if len(rest):
        parts.append((rest, _choices(emission, node, rest)))
    return forms.scatter(count, parts)


def _between_constants(emission: Emission, node: Select, elements: Array) -> Form:
    base = emission.low(node.otherwise)[elements]
    difference = emission.low(node.then)[elements] - base
    return forms.shift(forms.scale(difference, forms.take(emission.values[node.condition], elements)), base)


def _choices(emission: Emission, node: Select, elements: Array) -> Form:
    condition = emission.factor(node.condition, elements)
    then, otherwise = emission.factor(node.then, elements), emission.factor(node.otherwise, elements)
    lowest = emission.low(node.then)[elements] - emission.high(node.otherwise)[elements]
    least = exact(np.where((lowest < 0) & (forms.entries(condition) <= FEW), lowest, 0))
    if forms.magnitude(emission.high(node.then)[elements] - emission.low(node.otherwise)[elements]) >= SAFE >> 1:
        least = least.astype(object)
    difference = forms.shift(forms.subtract(then, otherwise), -least)
    wires = emission.builder.product(condition, difference, "select")
    emission.builder.steps.append(
        Choices(int(wires[0]), node.condition, node.then, node.otherwise, elements, least)
    )
    return forms.add(otherwise, forms.of_wires(wires), forms.scale(least, condition))
