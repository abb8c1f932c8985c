# SPDX-License-Identifier: GPL-3.0-or-later
"""Sums of many weighted points, by the proof engine.

A proof's A is alpha1 + sum w_i A_i + r delta1. Under a key without constraints whose alpha1 and delta1 are infinity it
is a plain sum of points with the witness as weights, and B is one in G2. This is Pippenger's algorithm at the engine's
speed (about 10 us a point in G1), and the engine loads raw points at once, where zksnake takes 0.1 ms for
each. The points must have been checked to lie on the curve; in G2 they may lie outside the subgroup.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import groth16py
import numpy as np

from protocol.errors import KeyMaterialError
from proving.constraints.files import wtns_bytes
from proving.groth16 import engine
from proving.groth16.binfile import Bytes
from proving.groth16.curve import G1_BYTES, G2, G2_BYTES, PointG1, PointG2, point_g1, point_g2, raw_g2, raw_of_words
from proving.groth16.field import ELEMENT_BYTES, to_bytes
from proving.groth16.zkey import COEFFICIENT, ZKey, zkey_bytes

SUBGROUP_ROUNDS, SUBGROUP_WEIGHT_BITS = 10, 14
_DOMAIN = 4
_CHUNK = 1 << 18
"""Points summed at once: the synthetic key of so many is 130 MB."""


def sum_g1(points: Bytes, weights: Sequence[int] | Bytes) -> PointG1:
    """Return the sum of raw points uint8[n, 64] times residues (integers, or uint8[n, 32])."""
    total = point_g1(bytes(G1_BYTES))
    for start in range(0, len(points), _CHUNK):
        total = total + point_g1(_sum_g1(points[start : start + _CHUNK], weights[start : start + _CHUNK]))
    return total


def sum_g2(points: Bytes, weights: Sequence[int] | Bytes) -> PointG2:
    """Return the sum of raw points uint8[n, 128] times residues (integers, or uint8[n, 32]).

    Raises:
        KeyMaterialError: the sum is not in the subgroup, so some point is not.
    """
    total = point_g2(bytes(G2_BYTES))
    for start in range(0, len(points), _CHUNK):
        total = total + point_g2(_sum_g2(points[start : start + _CHUNK], weights[start : start + _CHUNK]))
    return total


def random_weights(count: int) -> list[int]:
    """Return numbers of 128 bits that nobody can foresee: a false claim about many points survives one in 2^128."""
    data = os.urandom(16 * count)
    return [int.from_bytes(data[at : at + 16], "little") for at in range(0, len(data), 16)]


def check_subgroup_g2(points: Bytes, where: str) -> None:
    """Check that points on the curve lie in G2, but for a chance of 2^-130.

    The cofactor's least factor is 10069: a point of that order escapes a random sum about once in 2^13 however
    long its weights are, so there are ten sums with short weights.

    Raises:
        KeyMaterialError: naming `where`.
    """
    finite = points[points.any(axis=1)]
    weights = np.zeros((len(finite), ELEMENT_BYTES // 2), "<u2")
    for _ in range(SUBGROUP_ROUNDS if len(finite) else 0):
        weights[:, 0] = np.frombuffer(os.urandom(2 * len(finite)), "<u2") >> 16 - SUBGROUP_WEIGHT_BITS
        try:
            sum_g2(finite, weights.view(np.uint8))
        except KeyMaterialError:
            raise KeyMaterialError(f"A point of {where} is outside the subgroup.") from None


def _sum_g1(points: Bytes, weights: Sequence[int] | Bytes) -> bytes:
    proof = _prove(points, _infinities(len(points), G2_BYTES), weights)
    return raw_of_words(_words(proof)[:2])


def _sum_g2(points: Bytes, weights: Sequence[int] | Bytes) -> bytes:
    proof = _prove(_infinities(len(points), G1_BYTES), points, weights)
    return raw_of_words(_words(proof)[2:6])


def _prove(a: Bytes, b2: Bytes, weights: Sequence[int] | Bytes) -> bytes:
    """Prove under a key with one wire for each point, after the wire that is one."""
    wires = len(weights) + 1
    key = ZKey(
        wires, 0, _DOMAIN,
        alpha1=bytes(G1_BYTES), beta1=bytes(G1_BYTES), beta2=bytes(G2_BYTES), gamma2=raw_g2(G2),
        delta1=bytes(G1_BYTES), delta2=bytes(G2_BYTES),
        ic=_infinities(1, G1_BYTES), coefficients=np.zeros(1, COEFFICIENT),
        a=_after_one(a), b1=_infinities(wires, G1_BYTES), b2=_after_one(b2),
        c=_infinities(wires - 1, G1_BYTES), h=_infinities(_DOMAIN, G1_BYTES),
        circuit_digest=bytes(64),
    )
    with engine.in_memory_file(zkey_bytes(key)) as path:
        loaded = groth16py.import_zkey(path)[0]
    values = weights if isinstance(weights, np.ndarray) else to_bytes(weights)
    return engine.prove_unverified(loaded, wtns_bytes(np.concatenate((to_bytes([1]), values))))


def _infinities(count: int, width: int) -> Bytes:
    return np.zeros((count, width), np.uint8)


def _after_one(points: Bytes) -> Bytes:
    return np.concatenate((_infinities(1, points.shape[1]), points))


def _words(proof: bytes) -> list[int]:
    return [int.from_bytes(proof[at : at + 32], "big") for at in range(0, len(proof), 32)]
