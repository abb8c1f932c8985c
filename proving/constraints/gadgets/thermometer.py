# SPDX-License-Identifier: GPL-3.0-or-later
"""Thermometer: all comparisons of one number with its thresholds at once.

With c_0 = 1 and c_(m+1) = 0, every difference `c_j - c_(j+1)` is boolean, and they add up to 1: exactly one of them is
1, and names the bucket between two thresholds. The bucket's ends are combinations of the c; that x is not below
the one and not above the other are two range checks, as wide as the widest bucket needs. Whatever x is, both
hold only if it lies in its bucket, so x is proved to be within its bounds, and an input needs no check of its own.

Cost of an element with m thresholds, k the bits of its widest bucket: m + 1 (1 if m is 1) and 2 (k + 1); if every
bucket is a single number, m + 1 and 1. Of two possible numbers, one threshold: x itself is the answer, for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from proving.constraints import forms
from proving.constraints.emission import Emission, bits_at
from proving.constraints.forms import Form
from proving.constraints.widths import bit_lengths
from proving.constraints.witness import BitsAt, Reading, Run
from proving.fixedpoint.program import Ref, Thermometer
from proving.sparse import Array, exact


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """The buckets of some elements, one after the other: element i has those from `starts[i]` on.

    `lows` and `highs` are the ends of each, within which x then lies.
    """

    starts: Array
    counts: Array
    lows: Array
    highs: Array


@dataclass(frozen=True, slots=True, eq=False)
class Distances:
    """`above` are the bits of x less its bucket's low end, `below` those of the high end less x."""

    source: Ref
    elements: Array
    buckets: Buckets
    above: BitsAt
    below: BitsAt

    def fill(self, run: Run) -> None:
        numbers = run.trace[self.source][self.elements]
        passed = np.repeat(numbers, self.buckets.counts) > self.buckets.highs
        bucket = self.buckets.starts + np.add.reduceat(passed.astype(np.int64), self.buckets.starts)
        self.above.put(run, numbers - self.buckets.lows[bucket])
        self.below.put(run, self.buckets.highs[bucket] - numbers)


def is_trivial(low: int, high: int, thresholds: tuple[int, ...]) -> bool:
    """Return whether the element's answers cost nothing, and thus check nothing."""
    return not thresholds or high - low == 1


def thermometer(emission: Emission, ref: Ref, node: Thermometer) -> Form:
    """1 for each threshold that the element is above, else 0."""
    low, high = emission.low(node.source), emission.high(node.source)
    counts = np.array([len(each) for each in node.thresholds], dtype=np.int64)
    answers = np.cumsum(counts) - counts
    trivial = [is_trivial(int(a), int(b), t) for a, b, t in zip(low, high, node.thresholds, strict=True)]
    free = np.flatnonzero(np.array(trivial, dtype=bool) & (counts > 0))
    elements = np.flatnonzero(~np.array(trivial, dtype=bool))
    parts = [(answers[free], forms.shift(forms.take(emission.values[node.source], free), -low[free]))]
    if len(elements):
        index = np.concatenate([np.arange(answers[i], answers[i] + counts[i]) for i in elements])
        parts.append((index, _compared(emission, ref, node, elements, index)))
    return forms.scatter(int(counts.sum()), parts)


def _compared(emission: Emission, ref: Ref, node: Thermometer, elements: Array, index: Array) -> Form:
    builder = emission.builder
    low, high = emission.low(node.source), emission.high(node.source)
    thresholds = [node.thresholds[i] for i in elements]
    wires = builder.new(len(index))
    emission.fill(int(wires[0]), Reading(ref, index))
    counts = np.array([len(each) for each in thresholds], dtype=np.int64)
    _ordered(emission, wires, counts)
    lows = [[int(low[i]), *(q + 1 for q in each)] for i, each in zip(elements, thresholds, strict=True)]
    highs = [[*each, int(high[i])] for i, each in zip(elements, thresholds, strict=True)]
    flat = Buckets(
        np.cumsum(counts + 1) - (counts + 1), counts + 1, _flat(lows), _flat(highs)
    )
    widest = np.array([
        max(b - a for a, b in zip(*ends, strict=True)) for ends in zip(lows, highs, strict=True)
    ], dtype=object)
    widths = bit_lengths(exact(widest))
    source = forms.take(emission.values[node.source], elements)
    bottom, top = (_bucket_end(wires, counts, ends) for ends in (lows, highs))
    above, below = forms.subtract(source, bottom), forms.subtract(top, source)
    first = builder.decompose(above, widths, "bucket")
    # Where each bucket is one number, the first row says x = bucket, and the second would say it again.
    second = builder.bits(widths)
    wide = np.flatnonzero(widths > 0)
    builder.equal(forms.take(below, wide), forms.take(second.value(), wide), "bucket")
    builder.steps.append(Distances(node.source, elements, flat, bits_at(first), bits_at(second)))
    return forms.of_wires(wires)


def _ordered(emission: Emission, wires: Array, counts: Array) -> None:
    """Constrain the differences of neighbours to be boolean, the ends being 1 and 0."""
    last = np.cumsum(counts) - 1
    following = wires + 1
    is_last = np.zeros(len(wires), dtype=bool)
    is_last[last] = True
    this = forms.of_wires(wires)
    inner = np.flatnonzero(~is_last)
    differences = forms.scatter(len(wires), [
        (np.flatnonzero(is_last), forms.take(this, np.flatnonzero(is_last))),
        (inner, forms.subtract(forms.take(this, inner), forms.of_wires(following[inner]))),
    ])
    emission.builder.boolean(differences, "thermometer")
    # 1 - c_1 is boolean already if c_1 is the only one.
    heads = (last - counts + 1)[counts > 1]
    emission.builder.boolean(forms.take(this, heads), "thermometer")


def _bucket_end(wires: Array, counts: Array, ends: list[list[int]]) -> Form:
    """Return an end of the bucket: the first bucket's, and for each c its step to the next bucket's."""
    steps = _flat([[b - a for a, b in pairwise(each)] for each in ends])
    rows = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    climbed = forms.collect(len(counts), rows, wires, steps)
    return forms.shift(climbed, exact([each[0] for each in ends]))


def _flat(lists: list[list[int]]) -> Array:
    return exact([each for one in lists for each in one])
