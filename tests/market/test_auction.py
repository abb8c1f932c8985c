# SPDX-License-Identifier: GPL-3.0-or-later
"""Auctions: each policy's order, ties, what is acceptable, and the score behind it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market_samples import NETWORK, NOW, ORDER, a_bid

from market.auction import POLICIES, ReceivedBid, acceptable, rank
from market.reputation import Record, delivered, failed, score_bps
from protocol.eip712 import digest

A, B, C = (bytes([byte]) * 20 for byte in (1, 2, 3))


def received(account: bytes, price: int, promise: int) -> ReceivedBid:
    bid = a_bid(account, price=price, promise_at=NOW + promise)
    return ReceivedBid(account.hex()[:2], bid, digest(NETWORK, bid))


CHEAP, QUICK, KNOWN = received(A, 100, 40), received(B, 200, 20), received(C, 300, 30)
REPUTATION = {A: Record(0, 8), B: Record(1, 1), C: Record(18, 0)}  # 1,000, 5,000 and 9,500


@pytest.mark.parametrize(
    ("policy", "order"),
    [
        ("price", [A, B, C]),
        ("time", [B, C, A]),
        ("reputation", [C, B, A]),
        ("balanced", [C, B, A]),  # 315, 400 and 1,000 for a kept promise
    ],
)
def test_each_policy_orders_by_its_own_measure(policy: str, order: list[bytes]) -> None:
    decision, ordered = rank([KNOWN, CHEAP, QUICK], policy, REPUTATION)
    assert [held.bid.prover for held in ordered] == order
    assert decision.policy == policy and [line.prover for line in decision.ranking] == order
    assert {line.prover: line.score_bps for line in decision.ranking} == {A: 1_000, B: 5_000, C: 9_500}


@pytest.mark.parametrize("policy", POLICIES)
@given(st.permutations([A, B, C]))
def test_equal_bids_stand_by_address_whatever_the_order_of_arrival(policy: str, order: list[bytes]) -> None:
    _, ordered = rank([received(account, 100, 20) for account in order], policy, {})
    assert [held.bid.prover for held in ordered] == [A, B, C]


def test_equal_prices_stand_by_time_then_by_score() -> None:
    _, ordered = rank([received(A, 100, 30), received(B, 100, 20)], "price", {})
    assert ordered[0].bid.prover == B
    _, ordered = rank([received(A, 100, 20), received(B, 100, 20)], "price", {B: Record(1, 0)})
    assert ordered[0].bid.prover == B


def test_who_was_slashed_on_chain_stands_behind_who_was_not() -> None:
    slashed = replace(received(A, 100, 20), slashes=3)
    decision, ordered = rank([slashed, received(B, 100, 20)], "price", {A: Record(2, 0)})
    assert [held.bid.prover for held in ordered] == [B, A]
    assert {line.prover: line.score_bps for line in decision.ranking} == {A: 10_000 * 3 // 7, B: 5_000}
    _, ordered = rank([slashed, received(B, 200, 20)], "balanced", {})
    assert ordered[0].bid.prover == B  # 100 / 0.2 against 200 / 0.5


@pytest.mark.parametrize(
    ("changes", "now", "good"),
    [
        ({}, NOW, True),
        ({"price": ORDER.price_cap}, NOW, True),
        ({"price": ORDER.price_cap + 1}, NOW, False),
        ({"promise_at": ORDER.promise_by}, NOW, True),
        ({"promise_at": ORDER.promise_by + 1}, NOW, False),
        ({"promise_at": NOW + 1}, NOW, True),
        ({"promise_at": NOW}, NOW, False),
        ({"expires_at": NOW}, NOW, True),
        ({"expires_at": NOW - 1}, NOW, False),
    ],
)
def test_a_bid_is_acceptable_up_to_its_bounds(changes: dict[str, Any], now: int, good: bool) -> None:
    assert acceptable(ORDER, a_bid(**changes), now) is good


def test_a_newcomer_stands_between_the_kept_and_the_broken() -> None:
    assert score_bps({}, A) == 5_000
    assert score_bps(delivered({}, A), A) == 6_666
    assert score_bps(failed({}, A), A) == 3_333
    assert score_bps(failed(delivered({}, A), A), A) == 5_000


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_score_is_a_share(kept: int, broken: int) -> None:
    assert 0 <= Record(kept, broken).score_bps <= 10_000
