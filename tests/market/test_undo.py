# SPDX-License-Identifier: GPL-3.0-or-later
"""A chain that takes back blocks which were acted on: each machine goes back and waits, or asks again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from market_phases import client_in, prover_in, run, verifier_in
from market_samples import AT, ORDER, ORDER_HASH, PROVER, TX, locked, settled

from market import client, prover, verifier
from market.effects import KeepReceipt, SubmitExpire, SubmitSettlement
from market.events import ChainExpired, ChainUndone, SettlementFailed, Tick
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


def test_a_verifier_whose_settlement_is_undone_sends_it_again() -> None:
    state, effects = run(verifier, verifier_in(verifier.Phase.DONE), [UNDONE])
    assert state.jobs[ORDER_HASH].phase is verifier.Phase.SETTLING and ORDER_HASH not in state.settled
    assert any(isinstance(effect, SubmitSettlement) for effect in effects)
    state, _ = run(verifier, state, [SettlementFailed(AT, ORDER_HASH, "PM-REF-030")])
    assert state.jobs[ORDER_HASH].phase is verifier.Phase.DROPPED
