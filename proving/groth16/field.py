# SPDX-License-Identifier: GPL-3.0-or-later
"""BN254's scalar field: roots of unity, Lagrange bases, and vectors of elements as bytes.

Roots of unity are snarkjs' and arkworks': powers of 5^((r-1)/2^28), 5 being the least non-square.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from protocol.scalars import BN254_SCALAR_ORDER as R

TWO_ADICITY = 28
ELEMENT_BYTES = 32
MONTGOMERY = (1 << 256) % R
"""What iden3's files multiply scalars with."""
_ROOT = pow(5, (R - 1) >> TWO_ADICITY, R)


def root_of_unity(power: int) -> int:
    """Return the generator of the domain of 2^power points."""
    return pow(_ROOT, 1 << (TWO_ADICITY - power), R)


def powers(base: int, count: int, first: int = 1) -> list[int]:
    """Return first, first * base, first * base^2, ..."""
    values, value = [], first
    for _ in range(count):
        values.append(value)
        value = value * base % R
    return values


def inverses(values: Sequence[int]) -> list[int]:
    """Return the inverses of elements, none of them zero, with one inversion (Montgomery's trick)."""
    products, running = [], 1
    for value in values:
        products.append(running)
        running = running * value % R
    inverse, result = pow(running, -1, R), [0] * len(values)
    for index in range(len(values) - 1, -1, -1):
        result[index] = products[index] * inverse % R
        inverse = inverse * values[index] % R
    return result


def lagrange(power: int, at: int, first: int = 0, step: int = 1) -> list[int]:
    """Return L_j(at) for the domain of 2^power points (1 at the j-th root of unity, 0 at the others), from `first`.

    Raises:
        ValueError: `at` lies in the domain.
    """
    size = 1 << power
    vanishing = (pow(at, size, R) - 1) % R
    if not vanishing:
        raise ValueError("the point lies in the domain")
    root = root_of_unity(power)
    roots = powers(pow(root, step, R), len(range(first, size, step)), pow(root, first, R))
    scale = vanishing * pow(size, -1, R) % R
    return [
        each * scale % R * inverse % R
        for each, inverse in zip(roots, inverses([at - each for each in roots]), strict=True)
    ]


def hash_to_field(tag: bytes, *parts: bytes) -> int:
    """Return a non-zero element from SHA-512 over length-prefixed parts; the bias is below 2^-250."""
    data = b"".join(len(part).to_bytes(8, "big") + part for part in (tag, *parts))
    return int.from_bytes(hashlib.sha512(data).digest(), "big") % (R - 1) + 1


def to_bytes(values: Sequence[int]) -> NDArray[np.uint8]:
    """Return residues as uint8[n, 32], little-endian."""
    data = b"".join(value.to_bytes(ELEMENT_BYTES, "little") for value in values)
    return np.frombuffer(data, np.uint8).reshape(-1, ELEMENT_BYTES)
