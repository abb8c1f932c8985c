# SPDX-License-Identifier: GPL-3.0-or-later
"""How many bits integers need, exactly, for whole vectors."""

from __future__ import annotations

import numpy as np

from proving.sparse import Array


def bit_lengths(values: Array) -> Array:
    """Return `int.bit_length` of integers that are not negative, int64."""
    if values.dtype == object:
        return np.array([int(each).bit_length() for each in values], dtype=np.int64)
    rest = values.astype(np.int64)
    lengths = np.zeros(len(rest), dtype=np.int64)
    for step in (32, 16, 8, 4, 2, 1):
        big = rest >> step > 0
        lengths += big * step
        rest = np.where(big, rest >> step, rest)
    return lengths + (rest > 0)


def sign_place(low: Array, high: Array) -> Array:
    """Return the least m with `low >= -2^m` and `high < 2^m`: x + 2^m then has the sign of x in bit m."""
    below = np.where(low < 0, -1 - low, 0)
    above = np.where(high > 0, high, 0)
    return np.maximum(bit_lengths(below), bit_lengths(above))


def powers_of_two(places: Array) -> Array:
    """Return `2^place`, int64 if they fit, else Python integers."""
    if len(places) and int(places.max()) > 61:
        return np.array([1 << each for each in places.tolist()], dtype=object)
    return np.left_shift(np.int64(1), places.astype(np.int64))
