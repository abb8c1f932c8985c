# SPDX-License-Identifier: GPL-3.0-or-later
"""Smooth functions in a program: straight lines between thresholds, or a quotient for the reciprocal."""

from __future__ import annotations

import numpy as np

from proving.fixedpoint.elementwise import divide
from proving.fixedpoint.lowering import Lowering, Value
from proving.fixedpoint.program import Approximation, Constant, Piecewise, Thermometer
from proving.fixedpoint.segments import Table, table
from proving.importer.graph import Function
from proving.sparse import Array, exact

STEEP = (Function.LOG, Function.SQRT)
"""Near 0 they are steep: their argument keeps twice the precision of activations."""


def apply(lowering: Lowering, value: Value, function: Function, most: int | None = None) -> Value:
    """Return the function of each element, approximated: the error is noted with the program.

    `most`: no element is ever above this whole number, whatever intervals say.
    """
    if function is Function.RECIPROCAL:
        ones = lowering.add(Constant(np.ones(value.size, dtype=np.int64)), 0)
        return divide(lowering, lowering.value(ones, 0, True), value)
    fine = lowering.precision * (2 if function in STEEP else 1)
    value = lowering.rescaled(value, fine)
    scale, bounds = int(value.scale.max(initial=0)), lowering.bounds[value.ref]
    low, high = int(bounds.low.min()), int(bounds.high.max())
    if most is not None:
        high = max(low, min(high, most << scale))
    lines = table(function, low, high, scale, lowering.precision)
    lowering.note(Approximation(lowering.layer, function.value, lines.error))
    return _picked(lowering, value, lines)


def _picked(lowering: Lowering, value: Value, lines: Table) -> Value:
    """Give each element the segments that its own bounds reach."""
    bounds, breaks = lowering.bounds[value.ref], exact(lines.breaks)
    start = np.searchsorted(breaks, bounds.low, side="left")
    end = np.searchsorted(breaks, bounds.high, side="left")
    thresholds = tuple(lines.breaks[a:b] for a, b in zip(start.tolist(), end.tolist(), strict=True))
    ones = lowering.add(Thermometer(value.ref, thresholds), 0)
    segments = [k for a, b in zip(start.tolist(), end.tolist(), strict=True) for k in range(a, b + 1)]
    slopes, intercepts = exact(lines.slopes)[segments], exact(lines.intercepts)[segments]
    ref = lowering.add(Piecewise(value.ref, ones, slopes, intercepts), lines.result_scale)
    reach: Array = lowering.bounds[ref].high
    peak = float(max(abs(int(reach.max())), abs(int(lowering.bounds[ref].low.min())))) / 2.0**lines.result_scale
    return lowering.value(ref, lines.result_scale, span=peak)
