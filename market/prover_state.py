# SPDX-License-Identifier: GPL-3.0-or-later
"""What a prover's machine remembers: its account and tariff, the world as it was told, its jobs (see prover.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from market.events import ChainLocked, ProofReady, VerifierSeen
from market.pricing import Tariff
from protocol.structs import Award, Bid, Network, Order


class Phase(StrEnum):
    """Where a prover's job stands."""

    QUOTED = "quoted"
    AWARDED = "awarded"
    WITNESSING = "witnessing"
    LOCKING = "locking"
    PROVING = "proving"
    SENT = "sent"
    SETTLING = "settling"
    DONE = "done"
    DROPPED = "dropped"


BUSY = frozenset({Phase.AWARDED, Phase.WITNESSING, Phase.LOCKING, Phase.PROVING})
"""Phases that take up proving capacity."""
WAITING = BUSY - {Phase.PROVING}
"""Of these, the ones in which the proof has not begun."""
EXPOSED = BUSY | {Phase.SENT, Phase.SETTLING}
"""Phases in which the client owes, unsecured unless locked."""

ENDED = frozenset({Phase.DONE, Phase.DROPPED})
"""Phases in which a job needs no proof any more."""


@dataclass(frozen=True, slots=True)
class Job:
    """One order that this prover has bid on."""

    order: Order
    order_hash: bytes
    phase: Phase
    peer: str
    bid: Bid
    issued_at: int
    deadline: int
    award: Award | None = None
    signature: bytes = b""
    settler: bytes = bytes(20)
    proof: ProofReady | None = None
    locked: bool = False
    lock_sent: bool = False
    """A lock was asked for; whatever was said of it, it may be mined. False again when its input is erased."""
    attempts: int = 0
    resting: bool = False
    """The last proof failed; the next one begins at the deadline."""
    outcome: str = ""
    earned: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """A prover: its account and tariff, what it serves, its funds, its jobs."""

    network: Network
    account: bytes
    payout: bytes
    tariff: Tariff = field(default_factory=Tariff)
    programs: Mapping[bytes, int] = field(default_factory=dict)
    """program id -> estimated proving time in ms, for audited bundles."""
    broken: frozenset[bytes] = frozenset()
    verifiers: Mapping[bytes, VerifierSeen] = field(default_factory=dict)
    balance: int = 0
    gas_price: int = 0
    locks: Mapping[bytes, ChainLocked] = field(default_factory=dict)
    """Locks of orders not settled, expired or released yet, as the chain told them."""
    jobs: Mapping[bytes, Job] = field(default_factory=dict)
    unpaid: Mapping[bytes, int] = field(default_factory=dict)
    """client -> wei of proofs that were made for it without a lock and never paid: it has used up that much trust."""


def keeps_input(job: Job) -> bool:
    """Return whether a job needs its input when it is over, too: a lock that was sent may have to be served."""
    return job.lock_sent and job.proof is None


MAX_DEBTORS = 4_096
"""Clients that are remembered for what they have not paid; the least debts are forgotten first."""


def owes(state: State, client: bytes, more: int) -> State:
    """Note that a client has not paid, or (negative) has earned some trust back."""
    left = max(0, state.unpaid.get(client, 0) + more)
    unpaid = {key: debt for key, debt in state.unpaid.items() if key != client} | ({client: left} if left else {})
    kept = sorted(unpaid, key=lambda key: (unpaid[key], key), reverse=True)[:MAX_DEBTORS]
    return replace(state, unpaid={key: unpaid[key] for key in kept}) if unpaid != state.unpaid else state


def exposure(state: State, client: bytes) -> int:
    """Return what this client owes, in wei: for unlocked jobs in flight, and for those that it has not paid."""
    return state.unpaid.get(client, 0) + sum(
        job.bid.price + job.order.verifier_fee
        for job in state.jobs.values()
        if job.order.client == client and job.phase in EXPOSED and not job.locked
    )
