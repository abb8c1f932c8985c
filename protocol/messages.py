# SPDX-License-Identifier: GPL-3.0-or-later
"""What peers say: every wire message, one frozen model each (docs/PROTOCOL.md).

`kind` and `version` say which model the bytes are, `network` which chain and Escrow they belong to.
Gossip carries order announcements; everything else is a request on a stream, answered by an
`Acknowledgement` or a `Refusal`.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from protocol.eip712 import addresses_hash
from protocol.scalars import (
    ZERO_ADDRESS,
    Address,
    FieldElement,
    Hash32,
    Multiaddress,
    Proof,
    Record,
    Signature,
    Timestamp,
    Wei,
)
from protocol.structs import (
    OPEN_ORDER,
    Award,
    Bid,
    Introduction,
    Network,
    Notice,
    Order,
    RefusalTerms,
)

Addresses = Annotated[tuple[Multiaddress, ...], Field(max_length=8)]


class OrderAnnouncement(Record):
    """Gossip: a client wants a proof. `signature` is over `Announcement`, by `order.client`.

    `order_signature` (over the order itself) is there for open orders alone: they have no award. On
    others it must be null: nothing signed covers it, so a forwarder could make endless valid variants
    of one announcement and use up the client's rate.
    """

    kind: Literal["order"] = "order"
    version: Literal[1] = 1
    network: Network
    order: Order
    addresses: Addresses
    issued_at: Timestamp
    expires_at: Timestamp
    signature: Signature
    order_signature: Signature | None = None

    @model_validator(mode="after")
    def _order_signature_on_open_orders_alone(self) -> Self:
        if (self.order_signature is not None) != (self.order.kind == OPEN_ORDER):
            raise ValueError("open orders, and they alone, carry a signature of the order")
        return self


class BidMessage(Record):
    """Prover to client: an offer, signed by `bid.prover`, and where its node can be reached again."""

    kind: Literal["bid"] = "bid"
    version: Literal[1] = 1
    network: Network
    bid: Bid
    addresses: Addresses
    signature: Signature


class AwardMessage(Record):
    """Client to prover: this bid is chosen, signed by the order's client."""

    kind: Literal["award"] = "award"
    version: Literal[1] = 1
    network: Network
    award: Award
    signature: Signature


class SealedInput(Record):
    """Client to prover: the input, sealed to the bid's fresh key (RFC 9180; `enc || ciphertext`)."""

    kind: Literal["sealed_input"] = "sealed_input"
    version: Literal[1] = 1
    network: Network
    order_hash: Hash32
    award_hash: Hash32
    ciphertext: Annotated[bytes, Field(min_length=48, max_length=8 * 1024 * 1024)]


class ProofMessage(Record):
    """Prover to verifier: all that a settlement needs. `settler` is in the proof's binding."""

    kind: Literal["proof"] = "proof"
    version: Literal[1] = 1
    network: Network
    order: Order
    award: Award
    award_signature: Signature
    outputs: Annotated[tuple[FieldElement, ...], Field(max_length=64)]
    proof: Proof
    settler: Address


class SettlementNotice(Record):
    """Settler to prover and client: this transaction settles your job; signed by the settler."""

    kind: Literal["settlement"] = "settlement"
    version: Literal[1] = 1
    network: Network
    notice: Notice
    signature: Signature


class Refusal(Record):
    """Why a request is not served: a stable code, and a rounded quote if price is the reason."""

    kind: Literal["refusal"] = "refusal"
    version: Literal[1] = 1
    network: Network
    terms: RefusalTerms
    signature: Signature | None


class Acknowledgement(Record):
    """The request with this Keccak-256 hash was understood and stored."""

    kind: Literal["acknowledgement"] = "acknowledgement"
    version: Literal[1] = 1
    network: Network
    request_hash: Hash32


class Hello(Record):
    """What a node is: exchanged on connect. A verifier names its account and its least fee.

    Who names an account signs `introduction` with it; a client that wants no history names none.
    """

    kind: Literal["hello"] = "hello"
    version: Literal[1] = 1
    network: Network
    roles: Annotated[tuple[Literal["client", "prover", "verifier", "publisher"], ...], Field(max_length=4)]
    account: Address
    least_fee: Wei
    addresses: Addresses
    peers: Annotated[tuple[Multiaddress, ...], Field(max_length=64)]
    issued_at: Timestamp
    expires_at: Timestamp
    signature: Signature | None = None

    @model_validator(mode="after")
    def _an_account_and_its_signature_together(self) -> Self:
        named = self.account != ZERO_ADDRESS
        if (self.signature is not None) != named:
            raise ValueError("an account and its signature come together, or neither does")
        if "verifier" in self.roles and not named:
            raise ValueError("a verifier names its account")
        return self

    def introduction(self, peer: str) -> Introduction:
        """Return what `account` signed, if the peer with this id may say it."""
        return Introduction(
            peer=peer,
            roles=",".join(self.roles),
            least_fee=self.least_fee,
            addresses_hash=addresses_hash(self.addresses),
            issued_at=self.issued_at,
            expires_at=self.expires_at,
        )


Message = (
    OrderAnnouncement
    | BidMessage
    | AwardMessage
    | SealedInput
    | ProofMessage
    | SettlementNotice
    | Refusal
    | Acknowledgement
    | Hello
)

MESSAGE_KINDS: dict[str, type[Message]] = {
    "order": OrderAnnouncement,
    "bid": BidMessage,
    "award": AwardMessage,
    "sealed_input": SealedInput,
    "proof": ProofMessage,
    "settlement": SettlementNotice,
    "refusal": Refusal,
    "acknowledgement": Acknowledgement,
    "hello": Hello,
}

SIZE_CAPS: dict[str, int] = {
    "order": 8 * 1024,
    "bid": 4 * 1024,
    "award": 2 * 1024,
    "sealed_input": 8 * 1024 * 1024 + 1024,
    "proof": 8 * 1024,
    "settlement": 2 * 1024,
    "refusal": 2 * 1024,
    "acknowledgement": 1024,
    "hello": 32 * 1024,
}
"""The most bytes that a message of a kind may have; a frame's length is checked before it is read."""
