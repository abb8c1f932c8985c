# SPDX-License-Identifier: GPL-3.0-or-later
"""The client: its normal path, what it does when provers fail it, and cancelling in each phase."""

from __future__ import annotations

import pytest
from market_phases import client_in, refusal, run
from market_samples import (
    AT,
    CLIENT,
    FEE,
    NOW,
    ORDER,
    ORDER_HASH,
    OTHER,
    PROVER,
    TX,
    VERIFIER,
    WINDOW,
    a_bid,
    an_event,
    an_order,
    bid_received,
    locked,
    placed,
    settled,
)

from market import client, refusals
from market.auction import MAX_BIDS
from market.client import Job, Phase, State
from market.effects import (
    Announce,
    Effect,
    EraseSecrets,
    KeepReceipt,
    Report,
    SendAward,
    SendRefusal,
    SubmitCancel,
    SubmitExpire,
)
from market.events import AwardAccepted, CancelAsked, ChainExpired, Event, Tick
from market.instants import FINALITY, SECOND, end_of

GRACE = client.Terms().settle_grace
WINDOW_OVER = Tick(AT + WINDOW)
MISSED = Tick(end_of(NOW + 30) + GRACE)


def job_of(state: State) -> Job:
    return state.jobs[ORDER_HASH]


def after(events: list[Event]) -> tuple[State, list[Effect]]:
    return run(client, State(), events)


def codes(effects: list[Effect]) -> list[str]:
    return [effect.code for effect in effects if isinstance(effect, SendRefusal)]


def awards(effects: list[Effect]) -> list[bytes]:
    return [effect.award.prover for effect in effects if isinstance(effect, SendAward)]


def test_the_normal_path_ends_with_a_receipt_and_no_secrets() -> None:
    state, effects = after([
        placed(),
        bid_received(a_bid()),
        bid_received(a_bid(OTHER, price=10**12)),
        WINDOW_OVER,
        AwardAccepted(AT, ORDER_HASH, OTHER),
        settled(account=OTHER),
    ])
    job = job_of(state)
    assert (job.phase, job.outcome, job.paid) == (Phase.SETTLED, "settled", 10**13 + FEE)
    assert awards(effects) == [OTHER]
    assert [effect for effect in effects if isinstance(effect, Announce)] == [
        Announce(ORDER_HASH, ORDER, NOW, NOW + 2)
    ]
    assert KeepReceipt(ORDER_HASH, ORDER, TX) in effects and EraseSecrets(ORDER_HASH) in effects
    assert state.reputation[OTHER].delivered == 1
    assert job.decision is not None and len(job.decision.ranking) == 2


def test_an_award_names_the_bid_and_ends_its_lock_in_time() -> None:
    _, effects = after([placed(), bid_received(a_bid(promise_at=NOW + 20)), WINDOW_OVER])
    send = next(effect for effect in effects if isinstance(effect, SendAward))
    assert send.award.lock_by == NOW + 2 + 18 // 4  # a lock that is mined last leaves the time of the proof
    distant = placed(order=an_order(promise_by=NOW + 200))
    _, effects = after([distant, bid_received(a_bid(promise_at=NOW + 200)), WINDOW_OVER])
    send = next(effect for effect in effects if isinstance(effect, SendAward))
    assert send.award.lock_by == NOW + 2 + client.Terms().lock_window
    assert send.peer == PROVER.hex()[:4] and send.sealing_key == b"\x99" * 32


def test_provers_outside_the_allow_list_are_refused() -> None:
    start = placed(allowed=(PROVER,))
    state, effects = after([start, bid_received(a_bid(OTHER)), bid_received(a_bid())])
    assert codes(effects) == [refusals.NOT_ALLOWED]
    assert [held.bid.prover for held in job_of(state).bids] == [PROVER]
    state, effects = after([placed(allowed=()), bid_received(a_bid())])
    assert codes(effects) == [refusals.NOT_ALLOWED]


def test_a_second_bid_of_a_prover_replaces_its_first() -> None:
    state, _ = after([placed(), bid_received(a_bid()), bid_received(a_bid(price=5))])
    assert [held.bid.price for held in job_of(state).bids] == [5]


def test_bids_are_bounded_but_a_held_prover_may_still_improve() -> None:
    crowd = [bid_received(a_bid(number.to_bytes(20, "big"))) for number in range(1, MAX_BIDS + 1)]
    state, effects = after([placed(), *crowd, bid_received(a_bid())])
    assert codes(effects) == [refusals.TOO_MANY_BIDS] and len(job_of(state).bids) == MAX_BIDS
    better = bid_received(a_bid((1).to_bytes(20, "big"), price=1))
    state, effects = run(client, state, [better])
    assert not codes(effects) and job_of(state).bids[-1].bid.price == 1


def test_late_and_unaffordable_bids_are_refused() -> None:
    state = client_in(Phase.AWARDED)
    _, effects = run(client, state, [bid_received(a_bid(OTHER))])
    assert codes(effects) == [refusals.AUCTION_CLOSED]
    _, effects = after([placed(), bid_received(a_bid(price=ORDER.price_cap + 1))])
    assert codes(effects) == [refusals.BID_OVER_CAP]


def test_without_bids_the_client_asks_again_with_longer_windows_then_gives_up() -> None:
    state, effects = after([placed(), Tick(AT + 2 * SECOND), Tick(AT + 6 * SECOND), Tick(AT + 14 * SECOND)])
    windows = [e.expires_at - e.issued_at for e in effects if isinstance(e, Announce)]
    assert windows == [2, 4, 8, 16] and job_of(state).round == 4
    ended = client_in(Phase.FAILED)
    assert job_of(ended).round <= client.Terms().max_rounds


def late_round() -> client.State:
    """A client in its fourth round, whose window of sixteen seconds has just begun."""
    state, _ = run(client, client.State(), [placed(), *(Tick(AT + seconds * SECOND) for seconds in (2, 6, 14))])
    assert job_of(state).round == 4 and client.next_deadline(state) == AT + 30 * SECOND
    return state


def test_a_bid_in_a_long_window_is_waited_upon_no_longer_than_in_the_first() -> None:
    at = AT + 15 * SECOND
    state, _ = run(client, late_round(), [bid_received(a_bid(), at)])
    assert client.next_deadline(state) == at + 2 * SECOND
    state, effects = run(client, state, [bid_received(a_bid(OTHER), at + SECOND), Tick(at + 2 * SECOND)])
    assert job_of(state).phase is Phase.AWARDED and isinstance(effects[-1], SendAward)


def test_an_auction_closes_before_its_bids_expire_but_not_for_one_that_hardly_lives() -> None:
    for life, closes in ((30, 29), (20, 19), (16, 15), (15, 60), (1, 60)):
        state, _ = run(client, client.State(), [placed(window=60 * SECOND)])
        state, _ = run(client, state, [bid_received(a_bid(expires_at=NOW + life - 1))])
        assert client.next_deadline(state) == AT + closes * SECOND, life


def test_no_auction_begins_that_ends_after_the_last_promise() -> None:
    at = (ORDER.promise_by - 4) * SECOND
    state, effects = after([placed(at), Tick(at + WINDOW)])
    assert job_of(state).phase is Phase.FAILED
    assert Report(ORDER_HASH, "failed") in effects


def test_a_refused_award_goes_to_the_next_bid_and_a_broken_prover_is_out() -> None:
    begin = [placed(), bid_received(a_bid(price=5)), bid_received(a_bid(OTHER, price=6)), WINDOW_OVER]
    state, effects = after([*begin, refusal(refusals.PROVING_FAILED)])
    assert awards(effects) == [PROVER, OTHER] and job_of(state).excluded == (PROVER,)
    state, effects = run(client, state, [refusal(refusals.UNREACHABLE, account=OTHER)])
    assert job_of(state).phase is Phase.COLLECTING and job_of(state).excluded == (PROVER,)
    _, effects = run(client, state, [bid_received(a_bid(price=4))])
    assert codes(effects) == [refusals.AUCTION_CLOSED]


@pytest.mark.parametrize("code", sorted(refusals.PASSING))
def test_a_passing_refusal_excludes_nobody_from_the_next_auction(code: str) -> None:
    begin = [placed(), bid_received(a_bid()), WINDOW_OVER, refusal(code)]
    state, _ = after(begin)
    assert job_of(state).phase is Phase.COLLECTING and job_of(state).excluded == ()
    _, effects = run(client, state, [bid_received(a_bid())])
    assert not codes(effects)


def test_a_refusal_of_somebody_else_is_only_noted() -> None:
    state, effects = run(client, client_in(Phase.AWARDED), [refusal("PM-REF-002", account=OTHER)])
    assert job_of(state).phase is Phase.AWARDED and not awards(effects)
    assert job_of(state).refused == ((OTHER, "PM-REF-002", 0),)
    state, _ = run(client, state, [refusal("PM-REF-004", account=OTHER)])
    assert job_of(state).refused == ((OTHER, "PM-REF-004", 0),)


def test_a_missed_promise_is_a_strike_and_a_new_auction_without_the_prover() -> None:
    state, _ = after([placed(), bid_received(a_bid()), WINDOW_OVER, Tick(MISSED.at - 1)])
    assert job_of(state).phase is Phase.AWARDED
    state, effects = run(client, state, [MISSED])
    assert job_of(state).phase is Phase.COLLECTING and state.reputation[PROVER].failed == 1
    assert Report(ORDER_HASH, "promise-missed", PROVER) in effects
    late = a_bid(promise_at=NOW + 90, expires_at=NOW + 90)
    _, effects = run(client, state, [bid_received(late, MISSED.at)])
    assert codes(effects) == [refusals.AUCTION_CLOSED]


def test_a_voided_lock_is_given_to_a_second_prover_who_may_be_dearer() -> None:
    state, _ = run(client, client_in(Phase.LOCKED), [MISSED])
    assert job_of(state).phase is Phase.COLLECTING and state.reputation[PROVER].failed == 1
    at = MISSED.at
    over = a_bid(OTHER, price=ORDER.price_cap + 1, promise_at=NOW + 90, expires_at=NOW + 90)
    dear = a_bid(OTHER, price=10**13 + 1, promise_at=NOW + 90, expires_at=NOW + 90)
    state, effects = run(client, state, [bid_received(over, at), bid_received(dear, at)])
    assert codes(effects) == [refusals.BID_OVER_CAP]
    state, effects = run(client, state, [Tick(job_of(state).deadline), settled(at, OTHER)])
    assert awards(effects) == [OTHER] and job_of(state).phase is Phase.SETTLED


def test_the_one_who_locked_is_struck_even_if_another_was_awarded_since() -> None:
    begin = [placed(), bid_received(a_bid(price=5)), bid_received(a_bid(OTHER)), WINDOW_OVER]
    state, _ = after([*begin, refusal(refusals.UNREACHABLE), locked(account=PROVER), MISSED])
    assert state.reputation[PROVER].failed == 1 and OTHER not in state.reputation


def test_a_lock_that_comes_between_auctions_misses_its_promise_like_any_other() -> None:
    begin = [placed(), bid_received(a_bid()), WINDOW_OVER, refusal(refusals.UNREACHABLE), locked()]
    state, _ = after(begin)
    assert job_of(state).phase is Phase.LOCKED and job_of(state).award is None
    state, effects = run(client, state, [MISSED])
    assert Report(ORDER_HASH, "promise-missed", PROVER) in effects


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.CANCELLED])
def test_a_lock_that_comes_after_giving_up_is_refunded_in_the_end(phase: Phase) -> None:
    state, effects = run(client, client_in(phase), [locked(promise_at=ORDER.promise_by)])
    assert job_of(state).phase is Phase.LOCKED
    for _ in range(4):
        deadline = client.next_deadline(state)
        assert deadline is not None
        state, more = run(client, state, [Tick(deadline)])
        effects += more
    assert job_of(state).phase is Phase.REFUNDING
    assert next(e for e in effects if isinstance(e, SubmitExpire)).award_hash == b"\x88" * 32


def test_a_refund_is_asked_for_after_final_and_again_until_the_chain_shows_it() -> None:
    waiting = client_in(Phase.WAITING)
    final = end_of(ORDER.final_by)
    assert client.next_deadline(waiting) == final
    same, effects = run(client, waiting, [Tick(final - 1)])
    assert same == waiting and not effects
    state, effects = run(client, waiting, [Tick(final), Tick(final + client.REFUND_RETRY)])
    assert [type(e) for e in effects] == [SubmitExpire, SubmitExpire]
    state, effects = run(client, state, [ChainExpired(final + 40 * SECOND, ORDER_HASH, TX)])
    assert job_of(state).phase is Phase.REFUNDED and EraseSecrets(ORDER_HASH) in effects


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.SETTLED])
def test_a_settlement_counts_whenever_it_comes(phase: Phase) -> None:
    state, effects = run(client, client_in(phase), [settled()])
    assert job_of(state).phase is Phase.SETTLED
    assert KeepReceipt(ORDER_HASH, ORDER, TX) in effects


@pytest.mark.parametrize(
    ("phase", "expected", "effects"),
    [
        (Phase.COLLECTING, Phase.CANCELLED, [Report, EraseSecrets]),
        (Phase.AWARDED, Phase.AWARDED, [SubmitCancel]),
        (Phase.LOCKED, Phase.LOCKED, [Report]),
        (Phase.WAITING, Phase.WAITING, [Report]),
    ],
)
def test_cancelling(phase: Phase, expected: Phase, effects: list[type[Effect]]) -> None:
    state, told = run(client, client_in(phase), [CancelAsked(AT, ORDER_HASH)])
    assert job_of(state).phase is expected and [type(effect) for effect in told] == effects


def test_a_cancelled_award_stays_good_until_its_promise_and_is_not_replaced() -> None:
    state, _ = run(client, client_in(Phase.AWARDED), [CancelAsked(AT, ORDER_HASH)])
    paid, _ = run(client, state, [settled()])
    assert job_of(paid).phase is Phase.SETTLED
    state, effects = run(client, state, [MISSED])
    assert job_of(state).phase is Phase.CANCELLED and not awards(effects)


def test_cancelling_between_auctions_ends_with_the_window() -> None:
    state, _ = after([placed(), bid_received(a_bid()), WINDOW_OVER, refusal(refusals.AT_CAPACITY)])
    state, effects = run(client, state, [CancelAsked(AT, ORDER_HASH)])
    assert [type(effect) for effect in effects] == [SubmitCancel]
    deadline = client.next_deadline(state)
    assert deadline is not None
    state, _ = run(client, state, [Tick(deadline)])
    assert job_of(state).phase is Phase.CANCELLED


@pytest.mark.parametrize("phase", sorted(client.FINAL))
def test_what_ended_is_forgotten_after_the_end_of_the_order(phase: Phase) -> None:
    state = client_in(phase)
    deadline = client.next_deadline(state)
    assert deadline is not None and deadline > end_of(ORDER.final_by) + FINALITY // 2
    state, _ = run(client, state, [Tick(deadline)])
    assert state.jobs == {} and client.next_deadline(state) is None


def test_other_peoples_orders_on_the_chain_are_no_news() -> None:
    for event in (locked(), settled(), an_event(ChainExpired)):
        assert client.transition(State(), event) == (State(), ())
    assert CLIENT != VERIFIER
