# SPDX-License-Identifier: GPL-3.0-or-later
"""A chain that takes back blocks which were acted on: each machine goes back and waits, or asks again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from market_phases import client_in, prover_in, run, verifier_in
from market_samples import AT, ORDER, ORDER_HASH, OTHER, PROOF, PROVER, TX, VERIFIER, locked, order_seen, settled

from market import client, prover, refusals, verifier
from market.effects import Effect, EraseSecrets, KeepReceipt, StartProof, SubmitExpire, SubmitSettlement
from market.events import (
    ChainExpired,
    ChainUndone,
    Event,
    FundsChanged,
    LockFailed,
    ProofFailed,
    ProofReady,
    SettlementFailed,
    Tick,
    VerifierAnswered,
    VerifierGone,
)
from market.instants import FINALITY, SECOND, end_of

UNDONE = ChainUndone(AT, ORDER_HASH)
FINAL = end_of(ORDER.final_by)


def test_a_client_whose_payment_is_undone_waits_and_keeps_the_receipt_of_the_next() -> None:
    state, _ = run(client, client_in(client.Phase.SETTLED), [UNDONE])
    job = state.jobs[ORDER_HASH]
    assert (job.phase, job.paid, job.transaction_hash) == (client.Phase.WAITING, 0, None)
    again = replace(settled(), transaction_hash=b"\x99" * 32)
    state, effects = run(client, state, [again])
    assert KeepReceipt(ORDER_HASH, ORDER, b"\x99" * 32) in effects


def test_a_client_whose_refund_is_undone_asks_for_it_again() -> None:
    state, _ = run(client, client_in(client.Phase.REFUNDED), [ChainUndone(FINAL, ORDER_HASH), locked()])
    effects = []
    for _ in range(4):
        deadline = client.next_deadline(state)
        assert deadline is not None
        state, more = run(client, state, [Tick(max(deadline, FINAL))])
        effects += more
    assert any(isinstance(effect, SubmitExpire) for effect in effects)


@pytest.mark.parametrize("phase", [client.Phase.SETTLED, client.Phase.REFUNDED])
def test_a_client_remembers_what_ended_on_the_chain_until_it_is_final(phase: client.Phase) -> None:
    late = FINAL + 100 * SECOND
    before, _ = run(client, client_in(client.Phase.REFUNDING), [])
    end = ChainExpired(late, ORDER_HASH, TX) if phase is client.Phase.REFUNDED else settled(late)
    state, _ = run(client, before, [end])
    assert client.next_deadline(state) == late + FINALITY


def test_a_client_whose_lock_is_undone_goes_back_to_its_award() -> None:
    state, _ = run(client, client_in(client.Phase.LOCKED), [UNDONE])
    assert state.jobs[ORDER_HASH].phase is client.Phase.AWARDED and state.jobs[ORDER_HASH].lock is None
    state, _ = run(client, state, [locked()])
    assert state.jobs[ORDER_HASH].phase is client.Phase.LOCKED


def test_a_prover_whose_payment_is_undone_settles_by_itself_with_the_same_proof() -> None:
    done = prover_in(prover.Phase.DONE)
    state, effects = run(prover, done, [UNDONE])
    job = state.jobs[ORDER_HASH]
    (sent,) = [effect for effect in effects if isinstance(effect, SubmitSettlement)]
    assert job.phase is prover.Phase.SETTLING and job.earned == 0
    assert job.proof is not None and sent.proof == job.proof.proof
    state, _ = run(prover, state, [settled(AT + SECOND)])
    assert state.jobs[ORDER_HASH].earned > 0


def test_a_prover_goes_on_when_its_lock_is_undone_and_knows_it_when_it_is_back() -> None:
    state, _ = run(prover, prover_in(prover.Phase.LOCKING), [locked(), UNDONE])
    assert state.jobs[ORDER_HASH].phase is prover.Phase.PROVING
    assert not state.jobs[ORDER_HASH].locked and state.locks == {}
    state, _ = run(prover, state, [locked()])
    assert state.jobs[ORDER_HASH].locked and ORDER_HASH in state.locks


def test_a_lock_that_comes_back_after_the_job_was_given_up_is_settled_with_its_proof() -> None:
    state = prover_in(prover.Phase.SETTLING)
    state, _ = run(prover, state, [ChainExpired(AT, ORDER_HASH, TX)])
    assert state.jobs[ORDER_HASH].phase is prover.Phase.DROPPED
    state, effects = run(prover, state, [UNDONE, locked(account=PROVER)])
    assert state.jobs[ORDER_HASH].phase is prover.Phase.SETTLING
    assert any(isinstance(effect, SubmitSettlement) for effect in effects)


@pytest.mark.parametrize("before", [[], [LockFailed(AT, ORDER_HASH)], [locked()], [locked(), UNDONE]])
def test_a_lock_that_lost_to_a_settlement_is_served_when_a_reorganisation_mines_it(before: list[Event]) -> None:
    state, effects = run(prover, prover_in(prover.Phase.LOCKING), [*before, settled(account=OTHER)])
    assert state.jobs[ORDER_HASH].phase is prover.Phase.DONE and not any(map(erases, effects))
    state, effects = run(prover, state, [UNDONE])
    assert not any(map(erases, effects)), "its transaction waits again, and may be mined first"
    state, effects = run(prover, state, [locked()])
    assert state.jobs[ORDER_HASH].phase is prover.Phase.PROVING and state.jobs[ORDER_HASH].locked
    assert any(isinstance(effect, StartProof) for effect in effects)


def test_a_lock_that_lost_costs_its_input_at_its_promise_and_the_job_is_forgotten_when_all_is_final() -> None:
    state, _ = run(prover, prover_in(prover.Phase.LOCKING), [settled(account=OTHER)])
    promise = end_of(state.jobs[ORDER_HASH].bid.promise_at)
    assert prover.next_deadline(state) == promise
    state, effects = run(prover, state, [Tick(promise)])
    assert effects == [EraseSecrets(ORDER_HASH)]
    late, effects = run(prover, state, [UNDONE, locked()])
    assert late.jobs[ORDER_HASH].phase is prover.Phase.DROPPED and not any(map(starts, effects))
    end = prover.next_deadline(state)
    assert end is not None and end >= AT + FINALITY
    state, effects = run(prover, state, [Tick(end)])
    assert not state.jobs and effects == [EraseSecrets(ORDER_HASH)]


def test_an_own_lock_that_another_one_replaced_is_served_when_it_is_back() -> None:
    held, _ = run(prover, prover_in(prover.Phase.LOCKING), [locked()])
    state, effects = run(prover, held, [UNDONE, locked(account=OTHER)])
    assert state.jobs[ORDER_HASH].phase is prover.Phase.DROPPED and not any(map(erases, effects))
    state, effects = run(prover, state, [UNDONE, locked()])
    assert state.jobs[ORDER_HASH].locked and any(map(starts, effects))


def test_a_proof_that_fails_while_its_lock_is_undone_is_tried_again() -> None:
    state, effects = run(prover, prover_in(prover.Phase.LOCKING), [locked(), UNDONE, ProofFailed(AT, ORDER_HASH)])
    assert state.jobs[ORDER_HASH].phase is prover.Phase.PROVING and not any(map(erases, effects))
    due = prover.next_deadline(state)
    assert due is not None
    _, effects = run(prover, state, [Tick(due)])
    assert any(map(starts, effects))


def test_nothing_new_is_bid_while_an_old_lock_of_the_order_may_be_mined() -> None:
    """A new bid would forget the award that the lock is of."""
    state, _ = run(prover, prover_in(prover.Phase.LOCKING), [locked(), UNDONE, locked(account=OTHER), UNDONE])
    again, effects = run(prover, state, [order_seen(AT + SECOND)])
    assert again == state and not effects
    award = state.jobs[ORDER_HASH].award
    assert award is not None
    known = end_of(award.lock_by) + state.tariff.promise_slack * SECOND
    state, effects = run(prover, state, [replace(order_seen(known), order=ORDER)])
    assert effects, "then it is an order like any other"


def test_a_dear_settlement_is_sent_while_its_undone_lock_may_come_back() -> None:
    proved = [locked(), ProofReady(AT, ORDER_HASH, (1,), PROOF, 900), VerifierGone(AT, VERIFIER)]
    state, _ = run(prover, prover_in(prover.Phase.LOCKING), proved)
    job = state.jobs[ORDER_HASH]
    job = replace(job, order=ORDER.model_copy(update={"collateral": 10 * job.bid.price}))
    state = replace(state, jobs={ORDER_HASH: job})
    dear = 5 * job.bid.price // state.tariff.settle_gas
    refused = VerifierAnswered(AT, ORDER_HASH, refusals.UNREACHABLE)
    _, effects = run(prover, state, [UNDONE, FundsChanged(AT, 10**18, dear), refused])
    assert any(isinstance(effect, SubmitSettlement) for effect in effects)


def erases(effect: Effect) -> bool:
    return isinstance(effect, EraseSecrets)


def starts(effect: Effect) -> bool:
    return isinstance(effect, StartProof)


def test_a_verifier_whose_settlement_is_undone_sends_it_again() -> None:
    state, effects = run(verifier, verifier_in(verifier.Phase.DONE), [UNDONE])
    assert state.jobs[ORDER_HASH].phase is verifier.Phase.SETTLING and ORDER_HASH not in state.settled
    assert any(isinstance(effect, SubmitSettlement) for effect in effects)
    state, _ = run(verifier, state, [SettlementFailed(AT, ORDER_HASH, "PM-REF-030")])
    assert state.jobs[ORDER_HASH].phase is verifier.Phase.DROPPED
