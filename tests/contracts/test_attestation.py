# SPDX-License-Identifier: GPL-3.0-or-later
"""An attestation's digest is EIP-712's, as an independent implementation computes it."""

from __future__ import annotations

from eth_account import Account as EthAccount
from eth_account.messages import encode_typed_data

from contracts.attestation import attestation_digest
from protocol.signing import Account


def test_an_issuer_signs_what_any_wallet_would() -> None:
    gate, subject, commitment, expires_at, secret = b"\x11" * 20, b"\x22" * 20, 7**80, 2_000_000_000, b"\x05" * 32
    message = encode_typed_data(full_message={
        "domain": {"name": "proofmesh CreditGate", "version": "1", "chainId": 31337, "verifyingContract": gate},
        "primaryType": "Attestation",
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"}, {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"}, {"name": "verifyingContract", "type": "address"},
            ],
            "Attestation": [
                {"name": "commitment", "type": "bytes32"}, {"name": "subject", "type": "address"},
                {"name": "expiresAt", "type": "uint64"},
            ],
        },
        "message": {"commitment": commitment.to_bytes(32, "big"), "subject": subject, "expiresAt": expires_at},
    })  # fmt: skip
    digest = attestation_digest(31337, gate, commitment, subject, expires_at)
    assert Account(secret).sign_digest(digest) == bytes(EthAccount.sign_message(message, secret).signature)
    assert digest != attestation_digest(1, gate, commitment, subject, expires_at)
