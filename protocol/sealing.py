# SPDX-License-Identifier: GPL-3.0-or-later
"""Sealing of inputs to the fresh key of the winning bid: HPKE base mode (RFC 9180).

DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. `info` names the network, the order and the
award, so a sealed input cannot be moved to another job. Encapsulation draws its randomness inside the
`cryptography` package: the one place where the pure core is not a function of its arguments.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from protocol.errors import SealError
from protocol.structs import Network

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def seal(to_key: bytes, plaintext: bytes, network: Network, order_hash: bytes, award_hash: bytes) -> bytes:
    """Return `enc || ciphertext` that only the holder of the 32-byte X25519 key can open.

    Raises:
        SealError: the key is not a usable X25519 public key.
    """
    try:
        key = X25519PublicKey.from_public_bytes(to_key)
        return _SUITE.encrypt(plaintext, key, _info(network, order_hash, award_hash))
    except ValueError as error:
        raise SealError("The bid's sealing key is not a valid X25519 key.") from error


def unseal(secret_key: bytes, sealed: bytes, network: Network, order_hash: bytes, award_hash: bytes) -> bytes:
    """Return the plaintext of `seal`; `secret_key` is the 32-byte X25519 private key.

    Raises:
        SealError: another key, another job, or changed bytes.
    """
    try:
        key = X25519PrivateKey.from_private_bytes(secret_key)
        return _SUITE.decrypt(sealed, key, _info(network, order_hash, award_hash))
    except (ValueError, InvalidTag) as error:
        raise SealError("The sealed input cannot be opened.") from error


def public_key(secret_key: bytes) -> bytes:
    """Return the 32-byte X25519 public key of a 32-byte private key."""
    return X25519PrivateKey.from_private_bytes(secret_key).public_key().public_bytes_raw()


def _info(network: Network, order_hash: bytes, award_hash: bytes) -> bytes:
    return (
        b"proofmesh.seal.v1" + network.chain_id.to_bytes(8, "big") + network.escrow + order_hash + award_hash
    )
