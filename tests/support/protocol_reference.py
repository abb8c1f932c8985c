# SPDX-License-Identifier: GPL-3.0-or-later
"""A second implementation of what another client must get right, from docs/PROTOCOL.md and the RFCs alone.

It imports nothing of the project: msgpack by hand, HPKE (RFC 9180) from HMAC, X25519 and the AEAD.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

WORDS = frozenset({
    *("input_commitment", "price_floor", "price_cap", "verifier_fee", "collateral"),
    *("price", "quote", "least_fee", "outputs"),
})
"""Fields whose numbers travel as 32 bytes."""


def wire_bytes(name: str, value: Any) -> bytes:
    """Return the canonical msgpack of a field given as in the vectors (decimal strings, 0x strings)."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, Mapping):
        body = b"".join(wire_bytes("", key) + wire_bytes(key, value[key]) for key in sorted(value))
        return _head(len(value), 0x80, 16, (b"", b"\xde", b"\xdf")) + body
    if isinstance(value, list):
        return _head(len(value), 0x90, 16, (b"", b"\xdc", b"\xdd")) + b"".join(
            wire_bytes(name, item) for item in value
        )
    assert isinstance(value, str)
    if value.startswith("0x"):
        return _binary(bytes.fromhex(value[2:]))
    if value.isascii() and value.isdigit():
        return _binary(int(value).to_bytes(32, "big")) if name in WORDS else _integer(int(value))
    text = value.encode()
    return _head(len(text), 0xA0, 32, (b"\xd9", b"\xda", b"\xdb")) + text


def hpke_seal(recipient: bytes, ephemeral_secret: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Return `enc || ciphertext` of HPKE base mode with a given ephemeral key (RFC 9180, sections 4 to 6)."""
    ephemeral = X25519PrivateKey.from_private_bytes(ephemeral_secret)
    enc = ephemeral.public_key().public_bytes_raw()
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(recipient))
    kem = b"KEM" + (0x0020).to_bytes(2, "big")
    suite = b"HPKE" + b"".join(part.to_bytes(2, "big") for part in (0x0020, 0x0001, 0x0003))
    prk = _extract(kem, b"", b"eae_prk", shared)
    secret = _expand(kem, prk, b"shared_secret", enc + recipient, 32)
    context = b"\0" + _extract(suite, b"", b"psk_id_hash", b"") + _extract(suite, b"", b"info_hash", info)
    prk = _extract(suite, secret, b"secret", b"")
    key = _expand(suite, prk, b"key", context, 32)
    nonce = _expand(suite, prk, b"base_nonce", context, 12)
    return enc + ChaCha20Poly1305(key).encrypt(nonce, plaintext, b"")


def _extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def _expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """One block is enough: 32 bytes at most."""
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, labelled + b"\1", "sha256")[:length]


def _integer(value: int) -> bytes:
    if value < 0x80:
        return bytes([value])
    for marker, size in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
        if value < 1 << (8 * size):
            return bytes([marker]) + value.to_bytes(size, "big")
    raise AssertionError("no msgpack integer")


def _binary(value: bytes) -> bytes:
    return _head(len(value), 0, 0, (b"\xc4", b"\xc5", b"\xc6")) + value


def _head(size: int, short: int, below: int, markers: tuple[bytes, bytes, bytes]) -> bytes:
    if size < below:
        return bytes([short | size])
    for marker, width in zip(markers, (1, 2, 4), strict=True):
        if marker and size < 1 << (8 * width):
            return marker + size.to_bytes(width, "big")
    raise AssertionError("too long for msgpack")
