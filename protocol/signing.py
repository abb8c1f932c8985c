# SPDX-License-Identifier: GPL-3.0-or-later
"""ECDSA signatures of accounts over EIP-712 digests (secp256k1, RFC 6979, low s)."""

from __future__ import annotations

from eth_keys.datatypes import PrivateKey, Signature
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from protocol.eip712 import Signable, digest
from protocol.errors import AccountKeyError, SignatureError
from protocol.structs import Network

_HALF_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141 // 2


class Account:
    """An EVM account that can sign; its representation shows the address alone."""

    __slots__ = ("_key", "address")

    def __init__(self, secret: bytes) -> None:
        """Take a private key: 32 bytes, a number from 1 to the order of secp256k1 less 1.

        Raises:
            AccountKeyError: it is not one.
        """
        try:
            self._key = PrivateKey(secret)
            self.address: bytes = self._key.public_key.to_canonical_address()
        except (ValidationError, ValueError):  # no cause: the library's error prints the key
            raise AccountKeyError("The private key is not a number in the range of secp256k1.") from None

    def __repr__(self) -> str:
        return f"Account(0x{self.address.hex()})"

    def sign(self, network: Network, value: Signable) -> bytes:
        """Return the 65-byte signature r || s || v of a struct, v in {27, 28}."""
        return self.sign_digest(digest(network, value))

    def sign_digest(self, message_digest: bytes) -> bytes:
        """Return the 65-byte signature of a 32-byte digest."""
        raw = self._key.sign_msg_hash(message_digest).to_bytes()
        return raw[:64] + bytes([raw[64] + 27])

    def secret(self) -> bytes:
        """Return the private key; for signing transactions in the shell and for nothing else."""
        return bytes(self._key.to_bytes())


def recover(message_digest: bytes, signature: bytes) -> bytes:
    """Return the 20-byte address that signed; refuses high s (EIP-2) and other encodings.

    Raises:
        SignatureError: the bytes are not a signature.
    """
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise SignatureError("The signature is not 65 bytes ending in 27 or 28.")
    if int.from_bytes(signature[32:64], "big") > _HALF_ORDER:
        raise SignatureError("The signature has s in the upper half of the order.")
    try:
        parsed = Signature(signature[:64] + bytes([signature[64] - 27]))
        public = parsed.recover_public_key_from_msg_hash(message_digest)
    except (BadSignature, ValidationError, ValueError) as error:
        raise SignatureError("The signature does not recover to any account.") from error
    return public.to_canonical_address()


def require_signed_by(account: bytes, network: Network, value: Signable, signature: bytes) -> None:
    """Check that `account` signed `value` on `network`.

    Raises:
        SignatureError: it did not.
    """
    if recover(digest(network, value), signature) != account:
        raise SignatureError(f"The {type(value).__name__} is not signed by 0x{account.hex()}.")
