# SPDX-License-Identifier: GPL-3.0-or-later
"""The contracts' events as frozen values, and the change of balances that each one means. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.abi import CONTRACTS, ContractName, Entry, artifact, decode_values, error_name
from contracts.bindings import award_from_tuple
from contracts.model import BURNED
from contracts.payments import decode_payment
from contracts.records import ModelRecord, Payment
from protocol.structs import Award


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
    refunded: int
    burned: int


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
class ModelPublished:
    """A model and what its publisher says of it."""

    model_id: bytes
    publisher: bytes
    program_id: bytes
    record: ModelRecord


EscrowEvent = (
    Deposited | WithdrawalRequested | Withdrawn | CancelRequested | Locked | Settled | Skipped | Expired
)
Event = EscrowEvent | ProgramRegistered | ModelPublished

_BUILD: dict[str, Callable[..., Event]] = {
    "Deposited": Deposited,
    "WithdrawalRequested": WithdrawalRequested,
    "Withdrawn": Withdrawn,
    "CancelRequested": CancelRequested,
    "Locked": lambda order_hash, client, prover, award_hash, award, reserved, collateral: Locked(
        order_hash, client, prover, award_hash, award_from_tuple(award), reserved, collateral
    ),
    "Settled": lambda order_hash, program_id, client, payment: Settled(
        order_hash, program_id, client, *decode_payment(payment)
    ),
    "Skipped": lambda order_hash, reason: Skipped(order_hash, error_name("Escrow", reason)),
    "Expired": Expired,
    "ProgramRegistered": ProgramRegistered,
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
    """Return (account, change in wei) for each internal balance that the event moves, zeros left out.

    Applied to all events of an Escrow in order this gives exactly its balances.
    """
    match event:
        case Deposited(account, _, amount):
            changes = [(account, amount)]
        case Withdrawn(account, _, amount):
            changes = [(account, -amount)]
        case Locked():
            changes = [(event.client, -event.reserved), (event.prover, -event.collateral)]
        case Settled(_, _, client, pay, _):
            changes = [
                (client, pay.refunded - pay.debited),
                (pay.payout, pay.price - pay.royalty + pay.bounty),
                (pay.publisher, pay.royalty),
                (pay.fee_to, pay.verifier_fee),
                (pay.locked_prover, pay.collateral_returned),
                (BURNED, pay.burned),
            ]
        case Expired():
            changes = [(event.client, event.refunded), (BURNED, event.burned)]
        case _:
            changes = []
    return tuple((account, change) for account, change in changes if change)


def _fields(entry: Entry, topics: Sequence[bytes], data: bytes) -> list[Any]:
    """Return the values in the order of the declaration, taken from topics and data."""
    indexed = [kind for kind, is_indexed in zip(entry.inputs, entry.indexed, strict=True) if is_indexed]
    plain = [kind for kind, is_indexed in zip(entry.inputs, entry.indexed, strict=True) if not is_indexed]
    if len(topics) != len(indexed):
        raise ValueError(f"{entry.name} has {len(indexed)} indexed fields, not {len(topics)}")
    from_topics = iter(decode_values(indexed, b"".join(topics)))
    from_data = iter(decode_values(plain, data))
    return [next(from_topics if is_indexed else from_data) for is_indexed in entry.indexed]
