# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine waits for is tried again, what it waits for no longer is given up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from market_phases import LOCKING, client_in, prover_in, run, verifier_in
from market_samples import (
    AT,
    ORDER_HASH,
    PROGRAM,
    PROOF,
    a_bid,
    a_prover,
    a_verifier,
    all_effects,
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
from market.effects import Effect, EraseSecrets, KeepReceipt, SendAward, SubmitBatch, SubmitSettlement
from market.events import Event, InputOpened, ProofChecked, ProofReady, Tick, VerifierAnswered, WitnessReady
from market.instants import SECOND
from market.wanted import LASTING, STOPPABLE, wanted

COURTESY = {"SendBid", "SendRefusal", "SendNotice"}


def lives() -> list[tuple[Any, Any, list[Event]]]:
    """Whole lives of one job: a direct and a locking prover, a client, a verifier."""
    of = ORDER_HASH
    found: list[tuple[Any, Any, list[Event]]] = []
    for programs in ({PROGRAM: 1_000}, {PROGRAM: LOCKING}):
        start = a_prover(programs=programs)
        bidding, _ = prover.transition(start, order_seen())
        award = an_award(bidding.jobs[of].bid)
        events: list[Event] = [order_seen(), award_received(award), InputOpened(AT, of), WitnessReady(AT, of)]
        if bidding.jobs[of].bid.locks:
            events.append(replace(locked(), promise_at=award.promise_at))
        events += [ProofReady(AT, of, (1,), PROOF, 9), VerifierAnswered(AT, of, "PM-REF-021"), settled()]
        found.append((prover, start, events))
    buying: list[Event] = [placed(), bid_received(a_bid()), Tick(AT + 2 * SECOND), settled()]
    checking: list[Event] = [proof_received(), ProofChecked(AT, of, True), settled()]
    return [*found, (client, client.State(), buying), (verifier, a_verifier(), checking)]


@pytest.mark.parametrize(("role", "state", "events"), lives(), ids=["direct", "locking", "client", "verifier"])
def test_an_effect_is_wanted_until_what_it_leads_to_has_come(role: Any, state: Any, events: list[Event]) -> None:
    asked: list[Effect] = []
    for event in events:
        state, effects = role.transition(state, event)
        asked += effects
        for effect in effects:
            if type(effect).__name__ not in COURTESY | {"Report"}:
                assert wanted(state, effect), (event, effect)
    assert asked
    left = [effect for effect in asked if wanted(state, effect)]
    assert all(isinstance(effect, LASTING) for effect in left)


@pytest.mark.parametrize("effect", all_effects(), ids=lambda effect: type(effect).__name__)
def test_nothing_but_what_is_owed_is_wanted_for_a_job_that_is_unknown(effect: Effect) -> None:
    for state in (client.State(), a_prover(), a_verifier()):
        assert wanted(state, effect) is isinstance(effect, (KeepReceipt, EraseSecrets))


def test_the_award_of_an_earlier_round_is_wanted_no_longer() -> None:
    state = client_in(client.Phase.AWARDED)
    award = state.jobs[ORDER_HASH].award
    assert award is not None
    assert wanted(state, SendAward(ORDER_HASH, "peer", award, bytes(32)))
    assert not wanted(state, SendAward(ORDER_HASH, "peer", an_award(a_bid(), lock_by=award.lock_by + 1), bytes(32)))


def test_proving_an_order_already_fulfilled_is_stopped() -> None:
    state, effects = run(prover, prover_in(prover.Phase.WITNESSING), [WitnessReady(AT, ORDER_HASH)])
    (proof,) = [effect for effect in effects if isinstance(effect, STOPPABLE)]
    assert wanted(state, proof)
    state, _ = run(prover, state, [settled(account=b"\x77" * 20)])
    assert not wanted(state, proof)


def test_a_batch_is_wanted_while_one_of_it_is() -> None:
    state = verifier_in(verifier.Phase.SETTLING)
    request = state.jobs[ORDER_HASH].request
    one = SubmitSettlement(ORDER_HASH, request.order, request.award, b"", (1,), PROOF, request.settler)
    other = replace(one, order_hash=b"\x31" * 32)
    assert wanted(state, SubmitBatch(other.order_hash, (other, one)))
    assert not wanted(state, SubmitBatch(other.order_hash, (other,)))
