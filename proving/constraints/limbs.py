# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed integers to residues of the scalar field and back, for whole vectors: uint64[n, 4], little-endian limbs."""

from __future__ import annotations

import numpy as np

from protocol.scalars import BN254_SCALAR_ORDER
from proving.sparse import SAFE, Array

LIMBS = 4
ELEMENT_BYTES = 8 * LIMBS
_ORDER = np.frombuffer(BN254_SCALAR_ORDER.to_bytes(ELEMENT_BYTES, "little"), dtype="<u8")


def residues(values: Array) -> Array:
    """Return the residues of signed integers (int64, or Python integers of any size)."""
    limbs = np.zeros((len(values), LIMBS), dtype=np.uint64)
    if values.dtype != object:
        _small(values, limbs)
        return limbs
    fits = np.array([-SAFE < each < SAFE for each in values.tolist()], dtype=bool)
    if fits.any():
        part = np.zeros((int(fits.sum()), LIMBS), dtype=np.uint64)
        _small(values[fits].astype(np.int64), part)
        limbs[fits] = part
    if not fits.all():
        joined = b"".join(
            (int(each) % BN254_SCALAR_ORDER).to_bytes(ELEMENT_BYTES, "little") for each in values[~fits].tolist()
        )
        limbs[~fits] = np.frombuffer(joined, dtype="<u8").reshape(-1, LIMBS)
    return limbs


def _small(values: Array, limbs: Array) -> None:
    """Fill in residues of int64 values: themselves, or the order less their magnitude, with the borrow."""
    negative = np.flatnonzero(values < 0)
    limbs[:, 0] = values.astype(np.uint64)
    if len(negative):
        magnitude = (-values[negative]).astype(np.uint64)
        limbs[negative] = _ORDER
        limbs[negative, 0] -= magnitude
        limbs[negative, 1] -= (magnitude > _ORDER[0]).astype(np.uint64)


def signed(limbs: Array) -> tuple[Array, dict[int, int]]:
    """Return the integers of least magnitude: int64[n], and those that pass 2^62 by position (their int64 is 0)."""
    small = np.zeros(len(limbs), dtype=np.int64)
    direct = ~limbs[:, 1:].any(axis=1) & (limbs[:, 0] < SAFE)
    small[direct] = limbs[direct, 0].astype(np.int64)
    # The order less a small magnitude has the order's upper limbs, but for a borrow from the second.
    rest = np.flatnonzero(~direct)
    if not len(rest):
        return small, {}
    magnitude = _ORDER[0] - limbs[rest, 0]
    borrow = (magnitude > _ORDER[0]).astype(np.uint64)
    near = (limbs[rest, 1] == _ORDER[1] - borrow) & (limbs[rest, 2:] == _ORDER[2:]).all(axis=1) & (magnitude < SAFE)
    small[rest[near]] = -magnitude[near].astype(np.int64)
    big = {int(each): _balanced(limbs[each]) for each in rest[~near]}
    return small, big


def _balanced(limbs: Array) -> int:
    value = int.from_bytes(limbs.astype("<u8").tobytes(), "little") % BN254_SCALAR_ORDER
    return value - BN254_SCALAR_ORDER if value > BN254_SCALAR_ORDER // 2 else value
