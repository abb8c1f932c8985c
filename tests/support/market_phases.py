# SPDX-License-Identifier: GPL-3.0-or-later
"""A representative state of each role in each phase, reached by real events and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from market_samples import (
    AT,
    NOW,
    ORDER,
    ORDER_HASH,
    PROOF,
    PROVER,
    TX,
    a_bid,
    a_prover,
    a_verifier,
    an_award,
    award_received,
    bid_received,
    locked,
    order_seen,
    placed,
    proof_received,
    settled,
)

from market import client, prover, verifier
from market.effects import Effect
from market.events import (
    CancelAsked,
    ChainExpired,
    Event,
    InputOpened,
    ProofChecked,
    ProofReady,
    RefusalReceived,
    Tick,
    VerifierAnswered,
    WitnessReady,
)
from market.instants import SECOND, end_of

S = TypeVar("S", client.State, prover.State, verifier.State)
LOCKING = a_prover().tariff.lock_above_ms + 1
"""A proving time that needs a lock, in ms."""


def run(role: object, state: S, sequence: Sequence[Event]) -> tuple[S, list[Effect]]:
    """Fold events; returns the state and all effects in order."""
    done: list[Effect] = []
    for event in sequence:
        state, effects = role.transition(state, event)  # type: ignore[attr-defined]
        done += effects
    return state, done


def client_in(phase: client.Phase) -> client.State:
    """A client whose job stands in this phase."""
    P = client.Phase
    window_over = Tick(AT + 2 * SECOND)
    awarded = [placed(), bid_received(a_bid()), window_over]
    missed = [*awarded, locked(), Tick(end_of(NOW + 120) + 2 * SECOND)]
    sequences: dict[client.Phase, list[Event]] = {
        P.COLLECTING: [placed(), bid_received(a_bid())],
        P.AWARDED: awarded,
        P.LOCKED: [*awarded, locked()],
        P.WAITING: missed,
        P.REFUNDING: [*missed, Tick(end_of(ORDER.final_by))],
        P.SETTLED: [*awarded, settled()],
        P.REFUNDED: [*missed, ChainExpired(end_of(ORDER.final_by), ORDER_HASH, TX)],
        P.FAILED: [placed(), *(Tick(AT + seconds * SECOND) for seconds in range(2, 121))],
        P.CANCELLED: [placed(), CancelAsked(AT, ORDER_HASH)],
    }
    state, _ = run(client, client.State(), sequences[phase])
    assert state.jobs[ORDER_HASH].phase is phase
    return state


def prover_in(phase: prover.Phase) -> prover.State:
    """A prover whose job stands in this phase; a locking one where there is a lock."""
    P = prover.Phase
    locks = phase is P.LOCKING
    start = a_prover(programs={ORDER.program_id: LOCKING if locks else 1_000})
    quoted, effects = run(prover, start, [order_seen()])
    award = an_award(quoted.jobs[ORDER_HASH].bid)
    of, at = ORDER_HASH, AT
    to_proving: list[Event] = [award_received(award), InputOpened(at, of), WitnessReady(at, of)]
    sent: list[Event] = [*to_proving, ProofReady(at, of, (1,), PROOF, 900)]
    sequences: dict[prover.Phase, list[Event]] = {
        P.QUOTED: [],
        P.AWARDED: to_proving[:1],
        P.WITNESSING: to_proving[:2],
        P.LOCKING: to_proving,
        P.PROVING: to_proving,
        P.SENT: sent,
        P.SETTLING: [*sent, VerifierAnswered(at, of, "PM-REF-021")],
        P.DONE: [*sent, settled()],
        P.DROPPED: [*to_proving[:1], Tick(at + 10 * SECOND)],
    }
    state, _ = run(prover, quoted, sequences[phase])
    assert effects and state.jobs[ORDER_HASH].phase is phase
    return state


def verifier_in(phase: verifier.Phase) -> verifier.State:
    """A verifier whose job stands in this phase."""
    P = verifier.Phase
    sequences: dict[verifier.Phase, list[Event]] = {
        P.CHECKING: [],
        P.READY: [ProofChecked(AT, ORDER_HASH, True)],
        P.SETTLING: [ProofChecked(AT, ORDER_HASH, True)],
        P.DONE: [ProofChecked(AT, ORDER_HASH, True), settled()],
        P.DROPPED: [ProofChecked(AT, ORDER_HASH, False)],
    }
    start = a_verifier(batch_wait=SECOND) if phase is P.READY else a_verifier()
    state, _ = run(verifier, start, [proof_received(), *sequences[phase]])
    assert state.jobs[ORDER_HASH].phase is phase
    return state


def refusal(code: str, at: int = AT, account: bytes = PROVER) -> RefusalReceived:
    """A prover refuses."""
    return RefusalReceived(at, ORDER_HASH, account, code, 0)
