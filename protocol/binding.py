# SPDX-License-Identifier: GPL-3.0-or-later
"""The binding: the public input that ties a proof to whom it pays, or to who may use it.

Keccak-256 shifted right by 8 bits is below the BN254 scalar order, so the map to the field is exact.
The two tags keep a market proof from passing as a local one, and the other way round.
"""

from __future__ import annotations

from protocol.hashing import keccak256

MARKET_TAG = keccak256(b"proofmesh.binding.market.v1")
LOCAL_TAG = keccak256(b"proofmesh.binding.local.v1")


def market_binding(order_hash: bytes, payout: bytes, settler: bytes) -> int:
    """Return the binding of a market proof: it pays `payout`, and the fee goes to `settler`."""
    return _field(MARKET_TAG + order_hash + _address_word(payout) + _address_word(settler))


def local_binding(chain_id: int, consumer: bytes, subject: bytes) -> int:
    """Return the binding of a proof made outside the market, for one consumer and one wallet."""
    return _field(LOCAL_TAG + chain_id.to_bytes(32, "big") + _address_word(consumer) + _address_word(subject))


def _field(preimage: bytes) -> int:
    return int.from_bytes(keccak256(preimage), "big") >> 8


def _address_word(address: bytes) -> bytes:
    if len(address) != 20:
        raise ValueError("an address has 20 bytes")
    return address.rjust(32, b"\0")
