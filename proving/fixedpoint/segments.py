# SPDX-License-Identifier: GPL-3.0-or-later
"""Straight lines for a smooth function of a fixed-point number, with a proven bound on what they are off.

Where segments end is found greedily on a grid in float64 (elementwise, so the same everywhere); any choice would do.
What is claimed is proved afterwards, for the integer lines as they are: on a segment where the curvature keeps its
sign, function less line is convex or concave, so one of its extremes is at an end, and a tangent bounds the other.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Decimal, localcontext
from functools import lru_cache
from itertools import pairwise

import numpy as np

from proving.fixedpoint.real_functions import EVALUATION_ERROR, SMOOTH, Real, Smooth, context
from proving.importer.graph import Function
from proving.sparse import Array

MOST_SEGMENTS = 256
"""Rather than take more, the error is allowed to double."""
UNIFORM_POINTS = 1024
MANTISSAS = range(128, 256)
"""Of the grid's other points, whose distance from 0 grows by at most 1/128 from one to the next."""
BISECTIONS = 24
FEW = 8
SLACK = 0.9
"""Of the allowed error, what the greedy search uses; the rest is for what lies between points of the grid."""


@dataclass(frozen=True, slots=True)
class Table:
    """Segment k holds the integers above `breaks[k-1]` up to `breaks[k]`, its value is `slopes[k] n + intercepts[k]`.

    That is the function of `n / 2^scale`, at `result_scale` fractional bits. It is off by at most `error`, or by
    `error` times the function's value where that is above 1. Where the function has no value (logarithm up to 0) or
    is cut off (exp beyond 16), it is constant and nothing is claimed.
    """

    breaks: tuple[int, ...]
    slopes: tuple[int, ...]
    intercepts: tuple[int, ...]
    result_scale: int
    error: float


@lru_cache(maxsize=64)
def table(function: Function, low: int, high: int, scale: int, precision: int) -> Table:
    """Return lines for the integers `low` to `high` at `scale` fractional bits, about 2^-(precision+1) off.

    Slopes have `precision` bits. The error doubles as often as is needed to make do with MOST_SEGMENTS.
    """
    smooth = SMOOTH[function]
    first = max(low, 1) if smooth.positive else low
    last = high if smooth.most is None else min(high, smooth.most << scale)
    first, last = min(first, max(last, 1 if smooth.positive else last)), max(last, first)
    with localcontext(context()):
        grid = _grid(smooth, first, last, scale)
        values = np.array([float(smooth.value(_real(n, scale))) for n in grid], dtype=np.float64)
        turns = _turns(smooth, first, last, scale)
        allowed = 2.0 ** -(precision + 1)
        unit = 2.0 ** (scale + precision)
        while len(ends := _ends(grid, values, turns, unit, allowed)) > MOST_SEGMENTS:
            allowed *= 2
        lines = _lines(smooth, first, ends, scale, precision)
    return _split(_with_constant_ends(smooth, lines, low, high, first, last), low, high)


def _real(n: int, scale: int) -> Decimal:
    return Decimal(n) / (1 << scale)


def _grid(smooth: Smooth, first: int, last: int, scale: int) -> list[int]:
    """Return integers to look at: evenly spaced ones, and denser ones towards 0."""
    points = {first, last, *_turns(smooth, first, last, scale)}
    points.update(first + (last - first) * i // UNIFORM_POINTS for i in range(UNIFORM_POINTS))
    for bits in range(max(abs(first), abs(last)).bit_length()):
        for mantissa in MANTISSAS:
            distance = (mantissa << bits) >> 7
            points.update(each for each in (distance, -distance) if first <= each <= last)
    return sorted(points)


def _turns(smooth: Smooth, first: int, last: int, scale: int) -> list[int]:
    """Return the last integer before (or at) each inflection: no segment goes on beyond it."""
    if smooth.inflection is None:
        return []
    unit = 1 << scale
    if smooth.period is None:
        turns = [int((smooth.inflection * unit).to_integral_value(rounding="ROUND_FLOOR"))]
    else:
        start = int((_real(first, scale) - smooth.inflection) / smooth.period) - 1
        end = int((_real(last, scale) - smooth.inflection) / smooth.period) + 1
        end = min(end, start + 2 * MOST_SEGMENTS)
        places = (smooth.inflection + k * smooth.period for k in range(start, end + 1))
        turns = [int((place * unit).to_integral_value(rounding="ROUND_FLOOR")) for place in places]
    return [each for each in turns if first <= each < last]


def _ends(grid: Sequence[int], values: Array, turns: Sequence[int], unit: float, allowed: float) -> list[int]:
    """Return the last integer of each segment, as long as a line within `allowed` with a slope in 1/unit can be."""
    x = np.array(grid, dtype=np.float64)
    stops = [*(bisect_left(grid, each) for each in turns), len(grid) - 1]
    ends, start, stop = [], 0, 0
    while start < len(grid):
        while stops[stop] < start:
            stop += 1
        step, end = 1, start
        while end < stops[stop] and step:
            further = min(end + step, stops[stop])
            if _straight(x[start : further + 1], values[start : further + 1], unit, allowed):
                end, step = further, step * 2
            else:
                step //= 2
        end = max(end, min(start + 1, stops[stop])) if grid[min(start + 1, len(grid) - 1)] - grid[start] > 1 else end
        ends.append(grid[end])
        if end == len(grid) - 1 or len(ends) > MOST_SEGMENTS:
            break
        start = end + 1 if grid[end + 1] == grid[end] + 1 else end
        if start == end and end == stops[stop]:
            stop += 1
    return ends


def _straight(x: Array, values: Array, unit: float, allowed: float) -> bool:
    distance = x - x[0]
    slope = float(np.rint((values[-1] - values[0]) / distance[-1] * unit)) / unit
    off = values - (values[0] + slope * distance)
    size = max(1.0, min(abs(float(values[0])), abs(float(values[-1])))) if values[0] * values[-1] > 0 else 1.0
    return float(off.max() - off.min()) / 2 <= SLACK * allowed * size


def _lines(smooth: Smooth, first: int, ends: Sequence[int], scale: int, slope_bits: int) -> Table:
    starts = [first, *(end + 1 for end in ends[:-1])]
    values = [(smooth.value(_real(a, scale)), smooth.value(_real(b, scale))) for a, b in zip(starts, ends, strict=True)]
    result_scale = scale + slope_bits
    slopes, intercepts, worst = [], [], Decimal(0)
    for a, b, (left, right) in zip(starts, ends, values, strict=True):
        chord = (right - left) / _real(b - a, scale) if b > a else Decimal(0)
        slope = int((chord * (1 << slope_bits)).to_integral_value(rounding=ROUND_HALF_EVEN))
        least, most = _extremes(smooth, a, b, scale, _real(slope, slope_bits))
        middle = (least + most) / 2 * (1 << result_scale)
        intercept = int(middle.to_integral_value(rounding=ROUND_HALF_EVEN))
        error = max(most - _real(intercept, result_scale), _real(intercept, result_scale) - least)
        size = min(abs(left), abs(right)) if (left < 0) == (right < 0) else Decimal(0)
        worst = max(worst, error / max(Decimal(1), size))
        slopes.append(slope)
        intercepts.append(intercept)
    stated = float((worst + EVALUATION_ERROR).quantize(Decimal("1e-20"), rounding=ROUND_CEILING)) * (1 + 1e-15)
    return Table(tuple(ends[:-1]), tuple(slopes), tuple(intercepts), result_scale, stated)


def _extremes(smooth: Smooth, first: int, last: int, scale: int, slope: Decimal) -> tuple[Decimal, Decimal]:
    """Return an interval that holds `f(x) - slope x` for all integers from `first` to `last`, read as x.

    Few are looked at one by one. Between the ends of many, f is convex or concave.
    """
    each = range(first, last + 1) if last - first < FEW else (first, last)
    points = [smooth.value(x) - slope * x for x in (_real(n, scale) for n in each)]
    low, high = min(points), max(points)
    a, b = _real(first, scale), _real(last, scale)
    rising = smooth.derivative(a) > slope
    if last - first < FEW or rising == (smooth.derivative(b) > slope):
        return low, high
    turn = _turning_point(smooth.derivative, a, b, slope, rising)
    reach = abs(smooth.derivative(turn) - slope) * max(b - turn, turn - a)
    inner = smooth.value(turn) - slope * turn
    return min(low, inner - reach), max(high, inner + reach)


def _turning_point(derivative: Real, a: Decimal, b: Decimal, slope: Decimal, rising: bool) -> Decimal:
    for _ in range(BISECTIONS):
        middle = (a + b) / 2
        if (derivative(middle) > slope) == rising:
            a = middle
        else:
            b = middle
    return (a + b) / 2


def _with_constant_ends(smooth: Smooth, lines: Table, low: int, high: int, first: int, last: int) -> Table:
    """Add the segments where the function has no value, or is cut off."""
    breaks, slopes, intercepts = list(lines.breaks), list(lines.slopes), list(lines.intercepts)
    if high > last:
        breaks.append(last)
        intercepts.append(slopes[-1] * last + intercepts[-1])
        slopes.append(0)
    if low < first:
        below = intercepts[0] + slopes[0] * first
        with localcontext(context()):
            at_zero = 0 if smooth.value(Decimal(1)) == 1 else below
        breaks.insert(0, first - 1)
        slopes.insert(0, 0)
        intercepts.insert(0, at_zero)
    return Table(tuple(breaks), tuple(slopes), tuple(intercepts), lines.result_scale, lines.error)


def _split(lines: Table, low: int, high: int) -> Table:
    """Cut long segments where that is cheaper: a threshold is one constraint, a bit of the widest segment two."""
    edges = [low - 1, *lines.breaks, high]
    lengths = [b - a for a, b in pairwise(edges)]
    widest = max(lengths).bit_length()
    bits = min(range(1, widest + 1), key=lambda k: (2 * k + sum((each - 1) >> k for each in lengths), k))
    breaks, slopes, intercepts = [], [], []
    for start, length, slope, intercept in zip(edges, lengths, lines.slopes, lines.intercepts, strict=False):
        for part in range(((length - 1) >> bits) + 1):
            breaks.append(min(start + ((part + 1) << bits), start + length))
            slopes.append(slope)
            intercepts.append(intercept)
    return Table(tuple(breaks[:-1]), tuple(slopes), tuple(intercepts), lines.result_scale, lines.error)
