# SPDX-License-Identifier: GPL-3.0-or-later
"""Lagrange bases at a tau that nobody knows: from a prepared file of powers of tau, or by an FFT on points."""

from __future__ import annotations

from typing import Any

import numpy as np
from zksnake._algebra import polynomial_bn254

from protocol.errors import KeyMaterialError
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.groth16.binfile import Bytes
from proving.groth16.curve import (
    G1_BYTES,
    check_on_curve_g1,
    check_on_curve_g2,
    point_g1,
    point_g2,
    raw_g1,
    raw_g2,
)
from proving.groth16.field import powers, root_of_unity
from proving.groth16.point_sums import random_weights, sum_g1, sum_g2
from proving.groth16.ptau import LAGRANGE_TAU1, Ptau


def basis(ptau: Ptau, section: int, monomials: Bytes) -> Bytes:
    """Return the Lagrange basis that belongs to 2^p powers of tau, from the prepared `section` if there is one.

    Without: 0.1 ms (G1) or 0.3 ms (G2) times n log2(n) / 2.

    Raises:
        KeyMaterialError: the prepared part does not belong to the powers.
    """
    if not ptau.prepared:
        return _computed(monomials)
    found = ptau.basis(section, len(monomials).bit_length() - 1)
    in_g1 = monomials.shape[1] == G1_BYTES
    (check_on_curve_g1 if in_g1 else check_on_curve_g2)(found, "the prepared powers of tau")
    weights = random_weights(len(found))
    add = sum_g1 if in_g1 else sum_g2
    if add(found, weights) != add(monomials, interpolated(weights, len(found))):
        raise KeyMaterialError("The prepared part of the powers of tau does not belong to the powers.")
    return found


def odd_basis(ptau: Ptau, domain: int) -> Bytes:
    """Return the odd half of the basis of the domain twice as large: H of a key; a power beyond the file is zero."""
    monomials = ptau.tau1[: 2 * domain]
    missing = np.zeros((2 * domain - len(monomials), G1_BYTES), np.uint8)
    return basis(ptau, LAGRANGE_TAU1, np.concatenate((monomials, missing)))[1::2]


def interpolated(values: list[int], size: int) -> list[int]:
    """Return the coefficients of the polynomial with these values over the domain of `size`; zeros follow them."""
    padded = [*values, *[0] * (size - len(values))]
    coefficients: list[int] = polynomial_bn254.ifft(padded, size)
    return [*coefficients, *[0] * (size - len(coefficients))]


def _computed(monomials: Bytes) -> Bytes:
    load, dump = (point_g1, raw_g1) if monomials.shape[1] == G1_BYTES else (point_g2, raw_g2)
    count = len(monomials)
    root, scale = pow(root_of_unity(count.bit_length() - 1), -1, R), pow(count, -1, R)
    points = _fourier([load(row.tobytes()) for row in monomials], root)
    return np.frombuffer(b"".join(dump(point * scale) for point in points), np.uint8).reshape(monomials.shape)


def _fourier(points: list[Any], root: int) -> list[Any]:
    if len(points) == 1:
        return points
    even, odd = (_fourier(half, root * root % R) for half in (points[::2], points[1::2]))
    turned = [point * twiddle for point, twiddle in zip(odd, powers(root, len(odd)), strict=True)]
    return [
        *(low + high for low, high in zip(even, turned, strict=True)),
        *(low - high for low, high in zip(even, turned, strict=True)),
    ]
