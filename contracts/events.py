# SPDX-License-Identifier: GPL-3.0-or-later
"""The contracts' events as frozen values, and the change of balances that each one means. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.abi import CONTRACTS, ContractName, Entry, artifact, decode_values, error_name
from contracts.bindings import order_from_tuple
from contracts.model import BURNED
from contracts.payments import decode_lock, decode_payment
from contracts.records import Advice, ModelRecord, Payment
from protocol.scalars import ZERO_ADDRESS
from protocol.structs import Award, Order


@dataclass(frozen=True)
class Deposited:
    """`sender` added `amount` wei to the balance of `account`."""

    account: bytes
    sender: bytes
    amount: int


@dataclass(frozen=True)
class WithdrawalRequested:
    """`amount` of the balance may leave at `available_at`: count on the rest only. Zero takes it back."""

    account: bytes
    amount: int
    available_at: int


@dataclass(frozen=True)
class Withdrawn:
    """`amount` wei left the balance of `account` for the address `to`."""

    account: bytes
    to: bytes
    amount: int


@dataclass(frozen=True)
class CancelRequested:
    """From `effective_at` on the order can be neither locked nor settled, unless it was locked before."""

    order_hash: bytes
    client: bytes
    effective_at: int


@dataclass(frozen=True)
class Locked:
    """`reserved` wei of the client and `collateral` of the prover are held for this award."""

    order_hash: bytes
    client: bytes
    prover: bytes
    award_hash: bytes
    award: Award
    reserved: int
    collateral: int
    token: bytes = ZERO_ADDRESS
    collateral_token: bytes = ZERO_ADDRESS


@dataclass(frozen=True)
class Settled:
    """The job is proved and paid; `outputs` are the public inputs between commitment and binding."""

    order_hash: bytes
    program_id: bytes
    client: bytes
    payment: Payment
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Skipped:
    """A job of a batch was not settled, for the reason of this error of the Escrow."""

    order_hash: bytes
    reason: str


@dataclass(frozen=True)
class Expired:
    """Nobody settled a locked order: the client has its reservation back, the collateral is burned."""

    order_hash: bytes
    client: bytes
    prover: bytes
    token: bytes
    refunded: int
    collateral_token: bytes
    burned: int


@dataclass(frozen=True)
class Released:
    """The prover gave its lock up in time: the order is open again, a part of the collateral is burned."""

    order_hash: bytes
    client: bytes
    prover: bytes
    token: bytes
    refunded: int
    collateral_token: bytes
    returned: int
    burned: int


@dataclass(frozen=True)
class TokenDeposited:
    """`amount` of a token arrived for `account`."""

    token: bytes
    account: bytes
    sender: bytes
    amount: int


@dataclass(frozen=True)
class TokenWithdrawalRequested:
    """`amount` of a token may leave at `available_at`."""

    token: bytes
    account: bytes
    amount: int
    available_at: int


@dataclass(frozen=True)
class TokenWithdrawn:
    """`amount` of a token left the balance of `account` for the address `to`."""

    token: bytes
    account: bytes
    to: bytes
    amount: int


@dataclass(frozen=True)
class Submitted:
    """A contract posted an open order."""

    order_hash: bytes
    client: bytes
    order: Order


@dataclass(frozen=True)
class Delivered:
    """A consumer took the statement of a settled order."""

    order_hash: bytes
    consumer: bytes


@dataclass(frozen=True)
class CallbackFailed:
    """A consumer refused the statement of a settled order; `claim` can deliver it later."""

    order_hash: bytes
    consumer: bytes


@dataclass(frozen=True)
class ProgramRegistered:
    """A verifying key is on the chain; `inputs` counts its public inputs."""

    program_id: bytes
    registrant: bytes
    proof_system: int
    inputs: int
    layout: bytes
    setup_id: bytes
    dev: bool


@dataclass(frozen=True)
class VerifierRegistered:
    """A program of another proof system is on the chain, with the code that its verifier must have."""

    program_id: bytes
    registrant: bytes
    verifier: bytes
    code_hash: bytes
    layout: bytes
    setup_id: bytes
    dev: bool


@dataclass(frozen=True)
class ModelPublished:
    """A model and what its publisher says of it."""

    model_id: bytes
    publisher: bytes
    program_id: bytes
    record: ModelRecord


@dataclass(frozen=True)
class Advised:
    """A publisher's word on its own model: use another one, or none."""

    model_id: bytes
    advice: Advice
    successor: bytes
    reason: str


@dataclass(frozen=True)
class Proved:
    """A subject's data earns a loan of a CreditGate."""

    subject: bytes
    commitment: bytes


@dataclass(frozen=True)
class Lent:
    """A CreditGate lent to a subject, once for its data."""

    subject: bytes
    nullifier: bytes
    amount: int


@dataclass(frozen=True)
class Announced:
    """An account says where its node for an Escrow's market can be reached."""

    escrow: bytes
    account: bytes
    addresses: bytes


EscrowEvent = (
    Deposited
    | WithdrawalRequested
    | Withdrawn
    | TokenDeposited
    | TokenWithdrawalRequested
    | TokenWithdrawn
    | Submitted
    | CancelRequested
    | Locked
    | Released
    | Settled
    | Skipped
    | Delivered
    | CallbackFailed
    | Expired
)
Event = EscrowEvent | ProgramRegistered | VerifierRegistered | ModelPublished | Advised | Proved | Lent | Announced

_BUILD: dict[str, Callable[..., Event]] = {
    "Deposited": Deposited,
    "WithdrawalRequested": WithdrawalRequested,
    "Withdrawn": Withdrawn,
    "CancelRequested": CancelRequested,
    "TokenDeposited": TokenDeposited,
    "TokenWithdrawalRequested": TokenWithdrawalRequested,
    "TokenWithdrawn": TokenWithdrawn,
    "Submitted": lambda order_hash, client, order: Submitted(order_hash, client, order_from_tuple(order)),
    "Locked": lambda order_hash, client, prover, terms: Locked(
        order_hash, client, prover, **vars(decode_lock(order_hash, prover, terms))
    ),
    "Released": Released,
    "Delivered": Delivered,
    "CallbackFailed": CallbackFailed,
    "Settled": lambda order_hash, program_id, client, payment: Settled(
        order_hash, program_id, client, *decode_payment(payment)
    ),
    "Skipped": lambda order_hash, reason: Skipped(order_hash, error_name("Escrow", reason)),
    "Expired": Expired,
    "Advised": lambda model_id, advice, successor, reason: Advised(
        model_id, Advice(advice), successor, reason
    ),
    "Proved": Proved,
    "Lent": Lent,
    "Announced": Announced,
    "ProgramRegistered": ProgramRegistered,
    "VerifierRegistered": VerifierRegistered,
    "ModelPublished": lambda model_id, publisher, program_id, record: ModelPublished(
        model_id, publisher, program_id, ModelRecord(*record)
    ),
}


def decode_event(topics: Sequence[bytes], data: bytes) -> Event | None:
    """Return the event of a log, or None if it is none of the contracts'.

    The caller checks which address emitted it. The result depends on topics and data alone.

    Raises:
        ValueError: the first topic is one of the contracts', the rest does not fit it.
    """
    for contract in CONTRACTS:
        entry = artifact(contract).events.get(topics[0]) if topics else None
        if entry is not None and entry.name in _BUILD:
            return _BUILD[entry.name](*_fields(entry, topics[1:], data))
    return None


def event_topic(contract: ContractName, name: str) -> bytes:
    """Return the first topic of an event, for log filters."""
    return next(topic for topic, entry in artifact(contract).events.items() if entry.name == name)


def balance_changes(event: Event) -> tuple[tuple[bytes, int], ...]:
    """Return (account, change in wei) for each internal balance of ETH that the event moves, zeros left out.

    Applied to all events of an Escrow in order this gives exactly its balances.
    """
    return tuple((account, change) for token, account, change in all_changes(event) if token == ZERO_ADDRESS)


def all_changes(event: Event) -> tuple[tuple[bytes, bytes, int], ...]:
    """Return (token, account, change) for each internal balance that the event moves; zero is ETH."""
    return tuple(entry for entry in _changes(event) if entry[2])


def _changes(event: Event) -> list[tuple[bytes, bytes, int]]:
    match event:
        case Deposited(account, _, amount):
            return [(ZERO_ADDRESS, account, amount)]
        case Withdrawn(account, _, amount):
            return [(ZERO_ADDRESS, account, -amount)]
        case TokenDeposited(token, account, _, amount):
            return [(token, account, amount)]
        case TokenWithdrawn(token, account, _, amount):
            return [(token, account, -amount)]
        case Locked():
            return [
                (event.token, event.client, -event.reserved),
                (event.collateral_token, event.prover, -event.collateral),
            ]
        case Settled(_, _, client, pay, _):
            return [
                (pay.token, client, pay.refunded - pay.debited),
                (pay.token, pay.payout, pay.price - pay.royalty),
                (pay.token, pay.publisher, pay.royalty),
                (pay.token, pay.fee_to, pay.verifier_fee),
                (pay.collateral_token, pay.payout, pay.bounty),
                (pay.collateral_token, pay.locked_prover, pay.collateral_returned),
                (pay.collateral_token, BURNED, pay.burned),
            ]
        case Released():
            return [
                (event.token, event.client, event.refunded),
                (event.collateral_token, event.prover, event.returned),
                (event.collateral_token, BURNED, event.burned),
            ]
        case Expired():
            return [
                (event.token, event.client, event.refunded),
                (event.collateral_token, BURNED, event.burned),
            ]
        case _:
            return []


def _fields(entry: Entry, topics: Sequence[bytes], data: bytes) -> list[Any]:
    """Return the values in the order of the declaration, taken from topics and data."""
    indexed = [kind for kind, is_indexed in zip(entry.inputs, entry.indexed, strict=True) if is_indexed]
    plain = [kind for kind, is_indexed in zip(entry.inputs, entry.indexed, strict=True) if not is_indexed]
    if len(topics) != len(indexed):
        raise ValueError(f"{entry.name} has {len(indexed)} indexed fields, not {len(topics)}")
    from_topics = iter(decode_values(indexed, b"".join(topics)))
    from_data = iter(decode_values(plain, data))
    return [next(from_topics if is_indexed else from_data) for is_indexed in entry.indexed]
