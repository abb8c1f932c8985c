# SPDX-License-Identifier: GPL-3.0-or-later
"""Rescale, Maximum and NonNegative: one decomposition into exactly the bits that each element's interval needs.

Soundness: the source is an integer within its bounds, far below the field's order, so the sum of the bits is that
integer and not only congruent to it, and the bits of an integer are unique.

Costs an element, n the bits of the shifted interval: plain rescale n + 1, with ReLU over an interval that has both
signs n + 2, Maximum n + 2, NonNegative n + 1; nothing where the result is fixed, and nothing for a shift by 0.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from proving.constraints import forms
from proving.constraints.builder import Bits
from proving.constraints.emission import NO_BITS, Emission, as_bits
from proving.constraints.forms import Form
from proving.constraints.widths import bit_lengths, powers_of_two, sign_place
from proving.constraints.witness import Reading
from proving.fixedpoint.program import Maximum, NonNegative, Ref, Rescale
from proving.sparse import Array, exact


def rescale(emission: Emission, ref: Ref, node: Rescale) -> Form:
    """`floor(x / 2^shift)`, or of `max(x, 0)`."""
    low, high = emission.low(node.source), emission.high(node.source)
    least = np.where(low < 0, 0, low) if node.relu else low
    most = np.where(high < 0, 0, high) if node.relu else high
    fixed = np.asarray(least >> node.shift == most >> node.shift, dtype=bool)
    signed = ~fixed & np.asarray(low < 0, dtype=bool) if node.relu else np.zeros(len(low), dtype=bool)
    fixed_at, signed_at, plain_at = (np.flatnonzero(each) for each in (fixed, signed, ~fixed & ~signed))
    return forms.scatter(len(low), [
        (fixed_at, forms.constant(least[fixed_at] >> node.shift)),
        (signed_at, _relu(emission, ref, node, signed_at)),
        (plain_at, _floor(emission, node, plain_at)),
    ])


def _floor(emission: Emission, node: Rescale, elements: Array) -> Form:
    source = forms.take(emission.values[node.source], elements)
    if node.shift == 0 or len(elements) == 0:
        return source
    # Counted from a multiple of 2^shift, the bits from `shift` on are the quotient, counted from there.
    quotient = emission.low(node.source)[elements] >> node.shift
    base = quotient << node.shift
    own = forms.constants(source)
    known = as_bits(emission.builder, forms.shift(source, exact(-own)))
    reused = (known.widths != NO_BITS) & np.asarray(own % (1 << node.shift) == 0, dtype=bool)
    quotient, base = exact(np.where(reused, own >> node.shift, quotient)), exact(np.where(reused, own, base))
    widths = np.where(reused, known.widths, bit_lengths(emission.high(node.source)[elements] - base))
    bits = emission.decomposed(forms.shift(source, -base), widths, Reading(node.source, elements, -base))
    return forms.shift(bits.value(node.shift), quotient)


def _relu(emission: Emission, ref: Ref, node: Rescale, elements: Array) -> Form:
    if len(elements) == 0:
        return forms.constant([])
    low, high = emission.low(node.source)[elements], emission.high(node.source)[elements]
    source = forms.take(emission.values[node.source], elements)
    bits, place = _signed_bits(emission, source, low, high, Reading(node.source, elements))
    wires = emission.builder.product(bits.bit(place), bits.value(node.shift, place))
    emission.fill(int(wires[0]), Reading(ref, elements))
    return forms.of_wires(wires)


def maximum(emission: Emission, ref: Ref, node: Maximum) -> Form:
    """`right + relu(left - right)`."""
    left, right = emission.values[node.left], emission.values[node.right]
    low = emission.low(node.left) - emission.high(node.right)
    high = emission.high(node.left) - emission.low(node.right)
    is_left, is_right = np.asarray(low >= 0, dtype=bool), np.asarray(high <= 0, dtype=bool)
    left_at, right_at = np.flatnonzero(is_left), np.flatnonzero(is_right & ~is_left)
    open_at = np.flatnonzero(~is_left & ~is_right)
    parts = [(left_at, forms.take(left, left_at)), (right_at, forms.take(right, right_at))]
    if len(open_at):
        difference = forms.take(forms.subtract(left, right), open_at)
        reading = Reading(node.left, open_at, minus=node.right)
        bits, place = _signed_bits(emission, difference, low[open_at], high[open_at], reading)
        wires = emission.builder.product(bits.bit(place), bits.value(0, place))
        emission.fill(int(wires[0]), Reading(ref, open_at, minus=node.right))
        parts.append((open_at, forms.add(forms.take(right, open_at), forms.of_wires(wires))))
    return forms.scatter(len(low), parts)


def non_negative(emission: Emission, node: NonNegative) -> Form:
    """1 where `x >= 0`, else 0."""
    low, high = emission.low(node.source), emission.high(node.source)
    always, never = np.asarray(low >= 0, dtype=bool), np.asarray(high < 0, dtype=bool)
    fixed, open_at = np.flatnonzero(always | never), np.flatnonzero(~(always | never))
    parts = [(fixed, forms.constant(always[fixed].astype(np.int64)))]
    if len(open_at):
        source = forms.take(emission.values[node.source], open_at)
        bits, place = _signed_bits(
            emission, source, low[open_at], high[open_at], Reading(node.source, open_at)
        )
        parts.append((open_at, bits.bit(place)))
    return forms.scatter(len(low), parts)


def _signed_bits(
    emission: Emission, form: Form, low: Array, high: Array, reading: Reading
) -> tuple[Bits, Array]:
    """Decompose `x + 2^m`, whose bit m says that x is not negative, and whose lower bits then are those of x."""
    place = sign_place(low, high)
    lift = powers_of_two(place)
    return emission.decomposed(forms.shift(form, lift), place + 1, replace(reading, offsets=lift)), place
