# SPDX-License-Identifier: GPL-3.0-or-later
"""The preflight: every reason to decline at its boundary, and what a price must cover."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market_samples import AT, FEE, GAS_PRICE, NOW, ORDER, an_order

from market import refusals
from market.pricing import (
    BID_LIFE,
    LOCK_WINDOW,
    Decline,
    Quote,
    Situation,
    Tariff,
    asking_price,
    can_keep,
    cost,
    gross_of_royalty,
    lock_by,
    preflight,
    proving_seconds,
    rounded_up,
)
from protocol.structs import Order

TARIFF = Tariff()
NEEDED = ORDER.price_cap + FEE
SITUATION = Situation(
    now=AT,
    proving_ms=1_000,
    broken=False,
    jobs_ahead=0,
    backlog_ms=0,
    exposure=0,
    client_balance=NEEDED,
    own_balance=0,
    gas_price=GAS_PRICE,
    locked_by_other=False,
    secured=False,
    reserved=0,
)


def answer(order: Order = ORDER, tariff: Tariff = TARIFF, **changes: Any) -> Quote | Decline:
    return preflight(order, tariff, replace(SITUATION, **changes))


def code(result: Quote | Decline) -> str:
    return result.code if isinstance(result, Decline) else ""


def test_a_plain_order_is_quoted_with_time_gas_and_margin() -> None:
    quote = answer()
    assert isinstance(quote, Quote) and not quote.locks
    assert quote.promise_at == NOW + 2 + TARIFF.promise_slack
    assert quote.price == 1_000 * TARIFF.wei_per_ms * 11 // 10  # the fee covers the gas


@pytest.mark.parametrize(
    "order",
    [an_order(kind=1), an_order(token=b"\x01" * 20), an_order(consumer=b"\x01" * 20)],
    ids=["open order", "token", "consumer"],
)
def test_what_the_prover_does_not_serve_is_declined(order: Order) -> None:
    assert code(answer(order)) == refusals.UNSUPPORTED_ORDER


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"proving_ms": None}, refusals.UNKNOWN_PROGRAM),
        ({"broken": True}, refusals.PROGRAM_BROKEN),
        ({"locked_by_other": True}, refusals.ORDER_TAKEN),
        ({"jobs_ahead": 2 * TARIFF.capacity - 1}, ""),
        ({"jobs_ahead": 2 * TARIFF.capacity}, refusals.AT_CAPACITY),
        ({"client_balance": NEEDED - 1}, refusals.UNFUNDED),
        ({"client_balance": NEEDED}, ""),
        ({"client_balance": 0, "secured": True, "reserved": 10**30}, ""),
    ],
)
def test_each_reason_at_its_boundary(changes: dict[str, Any], expected: str) -> None:
    assert code(answer(**changes)) == expected


def test_another_proof_system_only_by_a_verifier_of_the_list_and_under_a_lock() -> None:
    verifier, another = b"\x0a" * 32, b"\x0b" * 32
    allows = replace(TARIFF, verifiers=frozenset((verifier,)))
    for tariff in (TARIFF, allows):
        assert code(answer(tariff=tariff, verifier=another)) == refusals.VERIFIER_NOT_ALLOWED
        assert code(answer(tariff=tariff, verifier=another, proving_ms=None)) == refusals.VERIFIER_NOT_ALLOWED
    assert code(answer(tariff=allows, verifier=verifier, proving_ms=None)) == refusals.UNKNOWN_PROGRAM
    quote = answer(tariff=allows, verifier=verifier, own_balance=ORDER.collateral)
    assert isinstance(quote, Quote) and quote.locks
    if ORDER.collateral:
        assert code(answer(tariff=allows, verifier=verifier)) == refusals.COLLATERAL_SHORT
    voided = answer(tariff=allows, verifier=verifier, secured=True, reserved=10**30)
    assert code(voided) == refusals.ORDER_TAKEN


def test_the_last_promise_is_kept_to_the_second() -> None:
    earliest = NOW + 2 + TARIFF.promise_slack
    assert code(answer(an_order(promise_by=earliest))) == ""
    assert code(answer(an_order(promise_by=earliest - 1))) == refusals.DEADLINE_TOO_SOON
    inside = replace(SITUATION, now=AT + 999_999_999)
    assert code(preflight(an_order(promise_by=earliest), TARIFF, inside)) == ""


def test_a_promise_counts_the_time_of_the_jobs_ahead_not_their_number() -> None:
    long_queue = answer(jobs_ahead=1, backlog_ms=40_000)
    assert isinstance(long_queue, Quote)
    assert long_queue.promise_at == NOW + 2 * (20 + 1) + TARIFF.promise_slack


@given(st.lists(st.integers(0, 50_000), max_size=8), st.integers(0, 50_000), st.integers(1, 4))
def test_a_promised_proof_is_ready_even_if_every_estimate_is_doubled(
    queue: list[int], own: int, workers: int
) -> None:
    free = [0] * workers
    for job in [*queue, own]:
        free.sort()
        free[0] += 2 * job
        finished = free[0]
    promised = proving_seconds(Tariff(capacity=workers), sum(queue), own)
    assert finished <= promised * 1_000


def test_exposure_above_the_cap_asks_for_a_lock() -> None:
    at_cap = TARIFF.exposure_cap - NEEDED
    assert answer(exposure=at_cap) == answer()
    quote = answer(exposure=at_cap + 1, own_balance=ORDER.collateral)
    assert isinstance(quote, Quote) and quote.locks


def test_a_long_proof_asks_for_a_lock() -> None:
    generous = an_order(price_cap=10**15, promise_by=NOW + 10**4, final_by=NOW + 10**4)
    for proving_ms, locks in ((TARIFF.lock_above_ms, False), (TARIFF.lock_above_ms + 1, True)):
        quote = answer(generous, proving_ms=proving_ms, client_balance=10**18, own_balance=10**18)
        assert isinstance(quote, Quote) and quote.locks is locks


@given(st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, BID_LIFE))
def test_a_promise_with_a_lock_has_time_for_a_late_award_and_a_lock_that_is_mined_last(
    proving_ms: int, backlog_ms: int, later: int
) -> None:
    distant = an_order(price_cap=10**18, promise_by=NOW + 10**5, final_by=NOW + 10**5)
    rich: dict[str, Any] = {"client_balance": 10**20, "own_balance": 10**18, "exposure": 10**18}
    quote = answer(distant, proving_ms=proving_ms, backlog_ms=backlog_ms, **rich)
    assert isinstance(quote, Quote) and quote.locks
    last = lock_by(NOW + later, quote.promise_at)
    assert NOW + later < last <= NOW + later + LOCK_WINDOW
    assert can_keep(TARIFF, last, quote.promise_at, backlog_ms, proving_ms, True)


def test_a_lock_is_not_offered_if_it_could_be_mined_too_late() -> None:
    for promise_by, expected in ((NOW + 121, refusals.DEADLINE_TOO_SOON), (NOW + 122, "")):
        # 122 - 122 // 4 = 92: 80 of the proof, 7 of the lock, 5 of the settlement
        order = an_order(price_cap=10**15, promise_by=promise_by)
        assert code(answer(order, proving_ms=40_000, client_balance=10**18, own_balance=10**18)) == expected


def test_a_lock_needs_collateral_to_the_wei() -> None:
    over = TARIFF.exposure_cap
    assert code(answer(exposure=over, own_balance=ORDER.collateral)) == ""
    assert code(answer(exposure=over, own_balance=ORDER.collateral - 1)) == refusals.COLLATERAL_SHORT
    for cap, expected in ((ORDER.collateral, ""), (ORDER.collateral - 1, refusals.COLLATERAL_SHORT)):
        tariff = replace(TARIFF, collateral_cap=cap)
        assert code(answer(exposure=over, own_balance=10**18, tariff=tariff)) == expected
    assert code(answer(tariff=replace(TARIFF, collateral_cap=0))) == ""  # what is not locked puts nothing at stake


def test_the_cap_is_compared_with_the_price_including_royalty() -> None:
    order = an_order(royalty_bps=500, price_cap=10**18)
    price = asking_price(order, TARIFF, GAS_PRICE, 1_000, False)
    rich: dict[str, Any] = {"client_balance": 10**20, "exposure": 0}
    roomy = replace(TARIFF, exposure_cap=10**20)
    assert code(answer(an_order(royalty_bps=500, price_cap=price), roomy, **rich)) == ""
    short = answer(an_order(royalty_bps=500, price_cap=price - 1), roomy, **rich)
    assert short == Decline(refusals.PRICE_TOO_LOW, rounded_up(price))


def test_gas_that_the_fee_does_not_cover_is_in_the_price() -> None:
    gas = TARIFF.settle_gas * GAS_PRICE
    assert gas < FEE
    covered = cost(an_order(verifier_fee=gas), TARIFF, GAS_PRICE, 1_000, False)
    assert covered == 1_000 * TARIFF.wei_per_ms
    assert cost(an_order(verifier_fee=gas - 1), TARIFF, GAS_PRICE, 1_000, False) == covered + 1
    assert cost(an_order(verifier_fee=0), TARIFF, GAS_PRICE, 1_000, False) == covered + gas
    locked = cost(an_order(verifier_fee=gas), TARIFF, GAS_PRICE, 1_000, True)
    assert locked == covered + TARIFF.lock_gas * GAS_PRICE


def test_a_void_lock_pays_and_the_client_tops_it_up_and_its_bounty_lowers_no_price() -> None:
    secured: dict[str, Any] = {"secured": True, "client_balance": 0}
    price = answer(an_order(collateral=0))
    assert isinstance(price, Quote)
    assert code(answer(an_order(collateral=0), reserved=price.price, **secured)) == ""
    assert code(answer(an_order(collateral=0), reserved=price.price - 1, **secured)) == refusals.UNFUNDED
    topped = answer(an_order(collateral=0), reserved=price.price - 1, secured=True, client_balance=1)
    assert isinstance(topped, Quote) and topped.price == price.price
    trusting = Tariff(exposure_cap=1)
    assert topped == answer(an_order(collateral=0), tariff=trusting, reserved=price.price - 1, secured=True)
    short = answer(an_order(collateral=0), tariff=trusting, reserved=price.price - 2, secured=True)
    assert code(short) == refusals.EXPOSURE_EXCEEDED
    bounty = answer(an_order(collateral=10**15), reserved=price.price, **secured)
    assert isinstance(bounty, Quote) and bounty.price == price.price


@given(st.integers(0, 10**18), st.integers(0, 5_000), st.integers(0, 9_999))
def test_after_the_royalty_cost_and_margin_remain(net: int, margin: int, royalty: int) -> None:
    order = an_order(royalty_bps=royalty)
    price = gross_of_royalty(net, margin, order)
    assert price - price * royalty // 10_000 >= net * (10_000 + margin) // 10_000


def test_a_royalty_of_everything_gives_a_price_and_no_error() -> None:
    assert code(answer(an_order(royalty_bps=10_000))) == refusals.PRICE_TOO_LOW


@given(st.integers(0, 10**30))
def test_a_quote_is_rounded_up_to_two_digits(wei: int) -> None:
    rounded = rounded_up(wei)
    assert rounded >= wei and (wei < 10 or rounded <= wei * 11 // 10 + 1)
    assert len(str(rounded).rstrip("0")) <= 2
