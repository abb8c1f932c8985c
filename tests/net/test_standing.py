# SPDX-License-Identifier: GPL-3.0-or-later
"""Quotas, scores, bans and redialling, with time as an argument."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.net.limits import Limits, Rate, TokenBucket
from node.net.peerbook import PeerBook
from node.net.standing import Standing, Standings

LIMITS = Limits(tracked_peers=4)


@given(st.lists(st.floats(0, 5), max_size=60))
def test_a_bucket_never_lets_more_through_than_burst_and_rate(pauses: list[float]) -> None:
    bucket, now, taken = TokenBucket(Rate(per_second=2, burst=5)), 0.0, 0
    for pause in pauses:
        now += pause
        taken += bucket.take(now)
        taken += bucket.take(now)
    assert taken <= 5 + 2 * now + 1e-6


def test_a_debt_is_waited_for() -> None:
    bucket = TokenBucket(Rate(per_second=10, burst=10))
    assert bucket.owe(0.0, 10) == 0.0
    assert bucket.owe(0.0, 20) == 2.0


def test_faults_lead_to_a_ban_that_ends_and_doubles() -> None:
    standing = Standing(LIMITS)
    assert [standing.penalise(25, 0.0) for _ in range(4)] == [False, False, False, True]
    assert standing.banned(59.9) and not standing.banned(60.0)
    assert standing.penalise(100, 60.0)
    assert standing.banned(60.0 + 119) and not standing.banned(60.0 + 120)


def test_a_score_recovers_with_time_and_never_above_neutral() -> None:
    standing = Standing(LIMITS)
    standing.penalise(20, 0.0)
    assert standing.score_at(50.0) == -10
    assert standing.score_at(1000.0) == 0


def test_a_banned_peer_is_not_forgotten_for_newcomers() -> None:
    standings = Standings(LIMITS)
    standings.of("bad").penalise(1000, 0.0)
    for number in range(20):
        standings.of(f"newcomer {number}")
    assert standings.of("bad").banned(1.0)


def test_backoff_grows_to_its_limit_and_a_configured_peer_is_never_forgotten() -> None:
    book = PeerBook(LIMITS)
    book.learn("home", "/address", configured=True)
    waits, now = [], 0.0
    for _ in range(30):
        book.dialling("home")
        assert not book.due(now + 1e9, frozenset())
        book.failed("home", now, jitter=0.0)
        waits.append(book.contacts()[0].next_dial - now)
        now += waits[-1]
    assert waits == sorted(waits) and waits[0] == LIMITS.redial_first and waits[-1] == LIMITS.redial_longest
    book.reached("home")
    assert book.contacts()[0].failures == 0


def test_a_learned_peer_that_is_gone_is_forgotten() -> None:
    book = PeerBook(LIMITS)
    book.learn("guest", "/address", configured=False)
    for _ in range(LIMITS.learned_attempts):
        book.failed("guest", 0.0, jitter=1.0)
    assert "guest" not in book


def test_a_dial_cut_short_by_the_hosts_end_is_tried_again() -> None:
    book = PeerBook(LIMITS)
    book.learn("home", "/address", configured=True)
    book.dialling("home")
    book.interrupted()
    assert [contact.peer for contact in book.due(0.0, frozenset())] == ["home"]
    assert not book.due(0.0, frozenset({"home"}))
