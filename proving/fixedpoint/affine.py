# SPDX-License-Identifier: GPL-3.0-or-later
"""Affine maps in integers: at which scale, and with which coefficients.

A coefficient on a source of scale s, in a map whose result has the scale S, is the integer next to `a * 2^(S - s)`.
The result's scale is what later decompositions pay for, so it is the least at which every coefficient is good
enough: off by at most `2^-(weight_bits + 1)` in what it contributes, where the source is as large as its span. Spans of
raw inputs are their declared ranges (an income of 300,000 beside a flag needs 19 bits more a weight than an
activation does); activations are taken to be of size 1. So a matrix of ones, or an average of four, costs no bits
at all, and an image in 0 to 255 costs the same as one in 0 to 1.

Where all coefficients of a map are small, that rule alone would round them away: then they are held to the size
of the largest one instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from protocol.errors import WeightError
from proving.fixedpoint.bounds import FIELD_SAFE_BITS
from proving.fixedpoint.lowering import Value
from proving.sparse import SAFE, Array, Sparse, exact, from_entries, times

TRAINED_SLACK = 8.0
"""Rounding errors of trained weights cancel; those of an average, all alike, add up. So the weights of a trained layer
may be this much smaller than 1 before they are held to the size of the largest."""
LEAST_SIZE = 2.0**-24
"""Maps with coefficients smaller than this are taken to be of this size."""
SAMPLE = 4096
FRACTION_BITS = 40


@dataclass(frozen=True, slots=True, eq=False)
class IntegerMap:
    """`matrix` and `bias` act on the sources' integers and give the result at `scale` fractional bits.

    `exact`: nothing was rounded.
    """

    matrix: Sparse
    bias: Array
    scale: int
    exact: bool


def integer_map(matrix: Sparse, bias: Array, source: Value, weight_bits: int, trained: bool, layer: str) -> IntegerMap:
    """Return the integer form of `matrix @ source + bias` at the least sufficient scale.

    Raises:
        WeightError: a weight is so large that no field element could hold the sums.
    """
    values = matrix.values.astype(np.float64, copy=False)
    places = source.scale[matrix.indices]
    scale = _least_scale(values, places, source.span[matrix.indices], weight_bits, trained)
    scale = max(scale, _bias_scale(bias, scale, weight_bits))
    _refuse_large(values, scale, layer)
    _refuse_large(bias, scale, layer)
    scaled = np.ldexp(values, scale - places)
    rounded = np.rint(scaled)
    integers = to_integers(rounded)
    bias_scaled = np.ldexp(bias.astype(np.float64), scale)
    integer_bias = to_integers(np.rint(bias_scaled))
    if source.offset is not None:
        moved = _moved_bias(matrix, integers, scaled - rounded, source.offset)
        integer_bias = exact(integer_bias.astype(object) + moved.astype(object))
    unrounded = bool(np.all(scaled == rounded)) and bool(np.all(bias_scaled == np.rint(bias_scaled)))
    return IntegerMap(_without_zeros(matrix, integers), integer_bias, scale, unrounded and source.exact)


def constant_scale(values: Array, weight_bits: int, layer: str) -> int:
    """Return the least scale at which constants are good enough.

    Raises:
        WeightError: one is too large for any scale.
    """
    none = np.zeros(len(values), dtype=np.int64)
    scale = _least_scale(values, none, np.ones(len(values)), weight_bits, trained=False)
    _refuse_large(values, scale, layer)
    return scale


def to_integers(rounded: Array) -> Array:
    """Return whole floats as exact integers, int64 if they fit."""
    if float(np.abs(rounded).max(initial=0)) < SAFE:
        return rounded.astype(np.int64)
    return np.array([int(each) for each in rounded.tolist()], dtype=object)


def _least_scale(values: Array, places: Array, spans: Array, weight_bits: int, trained: bool) -> int:
    """Try scales upwards; each entry's error is exact in float64 (fraction of a product with a power of two)."""
    if not len(values):
        return 0
    size = float((np.abs(values) * spans).max())
    reference = min(1.0, max(LEAST_SIZE, size * (TRAINED_SLACK if trained else 1.0)))
    allowed = reference * 2.0 ** -(weight_bits + 1)
    scale = int(places.max())
    while not _good_enough(values, places, spans, scale, allowed):
        scale += 1
    return scale


def _refuse_large(values: Array, scale: int, layer: str) -> None:
    largest = float(np.abs(values).max(initial=0))
    if not np.ldexp(largest, scale) < 2.0**FIELD_SAFE_BITS:
        raise WeightError(f"Layer {layer!r} has a weight of {largest:.3g}, which is too large for any scale.")


def _good_enough(values: Array, places: Array, spans: Array, scale: int, allowed: float) -> bool:
    for part in (slice(0, SAMPLE), slice(SAMPLE, None)):
        up = scale - places[part]
        scaled = np.ldexp(values[part], up)
        error = np.ldexp(np.abs(scaled - np.rint(scaled)), -up) * spans[part]
        if not bool(np.all(error <= allowed)):
            return False
    return True


def _bias_scale(bias: Array, scale: int, weight_bits: int) -> int:
    """Return the scale that a bias needs: its own where it is exact early, `weight_bits` at most."""
    values = bias.astype(np.float64, copy=False)
    while scale < weight_bits:
        scaled = np.ldexp(values, scale)
        if bool(np.all(scaled == np.rint(scaled))):
            break
        scale += 1
    return scale


def _moved_bias(matrix: Sparse, integers: Array, fractions: Array, offset: Array) -> Array:
    """Return what the offsets of the sources add, with the weights as they were before they were rounded."""
    used = np.flatnonzero(offset[matrix.indices] != 0)
    row, column = matrix.row_of_entry()[used], matrix.indices[used]
    whole = from_entries(matrix.rows, matrix.width, row, column, integers[used])
    rest = np.rint(np.ldexp(fractions[used], FRACTION_BITS)).astype(np.int64)
    part = times(from_entries(matrix.rows, matrix.width, row, column, rest), offset)
    rounded_part = (part.astype(object) + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS
    return exact(times(whole, offset).astype(object) + rounded_part)


def _without_zeros(matrix: Sparse, integers: Array) -> Sparse:
    kept = np.flatnonzero(integers != 0)
    if len(kept) == len(integers):
        return Sparse(matrix.width, matrix.indptr, matrix.indices, integers)
    before = np.concatenate(([0], np.cumsum(integers != 0)))
    return Sparse(matrix.width, before[matrix.indptr].astype(np.int64), matrix.indices[kept], exact(integers[kept]))
