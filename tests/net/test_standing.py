# SPDX-License-Identifier: GPL-3.0-or-later
"""Quotas, scores, bans and redialling, with time as an argument."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.net.limits import Limits, Rate, TokenBucket
from node.net.peerbook import Origin, PeerBook
from node.net.standing import Standing, Standings

LIMITS = Limits(tracked_peers=4)
NONE: frozenset[str] = frozenset()


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
    book.learn("home", "/address", Origin.CONFIGURED)
    waits, now = [], 0.0
    for _ in range(30):
        book.dialling("home")
        assert not book.due(now + 1e9, NONE, NONE)
        book.failed("home", now, jitter=0.0)
        waits.append(book.contacts()[0].next_dial - now)
        now += waits[-1]
    assert waits == sorted(waits) and waits[0] == LIMITS.redial_first and waits[-1] == LIMITS.redial_longest
    book.reached("home")
    assert book.contacts()[0].failures == 0


def test_a_learned_peer_that_is_gone_is_forgotten() -> None:
    book = PeerBook(LIMITS)
    book.learn("guest", "/address", Origin.MET)
    for _ in range(LIMITS.learned_attempts):
        book.failed("guest", 0.0, jitter=1.0)
    assert "guest" not in book


def test_a_dial_cut_short_by_the_hosts_end_is_tried_again() -> None:
    book = PeerBook(LIMITS)
    book.learn("home", "/address", Origin.CONFIGURED)
    book.dialling("home")
    book.interrupted()
    assert [contact.peer for contact in book.due(0.0, NONE, NONE)] == ["home"]
    assert not book.due(0.0, frozenset({"home"}), NONE)


def address(number: int, subnet: int = 0) -> str:
    return f"/ip4/203.0.{subnet}.{number}/tcp/4001/p2p/peer-{subnet}-{number}"


def test_hearsay_is_bounded_by_its_source_and_in_all() -> None:
    book = PeerBook(Limits(hearsay=5, hearsay_per_source=3))
    told = [
        book.learn(f"{source} {n}", address(n), Origin.HEARSAY, source=source) for source in "ab" for n in range(4)
    ]
    assert told == [True, True, True, False, True, True, False, False]


def test_hearsay_displaces_nobody_and_what_is_better_known_displaces_hearsay() -> None:
    book = PeerBook(Limits(contacts=2))
    book.learn("said", address(1), Origin.HEARSAY, source="liar")
    book.learn("met", address(2), Origin.MET)
    assert not book.learn("more", address(3), Origin.HEARSAY, source="other") or "met" in book
    assert book.learn("prover", address(4), Origin.CHAIN)
    assert "met" in book and "prover" in book and len(book.contacts()) == 2
    assert not book.learn("met", address(9), Origin.HEARSAY)
    assert book.address_of("met") == address(2)


def test_an_address_that_was_dialled_is_not_replaced_by_one_that_was_not() -> None:
    book = PeerBook(Limits())
    book.learn("peer", address(1), Origin.CONFIGURED)
    book.reached("peer", address(1))
    assert not book.learn("peer", address(2), Origin.MET)
    book.lost("peer", 0.0)
    assert book.learn("peer", address(2), Origin.MET)
    assert book.contacts()[0].configured


def test_one_neighbourhood_gets_few_of_the_outbound_connections() -> None:
    book = PeerBook(Limits(outbound_per_subnet=2, outbound_connections=5))
    for number in range(10):
        book.learn(f"sybil {number}", address(number), Origin.HEARSAY, source=str(number))
    for number in range(3):
        book.learn(f"other {number}", address(number, 1 + number), Origin.HEARSAY, source="x")
    due = [contact.peer for contact in book.due(0.0, NONE, NONE)]
    assert due == ["sybil 0", "sybil 1", "other 0", "other 1", "other 2"]
    open_ones = frozenset({"sybil 0", "sybil 1", "other 0"})
    assert [c.peer for c in book.due(0.0, open_ones, open_ones)] == ["other 1", "other 2"]


def test_what_others_opened_takes_no_outbound_slot() -> None:
    book = PeerBook(Limits(outbound_connections=1))
    book.learn("visitor", address(1), Origin.MET)
    book.learn("prover", address(2, 1), Origin.CHAIN)
    assert [contact.peer for contact in book.due(0.0, frozenset({"visitor"}), NONE)] == ["prover"]


def test_dials_at_the_same_time_are_bounded_and_the_operators_go_first() -> None:
    book = PeerBook(Limits(dials=3))
    for number in range(5):
        book.learn(f"met {number}", address(number, number), Origin.MET)
    book.learn("home", address(9, 9), Origin.CONFIGURED)
    due = book.due(0.0, NONE, NONE)
    assert [contact.peer for contact in due] == ["home", "met 0", "met 1"]
    for contact in due:
        book.dialling(contact.peer)
    assert book.due(0.0, NONE, NONE) == ()
