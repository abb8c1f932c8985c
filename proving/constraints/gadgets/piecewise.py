# SPDX-License-Identifier: GPL-3.0-or-later
"""Piecewise: the ones of a thermometer pick a slope and an intercept; one product an element.

Slope and intercept are the first segment's, and for each one the step to the next segment's: combinations, so they
cost nothing. x is counted from its lower bound, which keeps the product's wire small.
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
    """Wires from `first` on are the element's slope times its distance from `low`."""

    first: int
    source: Ref
    thermometer: Ref
    slopes: Picked
    low: Array

    def fill(self, run: Run) -> None:
        slopes = self.slopes.read(run.trace[self.thermometer])
        distance = run.trace[self.source] - self.low
        if forms.magnitude(slopes) * forms.magnitude(distance) >= SAFE:
            slopes = slopes.astype(object)
        run.put(self.first, slopes * distance)


def piecewise(emission: Emission, node: Piecewise) -> Form:
    """`slope * x + intercept` of the segment that each element lies in."""
    thermometer = emission.program.nodes[node.thermometer]
    assert isinstance(thermometer, Thermometer)
    counts = np.array([len(each) for each in thermometer.thresholds], dtype=np.int64)
    low = emission.low(node.source)
    # slope * x + intercept = slope * (x - low) + (intercept + slope * low)
    lifted = node.slopes.astype(object) * np.repeat(low, counts + 1) + node.intercepts
    slopes, intercepts = _picked(node.slopes, counts), _picked(exact(lifted), counts)
    ones = emission.values[node.thermometer]
    elements = np.arange(len(counts), dtype=np.int64)
    distance = forms.shift(emission.factor(node.source, elements), exact(-low.astype(object)))
    wires = emission.builder.product(slopes.form(ones), distance, "slope")
    emission.builder.steps.append(SlopeProducts(int(wires[0]), node.source, node.thermometer, slopes, low))
    return forms.add(forms.of_wires(wires), intercepts.form(ones))


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
