# SPDX-License-Identifier: GPL-3.0-or-later
"""Quotient: `left = q * right + r` with `0 <= r < right`, which has one solution in integers.

q, r and `right - 1 - r` are sums of as many bits as their intervals need; the two sides stay below 2^240 for every
value of those bits, so equality in the field is equality of integers. Cost an element: the bits of q, twice the
bits of r, a product and a linear row; nothing where the quotient is fixed. A constant divisor makes the product
linear, and a power of two needs no check of the remainder beyond its bits: bits of q and r, and a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protocol.errors import WeightError
from proving.constraints import forms
from proving.constraints.builder import Bits
from proving.constraints.emission import Emission, bits_at
from proving.constraints.forms import Form
from proving.constraints.widths import bit_lengths
from proving.constraints.witness import BitsAt, Reading, Run
from proving.fixedpoint.program import Quotient, Ref
from proving.sparse import Array

WIDEST = 240
"""No side of the row may reach 2^240."""


@dataclass(frozen=True, slots=True, eq=False)
class Remainders:
    """The bits `r` are those of `left % right`, the bits `gap` those of `right - 1 - r`, of some elements."""

    left: Ref
    right: Ref
    elements: Array
    checked: Array
    r: BitsAt
    gap: BitsAt

    def fill(self, run: Run) -> None:
        left, right = run.trace[self.left][self.elements], run.trace[self.right][self.elements]
        remainder = left % right
        self.r.put(run, remainder)
        self.gap.put(run, (right - 1 - remainder)[self.checked])


def quotient(emission: Emission, ref: Ref, node: Quotient) -> Form:
    """`floor(left / right)`, elementwise."""
    low, high = emission.low(node.right), emission.high(node.right)
    least, most = emission.low(node.left) // high, emission.high(node.left) // low
    fixed, constant = np.asarray(least == most, dtype=bool), np.asarray(low == high, dtype=bool)
    settled, by_constant = np.flatnonzero(fixed), np.flatnonzero(~fixed & constant)
    by_value = np.flatnonzero(~fixed & ~constant)
    parts = [(settled, forms.constant(least[settled]))]
    if len(by_constant):
        parts.append((by_constant, _by_constant(emission, ref, node, by_constant, most[by_constant])))
    if len(by_value):
        parts.append((by_value, _by_value(emission, ref, node, by_value, most[by_value])))
    return forms.scatter(len(fixed), parts)


def _by_constant(emission: Emission, ref: Ref, node: Quotient, elements: Array, most: Array) -> Form:
    divisor = emission.low(node.right)[elements]
    # A remainder of k bits is below 2^k by itself.
    checked = np.flatnonzero(np.asarray(divisor & (divisor - 1) != 0, dtype=bool))
    q, r, gap = _bits(emission, ref, node, elements, most, checked)
    left = forms.take(emission.values[node.left], elements)
    emission.builder.equal(left, forms.add(forms.scale(divisor, q.value()), r.value()), "quotient")
    limit = forms.constant(divisor[checked] - 1)
    emission.builder.equal(limit, forms.add(forms.take(r.value(), checked), gap.value()), "remainder")
    return q.value()


def _by_value(emission: Emission, ref: Ref, node: Quotient, elements: Array, most: Array) -> Form:
    q, r, gap = _bits(emission, ref, node, elements, most, np.arange(len(elements)))
    right = emission.factor(node.right, elements)
    left = forms.take(emission.values[node.left], elements)
    emission.builder.constrain("quotient", q.value(), right, forms.subtract(left, r.value()))
    emission.builder.equal(forms.shift(right, -1), forms.add(r.value(), gap.value()), "remainder")
    return q.value()


def _bits(
    emission: Emission, ref: Ref, node: Quotient, elements: Array, most: Array, checked: Array
) -> tuple[Bits, Bits, Bits]:
    """Return the bits of quotients and remainders, and of how far those that are `checked` are below the divisor."""
    builder = emission.builder
    whole, part = bit_lengths(most), bit_lengths(emission.high(node.right)[elements] - 1)
    if int(np.max(whole + part)) + 1 >= WIDEST:
        raise WeightError("A division needs numbers that are too wide for the circuit.")
    q, r, gap = builder.bits(whole), builder.bits(part), builder.bits(part[checked])
    emission.fill_bits(q, Reading(ref, elements))
    builder.steps.append(Remainders(node.left, node.right, elements, checked, bits_at(r), bits_at(gap)))
    return q, r, gap
