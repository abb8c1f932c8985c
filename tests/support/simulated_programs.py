# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs whose set-up secrets are known, so that valid proofs of anything can be written down in no time.

This is the zero-knowledge simulator of Groth16: the keys and proofs are ordinary ones for every verifier.
All programs share one phase 1 (alpha, beta, gamma); each has its own delta, as after a real phase 2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zksnake.ecc import EllipticCurve

from protocol.scalars import BN254_SCALAR_ORDER as R
from protocol.statement import GROTH16_BN254, program_id

_CURVE = EllipticCurve("BN254")
LAYOUT = bytes.fromhex("33" * 32)
SETUP_ID = bytes.fromhex("44" * 32)


@dataclass(frozen=True)
class SimulatedProgram:
    """A verifying key for `inputs` public inputs, and proofs with it."""

    name: str
    inputs: int = 3

    @property
    def vk(self) -> tuple[int, ...]:
        """The words of the key (docs/adr/0001)."""
        head = (*_g1(_secret("alpha")), *_g2(_secret("beta")), *_g2(_secret("gamma")), *_g2(self._delta))
        return (*head, *(word for log in self._ic for word in _g1(log)))

    @property
    def program_id(self) -> bytes:
        return program_id(GROTH16_BN254, self.vk, LAYOUT, SETUP_ID, True)

    def prove(self, inputs: Sequence[int], shift: int = 0, nonce: int = 0) -> bytes:
        """A proof of any statement; with `shift` it is a bad one, off by that multiple of G1 in C."""
        return proof_bytes(*self.points(inputs, shift, nonce))

    def points(self, inputs: Sequence[int], shift: int = 0, nonce: int = 0) -> tuple[Any, Any, Any]:
        """The points A, B, C of a proof."""
        assert len(inputs) == self.inputs
        a, b = (_secret(f"{self.name} {side} {nonce} {inputs}") for side in "ab")
        total = self._ic[0] + sum(x * log for x, log in zip(inputs, self._ic[1:], strict=True))
        rest = a * b - _secret("alpha") * _secret("beta") - _secret("gamma") * total
        c = rest * pow(self._delta, -1, R) + shift
        return _CURVE.G1() * a, _CURVE.G2() * b, _CURVE.G1() * (c % R)

    @property
    def _delta(self) -> int:
        return _secret(f"{self.name} delta")

    @property
    def _ic(self) -> tuple[int, ...]:
        return tuple(_secret(f"{self.name} ic {index}") for index in range(self.inputs + 1))


def proof_bytes(a: Any, b: Any, c: Any) -> bytes:
    """The 256 bytes of a proof (EIP-197 order)."""
    words = (a.x, a.y, *_words2(b), c.x, c.y)
    return b"".join(int(word).to_bytes(32, "big") for word in words)


def _secret(name: str) -> int:
    return int.from_bytes(hashlib.sha512(name.encode()).digest(), "big") % (R - 1) + 1


def _g1(log: int) -> tuple[int, int]:
    point = _CURVE.G1() * log
    return int(point.x), int(point.y)


def _g2(log: int) -> tuple[int, int, int, int]:
    return _words2(_CURVE.G2() * log)


def _words2(point: Any) -> tuple[int, int, int, int]:
    (x0, x1), (y0, y1) = point.x, point.y
    return int(x1), int(x0), int(y1), int(y0)
