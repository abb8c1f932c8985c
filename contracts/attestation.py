# SPDX-License-Identifier: GPL-3.0-or-later
"""What an issuer signs for a CreditGate: that a commitment is to a subject's data, until an instant (EIP-712)."""

from __future__ import annotations

from protocol.hashing import keccak256

_DOMAIN_TYPE = keccak256(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_ATTESTATION_TYPE = keccak256(b"Attestation(bytes32 commitment,address subject,uint64 expiresAt)")


def attestation_digest(chain_id: int, gate: bytes, commitment: int, subject: bytes, expires_at: int) -> bytes:
    """Return the 32 bytes to sign; `gate` and `subject` are addresses, `expires_at` a second since 1970."""
    names = keccak256(b"proofmesh CreditGate") + keccak256(b"1")
    domain = keccak256(_DOMAIN_TYPE + names + chain_id.to_bytes(32, "big") + gate.rjust(32, b"\0"))
    fields = commitment.to_bytes(32, "big") + subject.rjust(32, b"\0") + expires_at.to_bytes(32, "big")
    return keccak256(b"\x19\x01" + domain + keccak256(_ATTESTATION_TYPE + fields))
