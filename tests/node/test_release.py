# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock that its prover gives up, on a real chain: sent once, told to every machine, undone with its block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from escrow_market import ETHER, Market, account, market

from contracts import bindings, events
from contracts.records import Status
from market.effects import SubmitLock, SubmitRelease
from market.events import ChainLocked, ChainReleased, ChainUndone, JobEvent
from node.chain_view import open_chain
from node.journal import Journal
from node.settlement import Transactions

CLIENT, PROVER = map(account, ("client", "prover"))
GUARD = 60.0


@pytest.fixture
def chain() -> Iterator[Market]:
    with market(("client", "prover")) as running:
        for each in (CLIENT, PROVER):
            running.send(each, bindings.deposit(), 10 * ETHER)
        yield running


async def until_kinds(heard: list[JobEvent], wanted: list[type[JobEvent]]) -> None:
    with trio.fail_after(GUARD):
        while [type(event) for event in heard] != wanted:
            await trio.sleep(0.02)


async def test_a_release_is_sent_once_and_heard_and_undone_with_its_block(chain: Market, tmp_path: Path) -> None:
    order = chain.order(CLIENT.address, 1, collateral=8 * 10**15)
    award = chain.award(order, PROVER.address)
    of, heard = award.order_hash, list[JobEvent]()
    settings = chain.settings(tmp_path)
    async with open_chain(settings, PROVER, Journal(tmp_path / "journal")) as view:
        assert view._sender is not None
        view._sender._policy = replace(view._sender._policy, final=6)  # kept alive for longer than it takes to be told
        transactions, release = Transactions(view), SubmitRelease(of, order, award)
        async with trio.open_nursery() as nursery:
            await nursery.start(view.follow, heard.append)
            await transactions.release(release)  # nothing is locked: nothing is sent
            assert await transactions.lock(SubmitLock(of, order, award, CLIENT.sign(chain.network, award)))
            await until_kinds(heard, [ChainLocked])
            await transactions.release(release)
            await transactions.release(release)
            await until_kinds(heard, [ChainLocked, ChainReleased])
            assert heard[-1] == ChainReleased(heard[-1].at, of, PROVER.address)
            assert view.ledger.lock_of(of) is None and chain.state(order).status is Status.NONE
            assert view.ledger.balance(CLIENT.address) == 10 * ETHER == chain.balance(CLIENT.address)
            assert view.ledger.balance(PROVER.address) == 10 * ETHER - 10**15 == chain.balance(PROVER.address)
            chain.rpc.call("anvil_reorg", 1, [])
            await until_kinds(heard, [ChainLocked, ChainReleased, ChainUndone, ChainLocked])
            assert view.ledger.balance(PROVER.address) == 10 * ETHER - 8 * 10**15
            nursery.start_soon(view.keep_transactions)
            await until_kinds(heard, [ChainLocked, ChainReleased, ChainUndone, ChainLocked, ChainReleased])
            nursery.cancel_scope.cancel()
    released = [event for event in chain.events() if isinstance(event, events.Released)]
    assert len(released) == 1
