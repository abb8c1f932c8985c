# SPDX-License-Identifier: GPL-3.0-or-later
"""Quotient: `left = q * right + r` with `0 <= r < right`, which has one solution in integers.

q, r and `right - 1 - r` are sums of as many bits as their intervals need; the two sides stay below 2^240 for every
value of those bits, so equality in the field is equality of integers. Cost an element: the bits of q, twice the
bits of r, a product and a linear row; nothing where the quotient is fixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protocol.errors import WeightError
from proving.constraints import forms
from proving.constraints.emission import Emission, places_of
from proving.constraints.forms import Form
from proving.constraints.widths import bit_lengths
from proving.constraints.witness import Reading, Run, put_bits
from proving.fixedpoint.program import Quotient, Ref
from proving.sparse import Array

WIDEST = 240
"""No side of the row may reach 2^240."""


@dataclass(frozen=True, slots=True, eq=False)
class Remainders:
    """Wires from `first` on are the bits of r, those from `second` on the bits of `right - 1 - r`."""

    first: int
    second: int
    left: Ref
    right: Ref
    elements: Array
    element: Array
    places: Array

    def fill(self, run: Run) -> None:
        left, right = run.trace[self.left][self.elements], run.trace[self.right][self.elements]
        remainder = left % right
        put_bits(run, self.first, remainder, self.element, self.places)
        put_bits(run, self.second, right - 1 - remainder, self.element, self.places)


def quotient(emission: Emission, ref: Ref, node: Quotient) -> Form:
    """`floor(left / right)`, elementwise."""
    least = emission.low(node.left) // emission.high(node.right)
    most = emission.high(node.left) // emission.low(node.right)
    fixed = np.asarray(least == most, dtype=bool)
    settled, rest = np.flatnonzero(fixed), np.flatnonzero(~fixed)
    parts = [(settled, forms.constant(least[settled]))]
    if len(rest):
        parts.append((rest, _divided(emission, ref, node, rest, most[rest])))
    return forms.scatter(len(fixed), parts)


def _divided(emission: Emission, ref: Ref, node: Quotient, elements: Array, most: Array) -> Form:
    builder = emission.builder
    right_high = emission.high(node.right)[elements]
    whole, part = bit_lengths(most), bit_lengths(right_high - 1)
    if int(np.max(whole + part)) + 1 >= WIDEST:
        raise WeightError("A division needs numbers that are too wide for the circuit.")
    q = builder.bits(whole)
    emission.fill_bits(q, Reading(ref, elements))
    r, gap = builder.bits(part), builder.bits(part)
    if int(part.sum()):
        element, places = places_of(r)
        step = Remainders(
            int(r.first[0]), int(gap.first[0]), node.left, node.right, elements, element, places
        )
        builder.steps.append(step)
    right = emission.factor(node.right, elements)
    left = forms.take(emission.values[node.left], elements)
    builder.constrain("quotient", q.value(), right, forms.subtract(left, r.value()))
    builder.zero(forms.subtract(forms.shift(right, -1), forms.add(r.value(), gap.value())), "remainder")
    return q.value()
