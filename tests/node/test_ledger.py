# SPDX-License-Identifier: GPL-3.0-or-later
"""A ledger that undid blocks is one that never saw them; and what each event means for balances and locks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from market_samples import a_bid, an_award

from contracts import events
from contracts.events import EscrowEvent
from contracts.records import Payment
from node.ledger import Ledger

ACCOUNTS = [bytes([n]) * 20 for n in (1, 2, 3)]
ORDERS = [bytes([n]) * 32 for n in (7, 8)]
AWARD = an_award(a_bid())
AMOUNTS = st.integers(0, 3)
ACCOUNT, ORDER = st.sampled_from(ACCOUNTS), st.sampled_from(ORDERS)


def payment(debited: int = 0, refunded: int = 0, price: int = 0, bounty: int = 0) -> Payment:
    client, prover, settler = ACCOUNTS
    return Payment(
        prover,
        prover,
        settler,
        settler,
        client,
        price,
        0,
        1,
        debited,
        refunded,
        prover,
        2,
        bounty,
        0,
    )


def lock(order: bytes, prover: bytes = ACCOUNTS[1], reserved: int = 2, collateral: int = 1) -> events.Locked:
    return events.Locked(order, ACCOUNTS[0], prover, bytes(32), AWARD, reserved, collateral)


EVENTS: st.SearchStrategy[EscrowEvent] = st.one_of(
    st.builds(events.Deposited, ACCOUNT, ACCOUNT, AMOUNTS),
    st.builds(events.WithdrawalRequested, ACCOUNT, AMOUNTS, st.just(9)),
    st.builds(events.Withdrawn, ACCOUNT, ACCOUNT, AMOUNTS),
    st.builds(events.CancelRequested, ORDER, ACCOUNT, st.just(9)),
    st.builds(lock, ORDER, ACCOUNT, AMOUNTS, AMOUNTS),
    st.builds(
        events.Released, ORDER, ACCOUNT, ACCOUNT, st.just(bytes(20)), AMOUNTS, st.just(bytes(20)), AMOUNTS, AMOUNTS
    ),
    st.builds(events.Settled, ORDER, st.just(bytes(32)), ACCOUNT, st.builds(payment, AMOUNTS, AMOUNTS), st.just((1,))),
    st.builds(events.Expired, ORDER, ACCOUNT, ACCOUNT, st.just(bytes(20)), AMOUNTS, st.just(bytes(20)), AMOUNTS),
    st.builds(events.Skipped, ORDER, st.just("AlreadySettled")),
)
STEPS = st.lists(st.one_of(st.lists(EVENTS, max_size=4), st.integers(1, 5)), max_size=20)


@given(STEPS)
def test_a_ledger_that_undid_blocks_equals_one_that_never_saw_them(steps: list[list[EscrowEvent] | int]) -> None:
    ledger, kept, number = Ledger(), list[tuple[bytes, Sequence[EscrowEvent]]](), 0
    for step in steps:
        if isinstance(step, int):
            for _ in range(min(step, len(kept))):
                ledger.undo(kept.pop()[0])
        else:
            number += 1
            kept.append((number.to_bytes(32, "big"), step))
            ledger.apply(*kept[-1])
        fresh = Ledger()
        for block in kept:
            fresh.apply(*block)
        assert ledger == fresh


def test_a_reorg_that_undoes_a_payment_brings_back_lock_and_balances() -> None:
    client, prover, settler = ACCOUNTS
    ledger = Ledger()
    ledger.apply(b"1", [events.Deposited(client, client, 10), events.Deposited(prover, prover, 5), lock(ORDERS[0])])
    before = (ledger.balance(client), ledger.balance(prover), ledger.lock_of(ORDERS[0]))
    ledger.apply(b"2", [events.Settled(ORDERS[0], bytes(32), client, payment(price=1), (1,))])
    assert ledger.is_done(ORDERS[0]) and ledger.lock_of(ORDERS[0]) is None
    assert ledger.balance(prover) == 5 - 1 + 1 + 2 and ledger.balance(settler) == 1
    ledger.undo(b"2")
    assert not ledger.is_done(ORDERS[0])
    assert (
        (ledger.balance(client), ledger.balance(prover), ledger.lock_of(ORDERS[0])) == before == (8, 4, lock(ORDERS[0]))
    )


def test_who_lost_collateral_is_remembered_until_its_block_is_undone() -> None:
    client, prover, _ = ACCOUNTS
    ledger = Ledger()
    ledger.apply(b"1", [lock(ORDERS[0]), lock(ORDERS[1])])
    ledger.apply(b"2", [events.Settled(ORDERS[0], bytes(32), client, payment(), (1,))])
    assert ledger.slashes(prover) == 0
    ledger.undo(b"2")
    ledger.apply(b"2", [events.Settled(ORDERS[0], bytes(32), client, payment(bounty=1), (1,))])
    free, dear = (events.Expired(ORDERS[1], client, prover, bytes(20), 1, bytes(20), burned) for burned in (0, 1))
    ledger.apply(b"3", [free])
    assert ledger.slashes(prover) == 1
    ledger.undo(b"3")
    ledger.apply(b"3", [dear])
    assert ledger.slashes(prover) == 2 and ledger.slashes(client) == 0
    ledger.undo(b"3")
    ledger.undo(b"2")
    assert ledger.slashes(prover) == 0


def test_an_undone_withdrawal_is_still_on_its_way_out() -> None:
    account = ACCOUNTS[0]
    ledger = Ledger()
    ledger.apply(b"1", [events.Deposited(account, account, 10), events.WithdrawalRequested(account, 4, 9)])
    ledger.apply(b"2", [replace(events.WithdrawalRequested(account, 6, 9))])
    ledger.undo(b"2")
    assert ledger.balance(account) == 6
    ledger.apply(b"3", [events.Withdrawn(account, account, 4)])
    assert ledger.balance(account) == 6
    ledger.undo(b"3")
    assert ledger.balance(account) == 6


def test_only_the_newest_block_within_the_window_can_be_taken_back() -> None:
    ledger = Ledger(window=2)
    for block in (b"1", b"2", b"3"):
        ledger.apply(block, [])
    with pytest.raises(ValueError, match="newest"):
        ledger.undo(b"2")
    ledger.undo(b"3")
    ledger.undo(b"2")
    with pytest.raises(ValueError, match="newest"):
        ledger.undo(b"1")


def test_a_cancel_is_remembered_until_a_lock_or_an_end_of_the_order() -> None:
    client, prover, _ = ACCOUNTS
    ledger = Ledger()
    ledger.apply(b"1", [events.CancelRequested(ORDERS[0], client, 9), events.CancelRequested(ORDERS[1], client, 9)])
    assert ledger.is_cancelling(ORDERS[0]) and ledger.is_cancelling(ORDERS[1])
    ledger.apply(b"2", [lock(ORDERS[0]), events.Settled(ORDERS[1], bytes(32), client, payment(), (1,))])
    assert not ledger.is_cancelling(ORDERS[0]) and not ledger.is_cancelling(ORDERS[1])
    # A lock that is given up leaves nothing of the cancel before it.
    ledger.apply(b"3", [events.Released(ORDERS[0], client, prover, bytes(20), 2, bytes(20), 1, 0)])
    assert not ledger.is_cancelling(ORDERS[0])
    for block in (b"3", b"2"):
        ledger.undo(block)
    assert ledger.is_cancelling(ORDERS[0]) and ledger.is_cancelling(ORDERS[1])
