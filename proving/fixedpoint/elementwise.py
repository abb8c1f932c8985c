# SPDX-License-Identifier: GPL-3.0-or-later
"""Products, quotients, comparisons, choices and roundings in integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from protocol.errors import UnsupportedOperatorError
from proving.fixedpoint.lowering import WIDE_BITS, Lowering, Value
from proving.fixedpoint.program import Constant, Multiply, NonNegative, Quotient, Ref, Rescale, Select
from proving.importer.graph import Comparison, Rounding
from proving.sparse import Array, Sparse, diagonal, exact, from_entries


def relu(lowering: Lowering, value: Value) -> Value:
    """Return the positive part at the precision of activations: rounding and ReLU in one decomposition.

    What never is negative passes as it is: whoever needs it shorter rescales it.
    """
    value = lowering.plain(value)
    if value.size and int(lowering.bounds[value.ref].low.min()) >= 0:
        return value
    return lowering.rescaled(value, lowering.precision, relu=True)


def multiply(lowering: Lowering, left: Value, right: Value) -> Value:
    """Return the product at the sum of both scales; only what would get too wide is rescaled first."""
    same = left is right
    left = lowering.plain(left)
    right = left if same else lowering.plain(right)
    if lowering.bits(left.ref) + lowering.bits(right.ref) > WIDE_BITS:
        left = lowering.narrowed(left)
        right = left if same else lowering.narrowed(right)
    scale = left.scale + right.scale
    ref = lowering.add(Multiply(left.ref, right.ref), int(scale.max(initial=0)))
    return Value(ref, scale, left.span * right.span, None, left.exact and right.exact)


def divide(lowering: Lowering, left: Value, right: Value) -> Value:
    """Return the quotient, rounded to the nearest at the precision of activations.

    A negative numerator is made positive by adding a multiple K of the divisor, and K is taken off again. A divisor
    that its interval shows not to be negative is held above 0: at least 1 in its last place.

    Raises:
        UnsupportedOperatorError: the divisor could be negative.
    """
    left, right = (_not_too_wide(lowering, lowering.plain(each)) for each in (left, right))
    divisor = _positive(lowering, right)
    up = lowering.precision + int(right.scale.max(initial=0)) - int(left.scale.max(initial=0))
    # floor(2L/2R + 1/2) rounds L/R to the nearest.
    numerator = _scaled(lowering, left.ref, 2 << max(0, up))
    divisor_unit = 1 << max(0, -up)
    low = lowering.bounds[numerator].low.astype(object)
    least = lowering.bounds[divisor].low.astype(object) * 2 * divisor_unit
    lift = exact(np.where(low < 0, -(low // least), 0))
    lifted = _side_by_side(np.ones(left.size, dtype=np.int64), exact((2 * lift.astype(object) + 1) * divisor_unit))
    scale = lowering.precision
    numerator = lowering.linear((numerator, divisor), lifted, np.zeros(left.size, dtype=np.int64), scale)
    ref = lowering.add(Quotient(numerator, _scaled(lowering, divisor, 2 * divisor_unit)), scale)
    return lowering.value(lowering.shifted(ref, exact(-lift.astype(object))), scale)


def compare(lowering: Lowering, comparison: Comparison, left: Value, right: Value) -> Value:
    """Return 0 or 1, decided on all the bits there are."""
    refs, scale = lowering.aligned([left, right])
    forward = difference(lowering, refs[0], refs[1], scale)
    if comparison is Comparison.GREATER:
        ref = lowering.add(NonNegative(lowering.shifted(forward, -1)), 0)
    elif comparison is Comparison.GREATER_EQUAL:
        ref = lowering.add(NonNegative(forward), 0)
    else:
        at_least = lowering.add(NonNegative(forward), 0)
        at_most = lowering.add(NonNegative(difference(lowering, refs[1], refs[0], scale)), 0)
        ref = lowering.add(Multiply(at_least, at_most), 0)
    return lowering.value(ref, 0, exact_value=left.exact and right.exact)


def select(lowering: Lowering, condition: Value, then: Value, otherwise: Value) -> Value:
    """Return `then` where the condition is 1, else `otherwise`, at the larger of their scales."""
    chosen = lowering.plain(condition)
    if chosen.scale.any():
        raise UnsupportedOperatorError(f"Layer {lowering.layer!r} chooses by a condition that is not 0 or 1.")
    refs, scale = lowering.aligned([then, otherwise])
    ref = lowering.add(Select(chosen.ref, *refs), scale)
    both = then.exact and otherwise.exact
    return replace(lowering.value(ref, scale, both), span=np.maximum(then.span, otherwise.span))


def rounded(lowering: Lowering, value: Value, rounding: Rounding) -> Value:
    """Return whole numbers, at scale 0.

    Halves go to the even neighbour only where the value is exact: where it has been rounded before, a half is an
    accident, and goes up.
    """
    value = lowering.plain(value)
    shift = int(value.scale.max(initial=0))
    if not shift:
        return value
    ref = value.ref
    if rounding is Rounding.FLOOR:
        result = lowering.add(Rescale(ref, shift, False), 0)
    elif rounding is Rounding.CEIL:
        down = lowering.add(Rescale(_scaled(lowering, ref, -1), shift, False), 0)
        result = _scaled(lowering, down, -1)
    elif rounding is Rounding.TOWARDS_ZERO:
        result = _towards_zero(lowering, ref, shift)
    else:
        result = _to_nearest(lowering, ref, shift, even=value.exact)
    return replace(lowering.value(result, 0, value.exact), span=value.span)


def difference(lowering: Lowering, left: Ref, right: Ref, scale: int) -> Ref:
    """Return `left - right`."""
    size = lowering.bounds[left].size
    ones = np.ones(size, dtype=np.int64)
    if left == right:
        return lowering.add(Constant(np.zeros(size, np.int64)), scale)
    return lowering.linear((left, right), _side_by_side(ones, -ones), np.zeros(size, np.int64), scale)


def _towards_zero(lowering: Lowering, ref: Ref, shift: int) -> Ref:
    up = lowering.add(Rescale(ref, shift, True), 0)
    if int(lowering.bounds[ref].low.min(initial=0)) >= 0:
        return up
    down = lowering.add(Rescale(_scaled(lowering, ref, -1), shift, True), 0)
    return difference(lowering, up, down, 0)


def _to_nearest(lowering: Lowering, ref: Ref, shift: int, even: bool) -> Ref:
    half = 1 << (shift - 1)
    if not even:
        return lowering.add(Rescale(lowering.shifted(ref, half), shift, False), 0)
    # floor((x + half - 1 + odd) / 2^shift), where odd is the lowest bit of floor(x / 2^shift).
    down = lowering.add(Rescale(ref, shift, False), 0)
    halved = lowering.add(Rescale(down, 1, False), 0)
    size = lowering.bounds[ref].size
    ones = np.ones(size, dtype=np.int64)
    matrix = from_entries(
        size,
        3 * size,
        np.tile(np.arange(size, dtype=np.int64), 3),
        np.arange(3 * size, dtype=np.int64),
        np.concatenate([ones, ones, -2 * ones]),
    )
    bias = np.full(size, half - 1, dtype=np.int64)
    nudged = lowering.linear((ref, down, halved), matrix, bias, shift)
    return lowering.add(Rescale(nudged, shift, False), 0)


def _positive(lowering: Lowering, divisor: Value) -> Ref:
    least = int(lowering.bounds[divisor.ref].low.min(initial=1))
    if least < 0:
        raise UnsupportedOperatorError(
            f"Layer {lowering.layer!r} divides by what could be negative or 0, as far as intervals show.",
            remedy="Add a positive constant to the divisor, or take its maximum with one.",
        )
    if least > 0:
        return divisor.ref
    above = lowering.add(Rescale(lowering.shifted(divisor.ref, -1), 0, True), int(divisor.scale[0]))
    return lowering.shifted(above, 1)


def _not_too_wide(lowering: Lowering, value: Value) -> Value:
    return lowering.narrowed(value) if lowering.bits(value.ref) > WIDE_BITS // 2 else value


def _scaled(lowering: Lowering, ref: Ref, factor: int) -> Ref:
    if factor == 1:
        return ref
    size = lowering.bounds[ref].size
    factors = exact([factor] * size)
    return lowering.linear((ref,), diagonal(factors), np.zeros(size, np.int64), lowering.scales[ref])


def _side_by_side(left: Array, right: Array) -> Sparse:
    """Return the matrix `[diagonal(left), diagonal(right)]`."""
    size = len(left)
    row = np.tile(np.arange(size, dtype=np.int64), 2)
    values = np.concatenate([left.astype(object), right.astype(object)])
    return from_entries(size, 2 * size, row, np.arange(2 * size, dtype=np.int64), exact(values))
