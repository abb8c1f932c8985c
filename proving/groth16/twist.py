# SPDX-License-Identifier: GPL-3.0-or-later
"""Points of BN254's twist outside G2, which zksnake cannot make: affine arithmetic in plain integers.

Slow (20 ms a multiple), and used where a point is not in the subgroup yet: hashing to G2, and tests that plant one.
"""

from __future__ import annotations

from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.groth16.verifying_key import BN254_BASE_ORDER as Q

Complex = tuple[int, int]
"""Real and imaginary part."""
Point = tuple[Complex, Complex] | None
COFACTOR = 2 * Q - R


def times(a: Complex, b: Complex) -> Complex:
    return (a[0] * b[0] - a[1] * b[1]) % Q, (a[0] * b[1] + a[1] * b[0]) % Q


def minus(a: Complex, b: Complex) -> Complex:
    return (a[0] - b[0]) % Q, (a[1] - b[1]) % Q


def inverse(a: Complex) -> Complex:
    norm = pow(a[0] * a[0] + a[1] * a[1], -1, Q)
    return a[0] * norm % Q, -a[1] * norm % Q


B: Complex = times((3, 0), inverse((9, 1)))
"""The curve's constant, 3 / (9 + u)."""


def add(left: Point, right: Point) -> Point:
    if left is None or right is None:
        return left or right
    (x, y), (u, v) = left, right
    if x == u:
        if y != v or y == (0, 0):
            return None
        slope = times(times((3, 0), times(x, x)), inverse(times((2, 0), y)))
    else:
        slope = times(minus(v, y), inverse(minus(u, x)))
    third = minus(minus(times(slope, slope), x), u)
    return third, minus(times(slope, minus(x, third)), y)


def multiple(point: Point, scalar: int) -> Point:
    """Return a multiple; the scalar is not reduced."""
    total: Point = None
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def raw(point: Point) -> bytes:
    """Return a point as files hold it."""
    x, y = point or ((0, 0), (0, 0))
    return b"".join(((part << 256) % Q).to_bytes(32, "little") for part in (*x, *y))


def right_side(x: Complex) -> Complex:
    """Return y^2 for an x."""
    cube = times(x, times(x, x))
    return (cube[0] + B[0]) % Q, (cube[1] + B[1]) % Q


def square_root(a: Complex) -> Complex | None:
    """Return a root if there is one (the complex method: q is 3 mod 4)."""
    norm = pow(a[0] * a[0] + a[1] * a[1], (Q + 1) // 4, Q)
    for sign in (1, -1):
        real = pow((a[0] + sign * norm) * pow(2, -1, Q), (Q + 1) // 4, Q)
        if real:
            root = (real, a[1] * pow(2 * real, -1, Q) % Q)
            if times(root, root) == (a[0] % Q, a[1] % Q):
                return root
    return None
