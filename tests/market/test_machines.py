# SPDX-License-Identifier: GPL-3.0-or-later
"""Random lives: no sequence of events raises, loops in ticks, or leaves a deadline that changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from market_phases import LOCKING
from market_samples import (
    AT,
    NETWORK,
    NOW,
    ORDER,
    ORDER_HASH,
    OTHER,
    PROGRAM,
    PROVER,
    a_bid,
    a_prover,
    a_verifier,
    all_events,
    an_award,
    an_order,
    award_received,
    bid_received,
    locked,
    order_seen,
    placed,
    proof_received,
    settled,
)

from market import client, prover, refusals, verifier
from market.effects import (
    Effect,
    SendAward,
    SubmitExpire,
    SubmitLock,
    SubmitSettlement,
    Unexpected,
)
from market.events import Event, RefusalReceived, Tick
from market.instants import SECOND, end_of
from protocol.eip712 import digest

LONG = an_order(salt=b"\x66" * 32, program_id=b"\x22" * 32)
LONG_HASH = digest(NETWORK, LONG)
MAX_TICKS = 8
CODES = [refusals.PROVING_FAILED, refusals.AT_CAPACITY, refusals.UNREACHABLE]


def varied(event: Event, draw: Callable[[st.SearchStrategy[Any]], Any]) -> Event:
    """Change what can differ between real events of a type: account, order, price, code, time."""
    if hasattr(event, "order_hash"):
        event = replace(event, order_hash=draw(st.sampled_from([ORDER_HASH, LONG_HASH])))  # type: ignore[call-arg]
    if isinstance(event, RefusalReceived):
        code, account = draw(st.sampled_from(CODES)), draw(st.sampled_from([PROVER, OTHER]))
        return replace(event, code=code, prover=account)
    return event


def choices(at: int) -> list[Event]:
    """Events that lead somewhere, beside one of every type."""
    long_bid = a_bid(OTHER, order_hash=LONG_HASH, promise_at=NOW + 90, expires_at=NOW + 90)
    return [
        *all_events(at),
        replace(placed(at), order=LONG, order_hash=LONG_HASH),
        bid_received(a_bid(OTHER, price=5, promise_at=NOW + 60, expires_at=NOW + 90), at),
        bid_received(long_bid, at),
        order_seen(at, LONG),
        locked(at, OTHER, NOW + 60),
        settled(at, OTHER),
        proof_received(at, a_bid(OTHER)),
    ]


class Lives(RuleBasedStateMachine):
    """The three roles live through the same random events, in time that only goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = AT
        programs = {PROGRAM: 1_000, LONG.program_id: LOCKING}
        self.states: dict[ModuleType, Any] = {
            client: client.State(),
            prover: a_prover(programs=programs),
            verifier: a_verifier(),
        }

    def feed(self, role: ModuleType, event: Event) -> None:
        before = self.states[role]
        after, effects = role.transition(before, event)
        assert isinstance(after, role.State) and isinstance(effects, tuple)
        assert all(isinstance(effect, Effect) for effect in effects)
        if [effect for effect in effects if isinstance(effect, Unexpected)]:
            assert after == before and len(effects) == 1
        self.states[role] = after

    @rule(data=st.data(), later=st.sampled_from([0, 0, 1, SECOND, 10 * SECOND]))
    def something_happens(self, data: st.DataObject, later: int) -> None:
        self.now += later
        event = varied(data.draw(st.sampled_from(choices(self.now))), data.draw)
        for role in self.states:
            self.feed(role, event)

    @rule()
    def the_bid_is_awarded(self) -> None:
        job = self.states[prover].jobs.get(ORDER_HASH)
        if job is not None:
            award = an_award(job.bid, lock_by=self.now // SECOND + 10)
            self.feed(prover, award_received(award, self.now))

    @rule()
    def the_next_deadline_comes(self) -> None:
        deadlines = [role.next_deadline(state) for role, state in self.states.items()]
        self.now = max(self.now, min((d for d in deadlines if d is not None), default=self.now))

    @invariant()
    def a_due_tick_changes_something_and_ticks_end(self) -> None:
        for role, state in self.states.items():
            for _ in range(MAX_TICKS):
                deadline = role.next_deadline(state)
                if deadline is None or deadline > self.now:
                    break
                after, _ = role.transition(state, Tick(self.now))
                assert after != state
                state = after
            else:
                pytest.fail("ticks without end")
            self.states[role] = state

    @invariant()
    def an_early_tick_changes_nothing(self) -> None:
        for role, state in self.states.items():
            deadline = role.next_deadline(state)
            if deadline is not None:
                assert role.transition(state, Tick(deadline - 1)) == (state, ())


Lives.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLives = Lives.TestCase


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(all_events()) - 1), max_size=25), st.data())
def test_left_alone_every_job_is_forgotten_and_every_lock_refunded(
    picks: list[int], data: st.DataObject
) -> None:
    state, effects = client.transition(client.State(), placed())
    for pick in picks:
        state, _ = client.transition(state, varied(all_events()[pick], data.draw))
    asked_refund = False
    for _ in range(400):
        deadline = client.next_deadline(state)
        if deadline is None or asked_refund:
            break
        had_lock = any(job.phase is client.Phase.WAITING for job in state.jobs.values())
        state, effects = client.transition(state, Tick(deadline))
        asked_refund = any(isinstance(effect, SubmitExpire) for effect in effects)
        assert not (had_lock and deadline < end_of(ORDER.final_by) and asked_refund)
    assert asked_refund or state.jobs == {}


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(all_events()), max_size=40))
def test_nothing_is_locked_or_settled_without_award_and_proof(history: list[Event]) -> None:
    state = a_prover(programs={PROGRAM: LOCKING})
    state, _ = prover.transition(state, order_seen())
    for event in history:
        state, effects = prover.transition(state, event)
        for effect in effects:
            if isinstance(effect, SubmitLock | SubmitSettlement):
                job = state.jobs[effect.order_hash]
                assert job.award == effect.award and effect.award.bid_hash == digest(NETWORK, job.bid)
            if isinstance(effect, SubmitSettlement):
                proof = state.jobs[effect.order_hash].proof
                assert proof is not None and proof.proof == effect.proof


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from(choices(AT)), max_size=40))
def test_a_client_never_awards_a_bid_it_did_not_hold_or_cannot_afford(history: list[Event]) -> None:
    state = client.State()
    for step, event in enumerate(history):
        before = state
        state, effects = client.transition(state, replace(event, at=AT + step * SECOND))
        for effect in effects:
            if isinstance(effect, SendAward):
                held = before.jobs[effect.order_hash].bids
                assert effect.award.bid_hash in {received.bid_hash for received in held}
                assert effect.award.price <= before.jobs[effect.order_hash].order.price_cap
                assert effect.award.prover not in before.jobs[effect.order_hash].excluded
