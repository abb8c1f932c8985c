# SPDX-License-Identifier: GPL-3.0-or-later
"""Times that a hostile client puts beyond all time: what it began ends all the same, and takes nobody's place."""

from __future__ import annotations

from dataclasses import replace

import pytest
from market_phases import LOCKING, S, run
from market_samples import (
    AT,
    NETWORK,
    PROGRAM,
    a_bid,
    a_prover,
    a_verifier,
    an_award,
    an_order,
    award_received,
    order_seen,
    proof_received,
    settled,
)

from market import prover, refusals, verifier
from market.effects import CheckProof, SendRefusal
from market.events import (
    Event,
    InputRejected,
    ProofChecked,
    ProofReceived,
    SettlementFailed,
    Tick,
)
from market.instants import FINALITY, SECOND, end_of
from protocol.eip712 import digest

NEVER = 2**63 - 1
ENDLESS = an_order(final_by=NEVER)
ORDER_HASH = digest(NETWORK, ENDLESS)


def ended(role: object, state: S, latest: int) -> None:
    """Its deadlines, one after another, end the job before an instant."""
    while state.jobs:
        due = role.next_deadline(state)  # type: ignore[attr-defined]
        assert due is not None and due <= latest
        state, _ = run(role, state, [Tick(due)])


def test_an_award_whose_lock_may_come_at_any_time_is_refused() -> None:
    """Four such awards, of a client that empties its deposit before the lock, would fill a prover for good."""
    state = a_prover(programs={PROGRAM: LOCKING})
    state, _ = run(prover, state, [order_seen(order=ENDLESS)])
    award = an_award(state.jobs[ORDER_HASH].bid, lock_by=NEVER)
    state, effects = run(prover, state, [award_received(award)])
    assert [effect.code for effect in effects if isinstance(effect, SendRefusal)] == [refusals.BID_EXPIRED]
    ended(prover, state, end_of(award.promise_at))


@pytest.mark.parametrize("pays", [False, True])
def test_a_job_of_an_order_without_end_is_forgotten(pays: bool) -> None:
    state, _ = run(prover, a_prover(), [order_seen(order=ENDLESS)])
    bid = state.jobs[ORDER_HASH].bid
    last: Event = replace(settled(), order_hash=ORDER_HASH) if pays else InputRejected(AT, ORDER_HASH)
    state, _ = run(prover, state, [award_received(an_award(bid)), last])
    assert state.jobs[ORDER_HASH].phase is (prover.Phase.DONE if pays else prover.Phase.DROPPED)
    ended(prover, state, end_of(bid.promise_at) + FINALITY)


def received(salt: int) -> ProofReceived:
    """A proof of an order without end."""
    order = an_order(final_by=NEVER, salt=salt.to_bytes(32, "big"))
    order_hash = digest(NETWORK, order)
    award = an_award(a_bid(order_hash=order_hash))
    return replace(proof_received(order=order), order_hash=order_hash, award=award, award_hash=digest(NETWORK, award))


@pytest.mark.parametrize("good", [False, True])
def test_a_verifier_that_is_full_of_what_ended_takes_new_proofs(monkeypatch: pytest.MonkeyPatch, good: bool) -> None:
    """Proofs of orders that cannot be settled cost their sender nothing, and would fill it for good."""
    monkeypatch.setattr(verifier, "MAX_JOBS", 3)
    state = a_verifier()
    for salt in range(10):
        proof = received(salt)
        state, effects = run(verifier, state, [proof])
        assert any(isinstance(effect, CheckProof) for effect in effects) and len(state.jobs) <= 3
        end = [SettlementFailed(AT, proof.order_hash, refusals.SETTLEMENT_FAILED)] if good else []
        state, _ = run(verifier, state, [ProofChecked(AT, proof.order_hash, good), *end])
    ended(verifier, state, AT + FINALITY)


def test_of_what_ended_a_verifier_forgets_what_was_paid_last_and_nothing_that_is_in_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verifier, "MAX_JOBS", 3)
    working, paid, dropped = (received(salt) for salt in range(3))
    state, _ = run(verifier, a_verifier(), [working, paid, dropped])
    assert [type(effect) for effect in run(verifier, state, [received(3)])[1]][-1] is SendRefusal
    state, _ = run(verifier, state, [
        ProofChecked(AT, paid.order_hash, True), replace(settled(), order_hash=paid.order_hash),
        ProofChecked(AT + SECOND, dropped.order_hash, False),
    ])  # fmt: skip
    state, _ = run(verifier, state, [received(3)])
    assert {working.order_hash, paid.order_hash} <= state.jobs.keys() and dropped.order_hash not in state.jobs
    state, _ = run(verifier, state, [received(4)])
    assert working.order_hash in state.jobs and paid.order_hash not in state.jobs
    _, effects = run(verifier, state, [received(5)])
    assert [effect.code for effect in effects if isinstance(effect, SendRefusal)] == [refusals.AT_CAPACITY]
