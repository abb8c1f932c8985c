# SPDX-License-Identifier: GPL-3.0-or-later
"""Places of float32 numbers in their order: the integers that stand for them where only comparisons are made.

The place of x is its IEEE-754 bit pattern with the sign bit flipped, or all bits flipped if x is negative; it rises
with x, from 0 to 2^32 - 1. The zeros have places of their own, -0.0 below 0.0. Patterns that are no number lie beyond
the infinities; `places` refuses them, `numbers` reads them as the infinity next to them, which keeps it monotone.
"""

from __future__ import annotations

import numpy as np

from protocol.errors import InputRangeError
from proving.sparse import Array

_SIGN = np.uint32(1 << 31)


def places(values: Array) -> Array:
    """Return the place of each float32 number, int64.

    Raises:
        InputRangeError: one is NaN.
    """
    numbers = np.asarray(values, dtype=np.float32)
    if np.isnan(numbers).any():
        raise InputRangeError("An input in float32 encoding is not a number.")
    pattern = numbers.view(np.uint32)
    return np.where(pattern & _SIGN, ~pattern, pattern | _SIGN).astype(np.int64)


def numbers(at: Array) -> Array:
    """Return the float32 number at each place (int64, 0 to 2^32 - 1)."""
    place = at.astype(np.uint32)
    values = np.where(place & _SIGN, place ^ _SIGN, ~place).astype(np.uint32).view(np.float32)
    return np.where(np.isnan(values), np.where(place & _SIGN, np.inf, -np.inf), values).astype(np.float32)
