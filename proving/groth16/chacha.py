# SPDX-License-Identifier: GPL-3.0-or-later
"""The randomness that snarkjs derives from a hash: ChaCha20 words, field elements and points of BN254.

Ceremonies need it where a value must be the same for everybody: the G2 point that a contribution's transcript hashes
to, and the factor of a beacon. From ffjavascript: chacha.js, wasm_field1.js and wasm_curve.js (`fromRng`). What is
drawn there for a field is the Montgomery form of the element.
"""

from __future__ import annotations

from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.groth16 import twist
from proving.groth16.curve import PointG1, PointG2, point_g1, point_g2, raw_of_words
from proving.groth16.verifying_key import BN254_BASE_ORDER as Q

SEED_BYTES = 32
_CONSTANTS = (0x61707865, 0x3320646E, 0x79622D32, 0x6B206574)
_QUARTERS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip
_WORD = 0xFFFFFFFF


class ChaCha:
    """A stream of 32-bit words from a seed of eight (RFC 8439's rounds, a counter of 128 bits, no nonce)."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) < SEED_BYTES:
            raise ValueError("a seed has 32 bytes")
        words = [int.from_bytes(seed[at : at + 4], "big") for at in range(0, SEED_BYTES, 4)]
        self._key, self._counter, self._block = [*_CONSTANTS, *words], 0, list[int]()

    def word(self) -> int:
        if not self._block:
            self._block = self._next_block()[::-1]
        return self._block.pop()

    def bit(self) -> bool:
        return bool(self.word() & 1)

    def element(self, order: int) -> int:
        """Return an element of a prime field of 254 bits."""
        while True:
            quads = [(self.word() << 32) + self.word() for _ in range(4)]
            value = sum(quad << 64 * index for index, quad in enumerate(quads)) & (1 << order.bit_length()) - 1
            if value < order:
                return value * pow(1 << 256, -1, order) % order

    def _next_block(self) -> list[int]:
        start = [*self._key, *((self._counter >> 32 * index) & _WORD for index in range(4))]
        self._counter += 1
        state = list(start)
        for _ in range(10):
            for quarter in _QUARTERS:
                _quarter_round(state, *quarter)
        return [(word + first) & _WORD for word, first in zip(state, start, strict=True)]


def scalar(stream: ChaCha) -> int:
    """Return a residue of the scalar field."""
    return stream.element(R)


def random_g1(stream: ChaCha) -> PointG1:
    """Return a point of G1 whose logarithm nobody knows."""
    while True:
        x, greatest = stream.element(Q), stream.bit()
        y = pow(x**3 + 3, (Q + 1) // 4, Q)
        if y * y % Q == (x**3 + 3) % Q:
            return point_g1(raw_of_words((x, Q - y if greatest != _is_greater(y) else y)))


def random_g2(stream: ChaCha) -> PointG2:
    """Return a point of G2 whose logarithm nobody knows."""
    while True:
        x = (stream.element(Q), stream.element(Q))
        greatest = stream.bit()
        y = twist.square_root(twist.right_side(x))
        if y is not None:
            if greatest != _is_greater(y[1] or y[0]):
                y = (-y[0] % Q, -y[1] % Q)
            return point_g2(twist.raw(twist.multiple((x, y), twist.COFACTOR)))


def hash_to_g2(digest: bytes) -> PointG2:
    """Return the point of G2 that a digest stands for."""
    return random_g2(ChaCha(digest))


def _is_greater(y: int) -> bool:
    return y > Q // 2


def _quarter_round(state: list[int], a: int, b: int, c: int, d: int) -> None:
    for target, addend, mixed, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        state[target] = (state[target] + state[addend]) & _WORD
        word = state[mixed] ^ state[target]
        state[mixed] = (word << turn | word >> 32 - turn) & _WORD
