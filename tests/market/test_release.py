# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock that is given up, by a prover that cannot serve it or by one that never meant to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from market_phases import LOCKING, client_in, prover_in, run, verifier_in
from market_samples import (
    AT,
    ORDER,
    ORDER_HASH,
    OTHER,
    PROGRAM,
    PROOF,
    PROVER,
    a_bid,
    a_prover,
    a_verifier,
    an_award,
    an_order,
    award_received,
    bid_received,
    locked,
    order_seen,
    proof_received,
)

from market import client, prover, refusals, verifier
from market.effects import (
    Effect,
    EraseSecrets,
    SendAward,
    SendBid,
    SendRefusal,
    StartProof,
    SubmitExpire,
    SubmitRelease,
)
from market.events import (
    ChainReleased,
    ChainUndone,
    Event,
    FundsChanged,
    InputOpened,
    LockFailed,
    ProofFailed,
    ProofReady,
    Tick,
    WitnessReady,
)
from market.instants import SECOND, end_of, to_seconds
from protocol.eip712 import digest
from protocol.structs import Order

RELEASED = ChainReleased(AT, ORDER_HASH, PROVER)
DEAR = an_order(collateral=10**17, price_cap=10**15, promise_by=ORDER.promise_by + 120, final_by=ORDER.final_by + 180)
"""An order whose collateral is worth saving."""


# --- what others think of it -------------------------------------------------------------


def test_an_order_whose_lock_was_released_is_not_secured() -> None:
    """A sham lock that is released costs an eighth of the collateral: it must not buy a proof without funds."""
    lock = locked(account=OTHER, promise_at=to_seconds(AT) - 1)
    secured, _ = run(prover, a_prover(), [lock])
    _, effects = run(prover, secured, [order_seen(balance=0)])
    assert any(isinstance(effect, SendBid) for effect in effects)  # a voided lock pays
    state, _ = run(prover, secured, [ChainReleased(AT, ORDER_HASH, OTHER)])
    assert not state.locks
    _, effects = run(prover, state, [order_seen(balance=0)])
    assert [e.code for e in effects if isinstance(e, SendRefusal)] == [refusals.UNFUNDED]


def test_a_verifier_takes_no_proof_on_a_lock_that_was_released() -> None:
    state, _ = run(verifier, a_verifier(), [locked(), RELEASED])
    _, effects = run(verifier, state, [replace(proof_received(), client_balance=0)])
    assert [e.code for e in effects if isinstance(e, SendRefusal)] == [refusals.UNFUNDED]
    for phase in verifier.Phase:
        before = verifier_in(phase)
        after, effects = run(verifier, before, [RELEASED])
        assert (after.jobs, effects) == (before.jobs, [])


# --- the client --------------------------------------------------------------------------


def test_a_client_turns_to_another_prover_at_once() -> None:
    awarded = client_in(client.Phase.COLLECTING)
    second = replace(bid_received(a_bid(OTHER, price=2 * 10**13)), peer="other")
    state, _ = run(client, awarded, [second, Tick(AT + 2 * SECOND), locked()])
    assert state.jobs[ORDER_HASH].phase is client.Phase.LOCKED
    state, effects = run(client, state, [replace(RELEASED, at=AT + 3 * SECOND)])
    award = next(effect for effect in effects if isinstance(effect, SendAward)).award
    assert award.prover == OTHER and state.jobs[ORDER_HASH].lock is None
    assert state.reputation[PROVER].failed == 1 and PROVER in state.jobs[ORDER_HASH].excluded


def test_a_client_without_another_bid_begins_a_new_auction() -> None:
    state, _ = run(client, client_in(client.Phase.LOCKED), [replace(RELEASED, at=AT + 3 * SECOND)])
    assert state.jobs[ORDER_HASH].phase is client.Phase.COLLECTING and state.jobs[ORDER_HASH].round == 2


@pytest.mark.parametrize("phase", [client.Phase.WAITING, client.Phase.REFUNDING])
def test_a_released_lock_is_no_refund_to_wait_for(phase: client.Phase) -> None:
    """Asked for in vain, it would be asked for for ever."""
    late = end_of(ORDER.final_by) + SECOND
    state, _ = run(client, client_in(phase), [replace(RELEASED, at=late)])
    state, effects = run(client, state, [Tick(late)])
    assert state.jobs[ORDER_HASH].phase is client.Phase.FAILED
    assert EraseSecrets(ORDER_HASH) in effects and not any(isinstance(e, SubmitExpire) for e in effects)


@pytest.mark.parametrize("phase", [p for p in client.Phase if p in client.FINAL])
def test_the_end_of_a_job_stays_what_it_is(phase: client.Phase) -> None:
    state, effects = run(client, client_in(phase), [RELEASED])
    assert state.jobs[ORDER_HASH].phase is phase and effects == []


def test_a_release_that_is_undone_leaves_the_lock() -> None:
    state, _ = run(client, client_in(client.Phase.LOCKED), [RELEASED, ChainUndone(AT, ORDER_HASH), locked()])
    assert state.jobs[ORDER_HASH].phase is client.Phase.LOCKED and state.jobs[ORDER_HASH].lock is not None


# --- the prover whose lock it is ---------------------------------------------------------


def proving(order: Order = DEAR) -> tuple[prover.State, prover.Job]:
    """A prover that proves under its own lock."""
    seen = order_seen(order=order)
    of = seen.order_hash
    state, _ = run(prover, a_prover(programs={PROGRAM: LOCKING}), [seen])
    award = an_award(state.jobs[of].bid)
    taken = replace(award_received(award), order_hash=of)
    events: list[Event] = [taken, InputOpened(AT, of), WitnessReady(AT, of)]
    lock = replace(locked(promise_at=award.promise_at), order_hash=of, award_hash=digest(state.network, award))
    state, effects = run(prover, state, [*events, lock])
    assert StartProof in [type(effect) for effect in effects]
    return state, state.jobs[of]


def hopeless(state: prover.State, job: prover.Job) -> int:
    """The instant from which on a settlement would come too late."""
    return (job.bid.promise_at - state.tariff.settle_margin) * SECOND


def ticks(state: prover.State, of: bytes, until: int) -> tuple[prover.State, list[Effect]]:
    """Let a machine's deadlines come, each try failing at once."""
    done: list[Effect] = []
    while (due := prover.next_deadline(state)) is not None and due <= until:
        state, effects = run(prover, state, [Tick(due)])
        done += effects
        if any(isinstance(effect, StartProof) for effect in effects):
            state, effects = run(prover, state, [ProofFailed(due, of)])
            done += effects
    return state, done


def kinds(effects: Sequence[Effect]) -> list[type]:
    """The types of effects."""
    return [type(effect) for effect in effects]


def test_a_lock_without_a_proof_is_given_up_when_it_could_not_be_settled_in_time_any_more() -> None:
    state, job = proving()
    of = job.order_hash
    state, _ = run(prover, state, [ProofFailed(AT, of)])
    state, tried = ticks(state, of, hopeless(state, job) - 1)
    assert StartProof in kinds(tried) and SubmitRelease not in kinds(tried)
    state, effects = ticks(state, of, hopeless(state, job))
    assert job.award is not None
    assert SubmitRelease(of, DEAR, job.award) in effects and StartProof not in kinds(effects)
    state, effects = run(prover, state, [ChainReleased(hopeless(state, job) + SECOND, of, PROVER)])
    assert state.jobs[of].phase is prover.Phase.DROPPED and EraseSecrets(of) in effects
    assert not (state.jobs[of].locked or state.jobs[of].lock_sent)


def test_a_proof_that_is_not_ready_is_given_up_too_and_settled_if_it_comes_all_the_same() -> None:
    state, job = proving()
    of, at = job.order_hash, hopeless(state, job)
    assert prover.next_deadline(state) == at
    state, effects = run(prover, state, [Tick(at)])
    assert SubmitRelease in kinds(effects)
    state, effects = run(prover, state, [ProofReady(at + 1, of, (1,), PROOF, 90_000)])
    assert state.jobs[of].phase is prover.Phase.SENT
    state, effects = run(prover, state, [ChainReleased(at + 2, of, PROVER)])
    assert state.jobs[of].phase is prover.Phase.SENT and not state.jobs[of].locked  # paid directly, if at all


def test_a_release_that_fails_leaves_the_proof_of_a_voided_lock_to_be_made() -> None:
    state, job = proving()
    of = job.order_hash
    state, _ = run(prover, state, [ProofFailed(AT, of)])
    state, _ = ticks(state, of, hopeless(state, job))
    state, effects = ticks(state, of, end_of(job.bid.promise_at))
    assert StartProof in kinds(effects)


def test_a_small_collateral_is_not_saved_at_the_price_of_the_job() -> None:
    cheap = an_order(collateral=10**9, price_cap=10**15, promise_by=DEAR.promise_by, final_by=DEAR.final_by)
    state, job = proving(cheap)
    of, at = job.order_hash, hopeless(state, job)
    state, effects = run(prover, state, [Tick(at)])
    assert effects == [] and prover.next_deadline(state) == end_of(cheap.final_by)  # the proof that is made goes on
    state, _ = run(prover, state, [ProofFailed(at + SECOND, of)])
    state, effects = ticks(state, of, end_of(job.bid.promise_at))
    assert SubmitRelease not in kinds(effects) and StartProof in kinds(effects)


def test_gas_may_make_a_release_dearer_than_what_it_saves() -> None:
    state, job = proving()
    dear = FundsChanged(AT, 10**18, DEAR.collateral // state.tariff.release_gas)
    _, effects = run(prover, state, [dear, Tick(hopeless(state, job))])
    assert SubmitRelease not in kinds(effects)


def test_a_lock_that_lands_when_its_input_is_gone_is_given_up_at_once() -> None:
    seen = order_seen(order=DEAR)
    of = seen.order_hash
    state, _ = run(prover, a_prover(programs={PROGRAM: LOCKING}), [seen])
    award = an_award(state.jobs[of].bid)
    taken = replace(award_received(award), order_hash=of)
    events: list[Event] = [taken, InputOpened(AT, of), WitnessReady(AT, of), LockFailed(AT, of)]
    state, _ = run(prover, state, events)
    job = replace(state.jobs[of], phase=prover.Phase.DROPPED, lock_sent=False)  # its input was erased
    state = replace(state, jobs={of: job})
    mined = replace(locked(promise_at=award.promise_at), order_hash=of)
    _, effects = run(prover, state, [mined])
    assert SubmitRelease(of, DEAR, award) in effects
    _, effects = run(prover, state, [replace(mined, at=end_of(award.promise_at))])
    assert SubmitRelease not in kinds(effects)  # the contract takes none after the promise


@pytest.mark.parametrize("phase", list(prover.Phase))
def test_the_release_of_somebody_else_changes_no_job(phase: prover.Phase) -> None:
    before = prover_in(phase)
    after, effects = run(prover, before, [ChainReleased(AT, ORDER_HASH, OTHER)])
    assert (after.jobs, effects) == (before.jobs, [])
