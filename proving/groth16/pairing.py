# SPDX-License-Identifier: GPL-3.0-or-later
"""Ratios compared by pairings."""

from __future__ import annotations

from zksnake._algebra import ec_bn254

from proving.groth16.curve import PointG1, PointG2


def same_ratio(first: PointG1, second: PointG1, base: PointG2, multiple: PointG2) -> bool:
    """Say whether `second` is the multiple of `first` that `multiple` is of `base`.

    That is e(first, multiple) = e(second, base). All points must be in their subgroups; infinity anywhere is
    refused, since it would match anything.
    """
    if any(point.is_zero() for point in (first, second, base, multiple)):
        return False
    return bool(ec_bn254.pairing(first, multiple) == ec_bn254.pairing(second, base))
