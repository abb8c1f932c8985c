# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens in place of signatures and proofs.

A token is a hash of exactly what the real thing binds: a signature the account and the digest, a proof the
program, the input and the binding (so order, payout and settler). Whoever copies one to another payout has
a token that does not check, as on the chain. Only simulated honest actors make tokens that do.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256

from protocol.binding import market_binding
from protocol.eip712 import digest
from protocol.messages import OrderAnnouncement
from protocol.structs import Announcement, Award, Bid, Network, Notice, Order, RefusalTerms

NETWORK = Network(chain_id=31_337, escrow=sha256(b"simulated escrow").digest()[:20])
INVALID_PROOF = bytes(256)


def account_of(name: str) -> bytes:
    """Return the account of a simulated party."""
    return sha256(f"account {name}".encode()).digest()[:20]


@lru_cache(maxsize=4_096)
def hash_of(value: Order | Award | Bid) -> bytes:
    """Return the EIP-712 digest, remembered: one order is hashed by dozens of nodes."""
    return digest(NETWORK, value)


def statement_hash(value: Announcement | RefusalTerms | Notice) -> bytes:
    """Return what stands for the digest of a statement that no machine hashes by itself; a fraction of the work."""
    fields = (type(value).__name__, *value.__dict__.values())
    return sha256(repr(fields).encode()).digest()


def announced(order_hash: bytes, addresses: tuple[str, ...], issued_at: int, expires_at: int) -> Announcement:
    """Return what an announcement signs; a plain hash stands for that of the addresses."""
    joined = sha256(" ".join(addresses).encode()).digest()
    return Announcement(order_hash=order_hash, addresses_hash=joined, issued_at=issued_at, expires_at=expires_at)


@lru_cache(maxsize=4_096)
def announcement_is_signed(message: OrderAnnouncement) -> bool:
    """Return whether an order's client signed its announcement; every node asks this of the same one."""
    signed = announced(hash_of(message.order), message.addresses, message.issued_at, message.expires_at)
    return message.signature == signature_token(message.order.client, statement_hash(signed))


def signature_token(account: bytes, signed: bytes) -> bytes:
    """Return what stands for the signature of `account` over a digest: 65 bytes."""
    return sha256(b"signature" + account + signed).digest() + bytes(33)


def proof_token(order: Order, binding: int, outputs: tuple[int, ...]) -> bytes:
    """Return what stands for a valid proof of this statement: 256 bytes."""
    words = (order.input_commitment, *outputs, binding)
    statement = order.program_id + b"".join(word.to_bytes(32, "big") for word in words)
    return sha256(b"proof" + statement).digest() + bytes(224)


def proof_is_valid(order: Order, payout: bytes, settler: bytes, outputs: tuple[int, ...], proof: bytes) -> bool:
    """Return whether the token proves this order for this payout and settler."""
    binding = market_binding(hash_of(order), payout, settler)
    return proof == proof_token(order, binding, outputs)
