# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role wants done: the shell performs these, and may perform each of them twice.

Every effect is idempotent by its order's hash. The shell signs what is to be signed.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.scalars import Address, FieldElement, Hash32, Proof, Signature, Wei
from protocol.structs import Award, Bid, Order


@dataclass(frozen=True, slots=True)
class Effect:
    """Base of all effects; each belongs to one order."""

    order_hash: Hash32


@dataclass(frozen=True, slots=True)
class Announce(Effect):
    """Publish the order (again) until this instant; bids are taken until then."""

    order: Order
    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class SendAward(Effect):
    """Sign the award, seal the input to the bid's key and send both to the peer."""

    peer: str
    award: Award
    sealing_key: Hash32


@dataclass(frozen=True, slots=True)
class SendBid(Effect):
    """Sign the bid and send it to the client's peer."""

    peer: str
    bid: Bid


@dataclass(frozen=True, slots=True)
class SendRefusal(Effect):
    """Tell a peer why not. `quote` is zero unless price is the reason."""

    peer: str
    code: str
    quote: Wei


@dataclass(frozen=True, slots=True)
class ComputeWitness(Effect):
    """Check the opened input against the commitment and compute the witness."""

    order: Order


@dataclass(frozen=True, slots=True)
class StartProof(Effect):
    """Prove, with this binding as the last public input."""

    order: Order
    binding: FieldElement


@dataclass(frozen=True, slots=True)
class SubmitLock(Effect):
    """Send the lock transaction."""

    order: Order
    award: Award
    signature: Signature


@dataclass(frozen=True, slots=True)
class SendProof(Effect):
    """Give the proof to the verifier that its binding names."""

    peer: str
    order: Order
    award: Award
    signature: Signature
    outputs: tuple[FieldElement, ...]
    proof: Proof
    settler: Address


@dataclass(frozen=True, slots=True)
class CheckProof(Effect):
    """Verify the proof off-chain against order, payout and settler."""

    order: Order
    award: Award
    outputs: tuple[FieldElement, ...]
    proof: Proof
    settler: Address


@dataclass(frozen=True, slots=True)
class SubmitSettlement(Effect):
    """Send the settling transaction."""

    order: Order
    award: Award
    signature: Signature
    outputs: tuple[FieldElement, ...]
    proof: Proof
    settler: Address


@dataclass(frozen=True, slots=True)
class SubmitBatch(Effect):
    """Send one transaction that settles several orders; `order_hash` is that of the first."""

    settlements: tuple[SubmitSettlement, ...]


@dataclass(frozen=True, slots=True)
class SendNotice(Effect):
    """Tell the prover's peer which transaction settled the award."""

    peer: str
    award_hash: Hash32
    transaction_hash: Hash32


@dataclass(frozen=True, slots=True)
class SubmitRelease(Effect):
    """Send the transaction that gives this prover's lock up before its promise."""

    order: Order
    award: Award


@dataclass(frozen=True, slots=True)
class SubmitExpire(Effect):
    """Send the transaction that refunds the client."""

    order: Order
    award_hash: Hash32


@dataclass(frozen=True, slots=True)
class SubmitCancel(Effect):
    """Send the transaction that begins the delayed cancel of an order that is awarded."""

    order: Order


@dataclass(frozen=True, slots=True)
class KeepReceipt(Effect):
    """Build the receipt from the settling transaction and keep it."""

    order: Order
    transaction_hash: Hash32


@dataclass(frozen=True, slots=True)
class EraseSecrets(Effect):
    """Erase sealing keys and opened inputs of the order from the vault."""


@dataclass(frozen=True, slots=True)
class Report(Effect):
    """A line for the operator: a stable topic, the counterparty, an amount, a code or a text."""

    topic: str
    account: Address | None = None
    amount: Wei = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Unexpected(Effect):
    """The event makes no sense in this phase: nothing changed, and it is said."""

    event: str
    phase: str


EFFECTS: tuple[type[Effect], ...] = (
    Announce,
    SendAward,
    SendBid,
    SendRefusal,
    ComputeWitness,
    StartProof,
    SubmitLock,
    SendProof,
    CheckProof,
    SubmitSettlement,
    SubmitBatch,
    SendNotice,
    SubmitRelease,
    SubmitExpire,
    SubmitCancel,
    KeepReceipt,
    EraseSecrets,
    Report,
    Unexpected,
)
