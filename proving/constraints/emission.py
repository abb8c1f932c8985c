# SPDX-License-Identifier: GPL-3.0-or-later
"""A program on its way into a circuit: the form of each node so far, and when a form is worth a wire of its own."""

from __future__ import annotations

import numpy as np

from proving.constraints import forms
from proving.constraints.builder import Bits, Builder
from proving.constraints.forms import Form
from proving.constraints.widths import powers_of_two
from proving.constraints.witness import BitsAt, BitsOf, Reading, Values
from proving.fixedpoint.bounds import Bounds
from proving.fixedpoint.program import Program, Ref
from proving.sparse import Array

ROW_IN_ENTRIES = 512
"""A row is worth this many entries of linear rows: entries cost bytes and set-up time, a row costs proving time."""
LONG = 64
"""A combination with more entries becomes a wire before it stands in a product: there each entry costs proving time."""

LONGEST = 250
"""No number has more bits."""


class Emission:
    """`values[ref]` is the form of a node, once emitted; `uses[ref]` in how many rows each element will be copied."""

    def __init__(
        self, builder: Builder, program: Program, bounds: tuple[Bounds, ...], uses: tuple[Array, ...]
    ) -> None:
        self.builder = builder
        self.program = program
        self.bounds = bounds
        self.uses = uses
        self.values: list[Form] = []

    def low(self, ref: Ref) -> Array:
        """Return the lower bounds of a node's elements."""
        return self.bounds[ref].low

    def high(self, ref: Ref) -> Array:
        """Return the upper bounds of a node's elements."""
        return self.bounds[ref].high

    def fixed(self, ref: Ref) -> Array:
        """Return which elements can only have one value."""
        return np.asarray(self.low(ref) == self.high(ref), dtype=bool)

    def share(self, ref: Ref, form: Form) -> Form:
        """Return the form, with a wire for each element that so many rows would copy that a row is cheaper."""
        copied = (self.uses[ref] - 1) * (forms.entries(form) - 1)
        return self.assigned(ref, form, np.flatnonzero(copied > ROW_IN_ENTRIES))

    def factor(self, ref: Ref, elements: Array) -> Form:
        """Return elements of a node as one side of a product, with wires for those that are long."""
        long = np.flatnonzero(forms.entries(self.values[ref]) > LONG)
        if len(long):
            self.values[ref] = self.assigned(ref, self.values[ref], np.intersect1d(long, elements))
        return forms.take(self.values[ref], elements)

    def assigned(self, ref: Ref, form: Form, elements: Array) -> Form:
        """Return the form with new wires for some elements: their distance from the lower bound, never negative."""
        if len(elements) == 0:
            return form
        low = self.low(ref)[elements]
        wires = self.builder.assign(forms.shift(forms.take(form, elements), -low))
        self.builder.steps.append(Values(int(wires[0]), Reading(ref, elements, -low)))
        others = np.setdiff1d(np.arange(form.rows), elements)
        replaced = forms.shift(forms.of_wires(wires), low)
        return forms.scatter(form.rows, [(elements, replaced), (others, forms.take(form, others))])

    def decomposed(self, form: Form, widths: Array, reading: Reading) -> Bits:
        """Return the bits of each element, which is at least 0 and below 2^width: those it is a sum of, or new ones.

        `reading` gives the elements' values.
        """
        known = as_bits(self.builder, form)
        made = np.flatnonzero(known.widths != widths)
        bits = self.builder.decompose(forms.take(form, made), widths[made])
        self.fill_bits(bits, reading.take(made))
        first = known.first.copy()
        first[made] = bits.first
        return Bits(first, widths)

    def fill(self, first: int, reading: Reading) -> None:
        """Record that the wires from `first` on are what is read."""
        self.builder.steps.append(Values(first, reading))

    def fill_bits(self, bits: Bits, reading: Reading) -> None:
        """Record that the bits are those of what is read."""
        self.builder.steps.append(BitsOf(bits_at(bits), reading))


NO_BITS = -1
"""In place of a width: the element is no plain sum of bits."""


def as_bits(builder: Builder, form: Form) -> Bits:
    """Return the bits that elements are already made of: `sum 2^k b_k` over consecutive boolean wires; else NO_BITS."""
    first, widths = np.zeros(form.rows, dtype=np.int64), np.full(form.rows, NO_BITS, dtype=np.int64)
    lengths = forms.entries(form)
    some = np.flatnonzero((lengths > 0) & (lengths <= LONGEST))
    start, last = form.indptr[some], form.indptr[some + 1] - 1
    spread = form.indices[last] - form.indices[start] == last - start
    some = some[spread & np.asarray(form.values[start] == 1, dtype=bool)]
    if len(some) == 0:
        return Bits(first, widths)
    rows = forms.take(form, some)
    place = np.arange(len(rows.indices), dtype=np.int64) - rows.indptr[rows.row_of_entry()]
    good = np.asarray(rows.values == powers_of_two(place), dtype=bool) & builder.is_boolean(rows.indices)
    sums = some[np.logical_and.reduceat(good, rows.indptr[:-1])]
    first[sums], widths[sums] = form.indices[form.indptr[sums]], lengths[sums]
    return Bits(first, widths)


def bits_at(bits: Bits) -> BitsAt:
    """Return which bit of which element each wire of a decomposition is."""
    element = np.repeat(np.arange(len(bits.widths), dtype=np.int64), bits.widths)
    starts = np.cumsum(bits.widths) - bits.widths
    places = np.arange(len(element), dtype=np.int64) - np.repeat(starts, bits.widths)
    return BitsAt(int(bits.wires[0]) if len(element) else 0, element, places)
