# SPDX-License-Identifier: GPL-3.0-or-later
"""Piecewise: the ones of a thermometer pick a slope and an intercept; one product an element.

Slope and intercept are the first segment's, and for each one the step to the next segment's: combinations, so they
cost nothing. The slope is counted from the least, x from its lower bound, so that the product's wire is small and
not negative. An element with one slope only costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from proving.constraints import forms
from proving.constraints.emission import Emission
from proving.constraints.forms import Form
from proving.constraints.witness import Run
from proving.fixedpoint.program import Piecewise, Ref, Thermometer
from proving.sparse import SAFE, Array, Sparse, exact, times


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """One number of each element's segments: `first` for the first, and `steps @ ones` more."""

    first: Array
    steps: Sparse

    def form(self, ones: Form) -> Form:
        return forms.compose(self.steps, ones, self.first)

    def read(self, ones: Array) -> Array:
        climbed = times(self.steps, ones)
        if forms.magnitude(climbed) + forms.magnitude(self.first) >= SAFE:
            climbed = climbed.astype(object)
        return climbed + self.first


@dataclass(frozen=True, slots=True, eq=False)
class SlopeProducts:
    """Wires from `first` on are the slope of each element times its distance from `low`."""

    first: int
    source: Ref
    thermometer: Ref
    elements: Array
    slopes: Picked
    low: Array

    def fill(self, run: Run) -> None:
        slopes = self.slopes.read(run.trace[self.thermometer])[self.elements]
        distance = run.trace[self.source][self.elements] - self.low
        if forms.magnitude(slopes) * forms.magnitude(distance) >= SAFE:
            slopes = slopes.astype(object)
        run.put(self.first, slopes * distance)


def piecewise(emission: Emission, node: Piecewise) -> Form:
    """`slope * x + intercept` of the segment that each element lies in."""
    thermometer = emission.program.nodes[node.thermometer]
    assert isinstance(thermometer, Thermometer)
    counts = np.array([len(each) for each in thermometer.thresholds], dtype=np.int64)
    starts = np.cumsum(counts + 1) - (counts + 1)
    least, most = np.minimum.reduceat(node.slopes, starts), np.maximum.reduceat(node.slopes, starts)
    level = np.asarray(least == most, dtype=bool)
    # slope x + intercept = (slope - a)(x - low) + a x + (intercept + (slope - a) low), and slope - a is not negative.
    a, low = np.where(level, least, np.minimum(least, 0)), emission.low(node.source)
    above = node.slopes.astype(object) - np.repeat(a, counts + 1)
    lifted = above * np.repeat(low, counts + 1) + node.intercepts
    slopes, intercepts = _picked(exact(above), counts), _picked(exact(lifted), counts)
    sloped = np.flatnonzero(~level)
    distance = forms.shift(emission.factor(node.source, sloped), -low[sloped])
    ones = emission.values[node.thermometer]
    wires = emission.builder.product(forms.take(slopes.form(ones), sloped), distance, "slope")
    step = SlopeProducts(int(wires[0]) if len(wires) else 0, node.source, node.thermometer, sloped, slopes, low[sloped])
    emission.builder.steps.append(step)
    linear = forms.add(forms.scale(exact(a), emission.values[node.source]), intercepts.form(ones))
    products = forms.scatter(len(counts), [
        (sloped, forms.of_wires(wires)), (np.flatnonzero(level), forms.constant(np.zeros(int(level.sum()), np.int64)))
    ])
    return forms.add(linear, products)


def _picked(values: Array, counts: Array) -> Picked:
    """Cut the numbers of all segments into each element's first, and its steps from one to the next."""
    starts = np.cumsum(counts + 1) - (counts + 1)
    steps = exact(np.diff(values.astype(object)))
    inner = np.ones(len(values) - 1, dtype=np.bool_)
    inner[starts[1:] - 1] = False
    row = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    kept = steps[inner]
    column = np.arange(len(kept), dtype=np.int64)
    used = np.flatnonzero(kept != 0)
    indptr = np.searchsorted(row[used], np.arange(len(counts) + 1))
    return Picked(values[starts], Sparse(len(kept), indptr.astype(np.int64), column[used], exact(kept[used])))
