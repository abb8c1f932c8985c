# SPDX-License-Identifier: GPL-3.0-or-later
"""The structs that accounts sign (EIP-712), field by field as in docs/adr/0001.

Field order matters: it is the order of the Solidity structs and of the EIP-712 type strings.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from protocol.scalars import ZERO_ADDRESS, ZERO_HASH, Address, FieldElement, Hash32, Record, Timestamp, Wei

REQUEST_FOR_QUOTES = 0
OPEN_ORDER = 1


class Network(Record):
    """The network id: messages and signatures of one chain and Escrow are void on every other."""

    chain_id: Annotated[int, Field(ge=1, lt=2**63)]
    escrow: Address


class Order(Record):
    """What a client wants."""

    client: Address
    program_id: Hash32
    model_id: Hash32 = ZERO_HASH
    kind: Annotated[int, Field(ge=0, le=1)] = REQUEST_FOR_QUOTES
    input_commitment: FieldElement
    input_hash: Hash32 = ZERO_HASH
    input_size: Annotated[int, Field(ge=0, lt=2**63)] = 0
    parameters_hash: Hash32 = ZERO_HASH
    token: Address = ZERO_ADDRESS
    price_floor: Wei = 0
    price_cap: Wei
    ramp_start: Timestamp = 0
    ramp_end: Timestamp = 0
    verifier_fee: Wei = 0
    royalty_bps: Annotated[int, Field(ge=0, le=10_000)] = 0
    collateral_token: Address = ZERO_ADDRESS
    collateral: Wei = 0
    promise_by: Timestamp
    final_by: Timestamp
    consumer: Address = ZERO_ADDRESS
    context: Hash32 = ZERO_HASH
    reply_key: Hash32 = ZERO_HASH
    salt: Hash32


class Award(Record):
    """The client's choice of one bid; the only client signature that the chain needs."""

    order_hash: Hash32
    bid_hash: Hash32
    prover: Address
    payout: Address
    price: Wei
    promise_at: Timestamp
    lock_by: Timestamp


class Bid(Record):
    """A prover's offer; it is never authority on-chain."""

    order_hash: Hash32
    prover: Address
    payout: Address
    price: Wei
    promise_at: Timestamp
    expires_at: Timestamp
    locks: bool
    sealing_key: Hash32


class Announcement(Record):
    """Ties an order to the addresses at which its client can be reached."""

    order_hash: Hash32
    addresses_hash: Hash32
    issued_at: Timestamp
    expires_at: Timestamp


class RefusalTerms(Record):
    """Why a prover does not serve an order; `quote` is rounded, zero when price is not the reason."""

    order_hash: Hash32
    prover: Address
    code: Annotated[str, Field(pattern=r"^PM-[A-Z]{2,5}-[0-9]{3}$")]
    quote: Wei
    issued_at: Timestamp


class Introduction(Record):
    """Ties an account to the peer that speaks for it, and to what that peer says of itself, for a while."""

    peer: Annotated[str, Field(min_length=1, max_length=128)]
    roles: str
    least_fee: Wei
    addresses_hash: Hash32
    issued_at: Timestamp
    expires_at: Timestamp


class Notice(Record):
    """A settler's word that a transaction settles an award; the chain is what proves it."""

    order_hash: Hash32
    award_hash: Hash32
    transaction_hash: Hash32
    settler: Address
    issued_at: Timestamp
