# SPDX-License-Identifier: GPL-3.0-or-later
"""Gas that rises between price and lock, and clients that drain their deposit: what a prover does, and loses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market_phases import LOCKING, prover_in, run
from market_samples import (
    AT,
    CLIENT,
    FEE,
    GAS_PRICE,
    NETWORK,
    NOW,
    ORDER,
    ORDER_HASH,
    OTHER,
    PROGRAM,
    PROOF,
    a_prover,
    an_award,
    an_order,
    award_received,
    locked,
    order_seen,
    settled,
)

from market import prover, refusals
from market.effects import Effect, SendBid, SendRefusal, StartProof, SubmitLock, SubmitSettlement
from market.events import (
    ChainUndone,
    FundsChanged,
    InputOpened,
    OrderSeen,
    ProofReady,
    SettlementFailed,
    Tick,
    VerifierAnswered,
    WitnessReady,
)
from market.instants import SECOND, end_of
from market.pricing import Tariff, cost, net_of_royalty, worth_settling, worth_starting
from market.prover import Phase, State
from market.prover_state import MAX_DEBTORS, owes
from protocol.eip712 import digest

READY = ProofReady(AT, ORDER_HASH, (1,), PROOF, 900)
REFUSED = VerifierAnswered(AT, ORDER_HASH, refusals.FEE_TOO_LOW)


def gas(price: int, at: int = AT) -> FundsChanged:
    return FundsChanged(at, 10**18, price)


def kinds(effects: list[Effect]) -> set[type[Effect]]:
    return {type(effect) for effect in effects}


@pytest.mark.parametrize("proving_ms", [1_000, LOCKING])
def test_gas_that_rises_between_price_and_lock_ends_the_award_before_anything_is_committed(proving_ms: int) -> None:
    state, _ = run(prover, a_prover(programs={PROGRAM: proving_ms}), [order_seen()])
    bid = state.jobs[ORDER_HASH].bid
    assert bid.locks is (proving_ms == LOCKING)
    events = [award_received(an_award(bid)), InputOpened(AT, ORDER_HASH)]
    state, _ = run(prover, state, events)
    _, effects = run(prover, state, [gas(GAS_PRICE), WitnessReady(AT, ORDER_HASH)])
    assert kinds(effects) & {SubmitLock, StartProof}
    spiked, effects = run(prover, state, [gas(GAS_PRICE * 1_000), WitnessReady(AT, ORDER_HASH)])
    assert [effect.code for effect in effects if isinstance(effect, SendRefusal)] == [refusals.GAS_ROSE]
    assert not kinds(effects) & {SubmitLock, StartProof} and spiked.jobs[ORDER_HASH].phase is Phase.DROPPED
    assert refusals.GAS_ROSE in refusals.PASSING  # a new auction may ask it again, at a new price


@given(rise=st.integers(0, 10**12), floor=st.integers(0, 10_000), price=st.integers(0, 10**14), locks=st.booleans())
def test_what_is_started_leaves_the_least_margin_over_its_cost(rise: int, floor: int, price: int, locks: bool) -> None:
    order = an_order(royalty_bps=250)
    tariff = Tariff(least_margin_bps=floor)
    spent = cost(order, tariff, rise, 1_000, locks)
    left = net_of_royalty(price, order) - spent
    assert worth_starting(order, price, tariff, rise, 1_000, locks) is (left * 10_000 >= spent * floor)


def worth(price: int) -> int:
    """The highest gas price at which the sample job is worth settling."""
    return (price + FEE) // Tariff().settle_gas


def test_a_gas_spike_after_the_proof_is_waited_out_up_to_the_last_moment() -> None:
    sent = prover_in(Phase.SENT)
    highest = worth(sent.jobs[ORDER_HASH].bid.price)
    _, effects = run(prover, sent, [gas(highest), REFUSED])
    assert SubmitSettlement in kinds(effects)
    state, effects = run(prover, sent, [gas(highest + 1), REFUSED])
    assert SubmitSettlement not in kinds(effects) and state.jobs[ORDER_HASH].phase is Phase.SETTLING
    due = prover.next_deadline(state)
    assert due == AT + prover.GAS_PATIENCE
    cheaper, effects = run(prover, state, [gas(highest, due), Tick(due)])
    assert SubmitSettlement in kinds(effects)
    # It stays dear: the job is given up at its promise, and never sent at a loss.
    last, looked = end_of(state.jobs[ORDER_HASH].bid.promise_at), list[int]()
    while state.jobs[ORDER_HASH].phase is Phase.SETTLING:
        due = prover.next_deadline(state)
        assert due is not None
        looked.append(due)
        state, effects = run(prover, state, [Tick(due)])
        assert SubmitSettlement not in kinds(effects)
    assert last - Tariff().settle_margin * SECOND in looked and looked[-1] == last + prover.SETTLE_GRACE
    assert cheaper.jobs[ORDER_HASH].phase is Phase.SETTLING


def test_a_locked_proof_is_worth_its_collateral_too_while_its_promise_can_be_kept() -> None:
    order = an_order(collateral=10**16)
    at_stake = order.collateral
    spike = (10**13 + order.verifier_fee + at_stake) // Tariff().settle_gas
    assert worth_settling(order, 10**13, Tariff(), spike, at_stake)
    assert not worth_settling(order, 10**13, Tariff(), spike, 0)
    assert not worth_settling(order, 10**13, Tariff(), spike + 1, at_stake)
    of = digest(NETWORK, order)
    state, _ = run(prover, a_prover(programs={PROGRAM: LOCKING}), [order_seen(order=order)])
    award = an_award(state.jobs[of].bid)
    state, _ = run(prover, state, [award_received(award), InputOpened(AT, of), WitnessReady(AT, of)])
    state, _ = run(prover, state, [replace(locked(promise_at=award.promise_at), order_hash=of), gas(spike)])
    _, effects = run(prover, state, [replace(READY, order_hash=of), VerifierAnswered(AT, of, refusals.FEE_TOO_LOW)])
    assert SubmitSettlement in kinds(effects)
    late = (award.promise_at + 1) * SECOND
    refused = VerifierAnswered(late, of, refusals.FEE_TOO_LOW)
    _, effects = run(prover, state, [replace(READY, order_hash=of, at=late), refused])
    assert SubmitSettlement not in kinds(effects)


def test_a_client_that_drains_its_deposit_costs_a_prover_its_exposure_cap_once() -> None:
    """Order after order is proved, and none is paid: the chain refuses each settlement."""
    cap = 10**15
    state: State = a_prover(tariff=Tariff(exposure_cap=cap), verifiers={})
    lost, at = 0, AT
    for salt in range(200):
        order = an_order(salt=salt.to_bytes(32, "big"), promise_by=at // SECOND + 120, final_by=at // SECOND + 180)
        of = digest(NETWORK, order)
        seen = OrderSeen(at, of, order, at // SECOND, "client", 10**18, b"\x99" * 32)
        state, effects = run(prover, state, [seen])
        assert SendBid in kinds(effects)
        bid = state.jobs[of].bid
        if bid.locks:
            break
        award = an_award(bid, lock_by=bid.promise_at)
        ready = ProofReady(at, of, (1,), PROOF, 9)
        state, _ = run(prover, state, [award_received(award, at), InputOpened(at, of), WitnessReady(at, of)])
        state, effects = run(prover, state, [ready])
        assert SubmitSettlement in kinds(effects)
        lost += bid.price + order.verifier_fee
        state, _ = run(prover, state, [SettlementFailed(at, of, refusals.SETTLEMENT_FAILED)])
        while state.jobs[of].phase is Phase.SETTLING:
            at = prover.next_deadline(state) or at
            state, _ = run(prover, state, [Tick(at)])
    else:
        pytest.fail("the prover goes on without a lock")
    assert 0 < lost <= cap
    assert prover.exposure(state, CLIENT) == lost


def test_a_client_that_locks_for_another_once_the_proof_is_out_has_used_up_trust() -> None:
    """Its own verifier has the proof, and nothing that the prover sends can be settled any more."""
    for phase, counts in ((Phase.PROVING, False), (Phase.SENT, True), (Phase.SETTLING, True)):
        state = prover_in(phase)
        bid = state.jobs[ORDER_HASH].bid
        state, _ = run(prover, state, [locked(account=OTHER)])
        assert state.jobs[ORDER_HASH].phase is Phase.DROPPED
        assert state.unpaid == ({CLIENT: bid.price + FEE} if counts else {})


def test_a_void_lock_that_is_told_again_ends_no_job() -> None:
    void = replace(locked(account=OTHER, promise_at=NOW - 1), price=10**18)
    state, effects = run(prover, a_prover(), [void, order_seen()])
    assert SendBid in kinds(effects)
    sent = [award_received(an_award(state.jobs[ORDER_HASH].bid)), InputOpened(AT, ORDER_HASH)]
    state, _ = run(prover, state, [*sent, WitnessReady(AT, ORDER_HASH), READY, ChainUndone(AT, ORDER_HASH), void])
    assert state.jobs[ORDER_HASH].phase is Phase.SENT and state.unpaid == {}


def test_a_lock_that_was_given_up_secures_nothing() -> None:
    """Its order is an unsecured one again: of a client without a deposit, or above the cap, nothing is taken."""
    lock = replace(locked(account=OTHER, promise_at=NOW - 1), price=10**18)
    poor = order_seen(balance=0)
    _, effects = run(prover, a_prover(), [lock, poor])
    assert SendBid in kinds(effects)
    _, effects = run(prover, a_prover(), [lock, ChainUndone(AT, ORDER_HASH), poor])
    assert [effect.code for effect in effects if isinstance(effect, SendRefusal)] == [refusals.UNFUNDED]


@pytest.mark.parametrize("held, taken", [(0, False), (10**13 - 2, False), (10**13 - 1, True), (10**18, True)])
def test_what_a_void_lock_does_not_hold_is_exposure(held: int, taken: bool) -> None:
    """A client that locks its order for itself, for nothing, must not get proofs beyond the cap by that."""
    state, _ = run(prover, a_prover(), [order_seen()])
    bid = state.jobs[ORDER_HASH].bid.model_copy(update={"price": 10**13})
    jobs = {ORDER_HASH: replace(state.jobs[ORDER_HASH], bid=bid)}
    void = replace(locked(account=OTHER, promise_at=NOW - 1), price=held)
    state = replace(state, jobs=jobs, locks={ORDER_HASH: void}, tariff=Tariff(exposure_cap=1))
    _, effects = run(prover, state, [award_received(an_award(bid))])
    codes = [effect.code for effect in effects if isinstance(effect, SendRefusal)]
    assert codes == ([] if taken else [refusals.EXPOSURE_EXCEEDED])


def test_trust_that_was_used_up_is_earned_back_by_what_is_paid() -> None:
    state = owes(a_prover(), CLIENT, 10**13 + 5)
    state, _ = run(prover, state, [order_seen()])
    state, _ = run(prover, state, [settled()])
    assert state.unpaid == {CLIENT: 5}
    assert owes(state, CLIENT, -10).unpaid == {}


def test_debts_are_bounded_and_the_least_are_forgotten() -> None:
    state = replace(a_prover(), unpaid={number.to_bytes(20, "big"): number for number in range(1, MAX_DEBTORS + 1)})
    state = owes(state, CLIENT, 10**9)
    assert len(state.unpaid) == MAX_DEBTORS and CLIENT in state.unpaid
    assert (1).to_bytes(20, "big") not in state.unpaid


def test_a_prover_that_was_itself_too_late_blames_nobody() -> None:
    state = prover_in(Phase.PROVING)
    state, _ = run(prover, state, [Tick(end_of(state.jobs[ORDER_HASH].bid.promise_at))])
    assert state.jobs[ORDER_HASH].outcome == "too late" and state.unpaid == {}
    assert ORDER.client == CLIENT
