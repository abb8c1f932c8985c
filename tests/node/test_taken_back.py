# SPDX-License-Identifier: GPL-3.0-or-later
"""Reorganisations that reach what a node has acted on: while it follows, and while it was down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import trio
from escrow_market import ETHER, Market, account, market
from market_phases import client_in, prover_in, run, verifier_in
from market_samples import AT, ORDER_HASH, TX, a_bid, a_prover, an_award, locked

from contracts import bindings, events
from contracts.records import Status
from market import client, prover, verifier
from market.effects import SubmitLock, SubmitSettlement
from market.events import ChainExpired, ChainLocked, ChainSettled, ChainUndone, JobEvent
from node.chain_view import ChainView, open_chain
from node.journal import Journal
from node.ledger import Ledger
from node.role_shell import RoleShell
from node.runtime import Node
from node.settlement import Transactions
from node.taken_back import taken_back

CLIENT, PROVER = map(account, ("client", "prover"))
GUARD = 60.0
EXPIRED = events.Expired(ORDER_HASH, bytes(20), bytes(20), bytes(20), 0, bytes(20), 0)


@pytest.fixture(scope="module")
def chain() -> Iterator[Market]:
    with market(("client", "prover")) as running:
        for each in (CLIENT, PROVER):
            running.send(each, bindings.deposit(), 10 * ETHER)
        yield running


async def until_kinds(heard: list[JobEvent], wanted: list[type[JobEvent]]) -> None:
    with trio.fail_after(GUARD):
        while [type(event) for event in heard] != wanted:
            await trio.sleep(0.02)


async def test_a_payment_whose_block_is_undone_is_taken_back_and_paid_again_once(
    chain: Market, tmp_path: Path
) -> None:
    order = chain.order(CLIENT.address, 1)
    s = chain.settlement(CLIENT, order, chain.award(order, PROVER.address), PROVER.address)
    of, heard = s.award.order_hash, list[JobEvent]()
    settings = chain.settings(tmp_path)
    async with open_chain(settings, PROVER, Journal(tmp_path / "journal")) as view:
        assert view._sender is not None
        # Kept alive for longer than it takes to be told of.
        view._sender._policy = replace(view._sender._policy, final=6)
        async with trio.open_nursery() as nursery:
            await nursery.start(view.follow, heard.append)
            lock = SubmitLock(of, order, s.award, s.signature)
            assert await Transactions(view).lock(lock)
            await until_kinds(heard, [ChainLocked])
            before = (view.ledger.balance(CLIENT.address), view.ledger.balance(PROVER.address))
            effect = SubmitSettlement(of, s.order, s.award, s.signature, s.outputs, s.proof, s.settler)
            assert await Transactions(view).settle(effect) == []
            await until_kinds(heard, [ChainLocked, ChainSettled])
            paid = view.ledger.balance(PROVER.address)
            chain.rpc.call("anvil_reorg", 1, [])
            # What the machines are told: it is undone, and the lock that was there before still is.
            await until_kinds(heard, [ChainLocked, ChainSettled, ChainUndone, ChainLocked])
            assert (view.ledger.balance(CLIENT.address), view.ledger.balance(PROVER.address)) == before
            assert chain.state(order).status is Status.LOCKED
            nursery.start_soon(view.keep_transactions)
            await until_kinds(heard, [ChainLocked, ChainSettled, ChainUndone, ChainLocked, ChainSettled])
            assert view.ledger.balance(PROVER.address) == paid == chain.balance(PROVER.address)
            nursery.cancel_scope.cancel()
    settled = [event for event in chain.events() if isinstance(event, events.Settled) and event.order_hash == of]
    assert len(settled) == 1


def a_ledger(*said: events.EscrowEvent) -> Ledger:
    ledger = Ledger()
    ledger.apply(b"1", said)
    return ledger


@pytest.mark.parametrize(
    "state",
    [client_in(client.Phase.SETTLED), prover_in(prover.Phase.DONE), verifier_in(verifier.Phase.DONE)],
    ids=["client", "prover", "verifier"],
)
def test_an_end_that_the_chain_no_longer_knows_is_found_at_the_next_start(state: object) -> None:
    assert taken_back(state, a_ledger()) == (ORDER_HASH,)  # type: ignore[arg-type]
    assert taken_back(state, a_ledger(EXPIRED)) == (ORDER_HASH,)  # type: ignore[arg-type]
    assert taken_back(client_in(client.Phase.REFUNDED), a_ledger(EXPIRED)) == ()


def test_a_lock_that_the_chain_no_longer_knows_is_found_at_the_next_start() -> None:
    proving, _ = run(prover, prover_in(prover.Phase.LOCKING), [locked()])
    for state in (proving, run(prover, a_prover(), [locked()])[0], client_in(client.Phase.LOCKED)):
        assert taken_back(state, a_ledger()) == (ORDER_HASH,)
    assert taken_back(client_in(client.Phase.AWARDED), a_ledger()) == ()


def test_a_lock_in_whose_place_another_one_is_is_found_at_the_next_start() -> None:
    award = an_award(a_bid())
    ours = events.Locked(ORDER_HASH, CLIENT.address, award.prover, locked().award_hash, award, 1, 1)
    assert taken_back(client_in(client.Phase.LOCKED), a_ledger(ours)) == ()
    other = replace(ours, award_hash=b"\x77" * 32)
    assert taken_back(client_in(client.Phase.LOCKED), a_ledger(other)) == (ORDER_HASH,)


def test_a_client_that_was_paid_for_and_refunded_while_it_was_down_knows_its_refund(tmp_path: Path) -> None:
    """The block of its payment was replaced, and its order ended without one."""
    with Journal(tmp_path / "journal") as journal:
        shell = RoleShell(
            "client", client_in(client.Phase.SETTLED), client.transition, client.next_deadline, journal, Still()
        )
        node = a_node(journal, shell, a_ledger(EXPIRED))
        for event in (locked(), ChainExpired(AT, ORDER_HASH, TX)):
            node.chain_event(event)
        node.caught_up()
        assert shell.state.jobs[ORDER_HASH].phase is client.Phase.REFUNDED


class Still:
    """Chain time that stands still."""

    def now(self) -> int:
        return AT


def a_node(journal: Journal, shell: RoleShell[client.State], ledger: Ledger) -> Node:
    view = SimpleNamespace(clock=Still(), ledger=ledger)
    view.take_back = partial(ChainView.take_back, view)  # type: ignore[arg-type]
    context = SimpleNamespace(chain=view, ledger=ledger)
    node = Node(None, context, journal, None)  # type: ignore[arg-type]
    node.client = SimpleNamespace(shell=shell)  # type: ignore[assignment]
    return node
