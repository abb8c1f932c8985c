# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: what was written is read back, what was not is refused, and replay gives the same state."""

from __future__ import annotations

import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market_phases import LOCKING
from market_samples import (
    AT,
    NOW,
    ORDER,
    ORDER_HASH,
    PROOF,
    a_bid,
    a_prover,
    a_verifier,
    all_effects,
    all_events,
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
from market.effects import EFFECTS, Report, SendRefusal
from market.events import (
    CLIENT_EVENTS,
    PROVER_EVENTS,
    VERIFIER_EVENTS,
    ChainSettled,
    Event,
    InputOpened,
    ProofChecked,
    ProofReady,
    RefusalReceived,
    Tick,
    WitnessReady,
)
from market.instants import SECOND
from market.journal import decode_effect, decode_event, encode
from protocol.codec import pack, unpack
from protocol.errors import NotCanonicalError, WireError
from protocol.scalars import MAX_AMOUNT

hashes = st.binary(min_size=32, max_size=32)
accounts = st.binary(min_size=20, max_size=20)
amounts = st.integers(0, MAX_AMOUNT)
instants = st.integers(0, 2**63 - 1)


def test_the_samples_have_every_type() -> None:
    assert {type(event) for event in all_events()} == {*CLIENT_EVENTS, *PROVER_EVENTS, *VERIFIER_EVENTS}
    assert {type(effect) for effect in all_effects()} == set(EFFECTS)


@pytest.mark.parametrize("event", all_events(), ids=lambda event: type(event).__name__)
def test_every_event_comes_back(event: Event) -> None:
    assert decode_event(encode(event)) == event
    assert type(decode_event(encode(event))) is type(event)


@pytest.mark.parametrize("effect", all_effects(), ids=lambda effect: type(effect).__name__)
def test_every_effect_comes_back(effect: Any) -> None:
    assert decode_effect(encode(effect)) == effect


@given(instants, hashes, hashes, accounts, accounts, accounts, amounts, amounts)
def test_any_settlement_comes_back(
    at: int, of: bytes, tx: bytes, who: bytes, payout: bytes, settler: bytes, price: int, fee: int
) -> None:
    event = ChainSettled(at, of, tx, who, payout, settler, price, fee)
    assert decode_event(encode(event)) == event


@given(hashes, st.text(max_size=40), st.none() | accounts, amounts, st.text(max_size=80))
def test_any_report_comes_back(
    of: bytes, topic: str, account: bytes | None, amount: int, text: str
) -> None:
    effect = Report(of, topic, account, amount, text)
    assert decode_effect(encode(effect)) == effect


@given(hashes, st.text(max_size=40), st.text(alphabet=string.printable), amounts)
def test_any_refusal_comes_back(of: bytes, peer: str, code: str, quote: int) -> None:
    effect = SendRefusal(of, peer, code, quote)
    assert decode_effect(encode(effect)) == effect


def test_a_field_that_an_earlier_version_did_not_know_has_its_default() -> None:
    name, fields = unpack(encode(locked()))
    assert decode_event(pack([name, {key: fields[key] for key in fields if key != "price"}])) == replace(
        locked(), price=0
    )
    with pytest.raises(NotCanonicalError):
        decode_event(pack([name, {key: fields[key] for key in fields if key != "prover"}]))


def test_events_are_no_effects() -> None:
    with pytest.raises(NotCanonicalError):
        decode_effect(encode(all_events()[0]))
    with pytest.raises(NotCanonicalError):
        decode_event(encode(all_effects()[0]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        pack(None),
        pack([]),
        pack(["Tick"]),
        pack(["Tick", {"at": 1}, 0]),
        pack([["Tick"], {"at": 1}]),
        pack([{"a": 1}, {"at": 1}]),
        pack(["Nothing", {"at": 1}]),
        pack(["Tick", None]),
        pack(["Tick", {}]),
        pack(["Tick", {"at": "1"}]),
        pack(["Tick", {"at": True}]),
        pack(["Tick", {"at": 1, "extra": 2}]),
        b"\x92\xa4Tick\x81\xa2at\xcc\x01",  # 1 in two bytes
        encode(Tick(1)) + b"\x00",
    ],
)
def test_what_encode_does_not_write_is_refused(data: bytes) -> None:
    with pytest.raises(NotCanonicalError):
        decode_event(data)


@settings(max_examples=300)
@given(st.sampled_from([encode(event) for event in all_events()]), st.data())
def test_a_changed_byte_is_refused_or_another_canonical_record(data: bytes, draw: st.DataObject) -> None:
    position = draw.draw(st.integers(0, len(data) - 1))
    flipped = bytearray(data)
    flipped[position] ^= draw.draw(st.integers(1, 255))
    try:
        event = decode_event(bytes(flipped))
    except WireError:
        return
    assert encode(event) == bytes(flipped)


@given(st.binary(max_size=300))
def test_random_bytes_never_crash(data: bytes) -> None:
    try:
        event = decode_event(data)
    except WireError:
        return
    assert encode(event) == data


def test_a_record_that_nests_too_deeply_is_refused() -> None:
    nested: Any = 1
    for _ in range(200):
        nested = [nested]
    with pytest.raises(NotCanonicalError):
        decode_event(pack(["Tick", {"at": nested}]))
    assert unpack(pack(["Tick", {"at": 1}])) == ("Tick", {"at": 1})


def histories() -> list[tuple[Any, Any, list[Event]]]:
    """Whole lives of one job, for each role."""
    of = ORDER_HASH
    program = {ORDER.program_id: LOCKING}
    bidding, _ = prover.transition(a_prover(programs=program), order_seen())
    award = an_award(bidding.jobs[of].bid)
    own_lock = replace(locked(), promise_at=award.promise_at)
    proving: list[Event] = [
        order_seen(),
        award_received(award),
        InputOpened(AT, of),
        WitnessReady(AT, of),
        own_lock,
        ProofReady(AT, of, (1,), PROOF, LOCKING),
        Tick(AT + 20 * SECOND),
        settled(AT + 22 * SECOND),
        Tick((NOW + 400) * SECOND),
    ]
    buying: list[Event] = [
        placed(),
        bid_received(a_bid()),
        Tick(AT + 2 * SECOND),
        RefusalReceived(AT, of, a_bid().prover, "PM-REF-016", 0),
        bid_received(a_bid(b"\xa2" * 20)),
        Tick(AT + 9 * SECOND),
        settled(AT + 20 * SECOND, b"\xa2" * 20),
    ]
    checking: list[Event] = [proof_received(), ProofChecked(AT, of, True), locked(), settled()]
    return [
        (prover, a_prover(programs=program), proving),
        (client, client.State(), buying),
        (verifier, a_verifier(), checking),
    ]


@pytest.mark.parametrize(("role", "start", "history"), histories(), ids=["prover", "client", "verifier"])
def test_replaying_the_journal_gives_the_same_state_and_effects(
    role: Any, start: Any, history: list[Event]
) -> None:
    live, again, journal = start, start, []
    told, retold = [], []
    for event in history:
        journal.append(encode(event))
        live, effects = role.transition(live, event)
        told += [encode(effect) for effect in effects]
    for record in journal:
        again, effects = role.transition(again, decode_event(record))
        retold += [encode(effect) for effect in effects]
    assert told and retold == told
    assert again == live
