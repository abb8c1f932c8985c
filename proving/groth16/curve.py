# SPDX-License-Identifier: GPL-3.0-or-later
"""Points of BN254 between three forms: as iden3's files hold them, as verifying keys hold them, and as zksnake
(arkworks) computes with them.

In files a point is affine, little-endian, in Montgomery form (each coordinate times 2^256 mod q): 64 bytes in G1, 128
in G2 with the real part of a coordinate first; zeros are the point at infinity. G1: y^2 = x^3 + 3 has prime
order, so its points are its subgroup. G2: y^2 = x^3 + 3/(9+u) over F_q[u]/(u^2+1) has a cofactor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zksnake._algebra import ec_bn254

from protocol.errors import KeyMaterialError
from proving.groth16.panics import is_panic
from proving.groth16.verifying_key import BN254_BASE_ORDER as Q

PointG1 = Any
"""A point of zksnake, which has no types: `+`, `-`, `==`, `* scalar`, `.x`, `.y` (affine), `.is_zero()`."""
PointG2 = Any
"""The same in G2; `.x` and `.y` are lists: real, imaginary."""
G1, G2 = ec_bn254.g1(), ec_bn254.g2()
INFINITY_G1, INFINITY_G2 = ec_bn254.PointG1.identity(), G2 + -G2
G1_BYTES, G2_BYTES = 64, 128

_SHIFT = 256
_UNSHIFT = pow(1 << _SHIFT, -1, Q)
_TWIST_NORM = pow(82, -1, Q)
_B2 = (3 * 9 * _TWIST_NORM % Q, -3 * _TWIST_NORM % Q)
"""3 / (9 + u)."""


def raw_g1(point: PointG1) -> bytes:
    """Return a point as files hold it."""
    return _element(point.x) + _element(point.y)


def raw_g2(point: PointG2) -> bytes:
    """Return a point as files hold it."""
    return b"".join(map(_element, (*point.x, *point.y)))


def raw_infinity(raw: bytes) -> bool:
    return not any(raw)


def words_g1(raw: bytes) -> tuple[int, int]:
    """Return the affine coordinates; (0, 0) is infinity."""
    x, y = (_plain(raw[at : at + 32]) for at in (0, 32))
    return x, y


def words_g2(raw: bytes) -> tuple[int, int, int, int]:
    """Return the affine coordinates, imaginary parts first, as verifying keys have them."""
    x_real, x_imaginary, y_real, y_imaginary = (_plain(raw[at : at + 32]) for at in (0, 32, 64, 96))
    return x_imaginary, x_real, y_imaginary, y_real


def raw_of_words(words: Sequence[int]) -> bytes:
    """Return the point of 2 (G1) or 4 (G2, imaginary parts first) words as files hold it."""
    ordered = words if len(words) == 2 else (words[1], words[0], words[3], words[2])
    return b"".join(map(_element, ordered))


def uncompressed(raw: bytes) -> bytes:
    """Return a point as snarkjs hashes it: big-endian affine coordinates, imaginary parts first."""
    words = words_g1(raw) if len(raw) == G1_BYTES else words_g2(raw)
    return b"".join(word.to_bytes(32, "big") for word in words)


def negated(raw: bytes) -> bytes:
    """Return the opposite of a raw point."""
    half = len(raw) // 2
    parts = (int.from_bytes(raw[at : at + 32], "little") for at in range(half, len(raw), 32))
    return raw[:half] + b"".join((-part % Q).to_bytes(32, "little") for part in parts)


def point_g1(raw: bytes) -> PointG1:
    """Return a point of a file for computing.

    Raises:
        KeyMaterialError: it is not on the curve.
    """
    return points_g1(np.frombuffer(raw, np.uint8).reshape(1, G1_BYTES))[0]


def point_g2(raw: bytes) -> PointG2:
    """Return a point of a file for computing.

    Raises:
        KeyMaterialError: it is not on the curve or not in the subgroup.
    """
    check_on_curve_g2(np.frombuffer(raw, np.uint8).reshape(1, G2_BYTES), "G2")
    if raw_infinity(raw):
        return INFINITY_G2
    x_imaginary, x_real, y_imaginary, y_real = words_g2(raw)
    try:
        return ec_bn254.PointG2(x_real, x_imaginary, y_real, y_imaginary)
    except BaseException as error:
        if not isinstance(error, ValueError) and not is_panic(error):
            raise
        raise KeyMaterialError("A key has a point outside the subgroup.") from None


def points_g1(array: NDArray[np.uint8], where: str = "G1") -> list[PointG1]:
    """Return points uint8[n, 64] for computing; about 0.1 ms each.

    Raises:
        KeyMaterialError: one is not on the curve.
    """
    check_on_curve_g1(array, where)
    data = array.tobytes()
    rows = (data[at : at + G1_BYTES] for at in range(0, len(data), G1_BYTES))
    return [ec_bn254.PointG1(*words_g1(row)) if any(row) else INFINITY_G1 for row in rows]


def check_on_curve_g1(array: NDArray[np.uint8], where: str) -> None:
    """Check points uint8[n, 64]: canonical coordinates that satisfy the curve's equation, or infinity.

    Raises:
        KeyMaterialError: naming `where` and the first point that does not.
    """
    data, load = array.tobytes(), int.from_bytes
    for at in range(0, len(data), G1_BYTES):
        x, y = load(data[at : at + 32], "little"), load(data[at + 32 : at + 64], "little")
        # x and y stand for x/2^256 and y/2^256: multiplied out, y^2 2^256 = x^3 + 3 * 2^768.
        if x >= Q or y >= Q or ((x or y) and ((y * y << _SHIFT) - x * x * x - _B1_CUBED) % Q):
            raise KeyMaterialError(f"Point {at // G1_BYTES} of {where} is not on the curve.")


def check_on_curve_g2(array: NDArray[np.uint8], where: str) -> None:
    """Check points uint8[n, 128] as `check_on_curve_g1` does; the subgroup is another matter."""
    data, load = array.tobytes(), int.from_bytes
    for at in range(0, len(data), G2_BYTES):
        a, b, c, d = (load(data[at + k : at + k + 32], "little") for k in (0, 32, 64, 96))
        # x = a + bu: x^2 = s + tu, x^3 = (as - bt) + (at + bs)u; y = c + du.
        s, t = (a + b) * (a - b), 2 * a * b
        real = ((c + d) * (c - d) << _SHIFT) - (a * s - b * t) - _B2_CUBED[0]
        imaginary = (2 * c * d << _SHIFT) - (a * t + b * s) - _B2_CUBED[1]
        if max(a, b, c, d) >= Q or ((a or b or c or d) and (real % Q or imaginary % Q)):
            raise KeyMaterialError(f"Point {at // G2_BYTES} of {where} is not on the curve.")


_B1_CUBED = 3 * (1 << 3 * _SHIFT) % Q
_B2_CUBED = tuple(part * (1 << 3 * _SHIFT) % Q for part in _B2)


def _element(value: int) -> bytes:
    return ((value << _SHIFT) % Q).to_bytes(32, "little")


def _plain(data: bytes) -> int:
    return int.from_bytes(data, "little") * _UNSHIFT % Q
