# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a role: frozen records, authenticated by the shell before they get here.

`at` is chain time in nanoseconds. `order_hash` is the EIP-712 digest of the order. A peer is the
opaque string by which the transport knows it. Nothing here is secret: inputs and keys stay in the
shell's vault under the order's hash.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.scalars import Address, FieldElement, Hash32, Proof, Signature, Wei
from protocol.structs import Award, Bid, Order


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""

    at: int


@dataclass(frozen=True, slots=True)
class Tick(Event):
    """Time has passed; sent at `next_deadline(state)` or later."""


@dataclass(frozen=True, slots=True)
class JobEvent(Event):
    """An event of one job."""

    order_hash: Hash32


# --- client ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderPlaced(JobEvent):
    """The user asks for a proof. `allowed` lists the provers that may see the input; None is any."""

    order: Order
    policy: str
    window: int
    allowed: tuple[Address, ...] | None


@dataclass(frozen=True, slots=True)
class BidReceived(JobEvent):
    """A signed bid from a peer; `slashes` is how often its prover has lost collateral, by the chain's word."""

    peer: str
    bid: Bid
    bid_hash: Hash32
    slashes: int = 0


@dataclass(frozen=True, slots=True)
class RefusalReceived(JobEvent):
    """A prover says why it does not serve the order (before or after the award)."""

    prover: Address
    code: str
    quote: Wei


@dataclass(frozen=True, slots=True)
class AwardAccepted(JobEvent):
    """The prover has acknowledged the award and the sealed input."""

    prover: Address


@dataclass(frozen=True, slots=True)
class CancelAsked(JobEvent):
    """The user wants the job no longer."""


# --- prover ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OrderSeen(JobEvent):
    """A fresh, signed announcement. `client_balance` is from the follower's ledger, in wei.

    `sealing_key` is a fresh X25519 public key that the shell drew for a possible bid. `verifier` is the code hash of
    the contract that verifies the program, nothing for Groth16.
    """

    order: Order
    issued_at: int
    peer: str
    client_balance: Wei
    sealing_key: Hash32
    verifier: bytes = b""


@dataclass(frozen=True, slots=True)
class AwardReceived(JobEvent):
    """The client's signed choice of this prover's bid."""

    peer: str
    award: Award
    award_hash: Hash32
    signature: Signature


@dataclass(frozen=True, slots=True)
class InputOpened(JobEvent):
    """The sealed input was opened and lies in the vault."""


@dataclass(frozen=True, slots=True)
class InputRejected(JobEvent):
    """The sealed input cannot be opened, or does not fit commitment or schema."""


@dataclass(frozen=True, slots=True)
class WitnessReady(JobEvent):
    """The input fits the commitment and a witness exists."""


@dataclass(frozen=True, slots=True)
class ProofReady(JobEvent):
    """A proof that this node has itself verified."""

    outputs: tuple[FieldElement, ...]
    proof: Proof
    proving_ms: int


@dataclass(frozen=True, slots=True)
class ProofFailed(JobEvent):
    """The proof could not be made, or does not verify."""


@dataclass(frozen=True, slots=True)
class LockFailed(JobEvent):
    """The lock transaction was refused by the chain."""


@dataclass(frozen=True, slots=True)
class ProgramServed(Event):
    """A bundle was audited: this node serves the program. Times in ms, gas in units."""

    program_id: Hash32
    proving_ms: int


@dataclass(frozen=True, slots=True)
class VerifierSeen(Event):
    """A peer says that it settles for `account` from this least fee on."""

    peer: str
    account: Address
    least_fee: Wei


@dataclass(frozen=True, slots=True)
class VerifierGone(Event):
    """A verifier cannot be reached."""

    account: Address


@dataclass(frozen=True, slots=True)
class VerifierAnswered(JobEvent):
    """The verifier took the proof (`code` empty) or refused it."""

    code: str


@dataclass(frozen=True, slots=True)
class FundsChanged(Event):
    """This node's free balance in the Escrow, and the gas price it expects, both in wei."""

    balance: Wei
    gas_price: Wei


# --- verifier ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProofReceived(JobEvent):
    """A prover asks for settlement."""

    peer: str
    order: Order
    award: Award
    award_hash: Hash32
    signature: Signature
    outputs: tuple[FieldElement, ...]
    proof: Proof
    settler: Address
    client_balance: Wei


@dataclass(frozen=True, slots=True)
class ProofChecked(JobEvent):
    """The proof verifies off-chain, or does not."""

    valid: bool


# --- chain -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SettlementFailed(JobEvent):
    """This node's settling transaction was refused by the chain, with this code."""

    code: str


@dataclass(frozen=True, slots=True)
class ChainLocked(JobEvent):
    """The order is locked on-chain for this award.

    `price` is what the lock reserves for the proof: once it is void, no other award of the order can be
    paid more. Zero if the shell does not know it.
    """

    award_hash: Hash32
    prover: Address
    promise_at: int
    price: Wei = 0


@dataclass(frozen=True, slots=True)
class ChainSettled(JobEvent):
    """The order is settled on-chain, whoever did it."""

    transaction_hash: Hash32
    prover: Address
    payout: Address
    settler: Address
    price: Wei
    fee: Wei


@dataclass(frozen=True, slots=True)
class ChainExpired(JobEvent):
    """The order's lock ran out and the client is refunded."""

    transaction_hash: Hash32


@dataclass(frozen=True, slots=True)
class ChainReleased(JobEvent):
    """The prover gave its lock up: the reservation is the client's again, and the order is open."""

    prover: Address


@dataclass(frozen=True, slots=True)
class ChainUndone(JobEvent):
    """What the chain had said of the order holds no longer: blocks that were acted on are replaced.

    What still holds, or holds again, is told after this one.
    """


CHAIN_EVENTS: tuple[type[JobEvent], ...] = (ChainLocked, ChainSettled, ChainExpired, ChainReleased, ChainUndone)
CLIENT_EVENTS: tuple[type[Event], ...] = (
    Tick,
    OrderPlaced,
    BidReceived,
    RefusalReceived,
    AwardAccepted,
    CancelAsked,
    *CHAIN_EVENTS,
)
PROVER_EVENTS: tuple[type[Event], ...] = (
    Tick,
    ProgramServed,
    VerifierSeen,
    VerifierGone,
    FundsChanged,
    OrderSeen,
    AwardReceived,
    InputOpened,
    InputRejected,
    WitnessReady,
    ProofReady,
    ProofFailed,
    LockFailed,
    VerifierAnswered,
    SettlementFailed,
    *CHAIN_EVENTS,
)
VERIFIER_EVENTS: tuple[type[Event], ...] = (
    Tick,
    FundsChanged,
    ProofReceived,
    ProofChecked,
    SettlementFailed,
    *CHAIN_EVENTS,
)
