# SPDX-License-Identifier: GPL-3.0-or-later
"""Reorganisations that reach what a node has acted on: while it follows, and while it was down."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from escrow_market import ETHER, Market, account, market
from market_phases import client_in, prover_in, run, verifier_in
from market_samples import ORDER_HASH, a_prover, locked

from contracts import bindings, events
from contracts.records import Status
from market import client, prover, verifier
from market.effects import SubmitLock, SubmitSettlement
from market.events import ChainLocked, ChainSettled, ChainUndone, JobEvent
from node.chain_view import open_chain
from node.journal import Journal
from node.ledger import Ledger
from node.settings import Settings
from node.settlement import Transactions
from node.taken_back import taken_back

CLIENT, PROVER = map(account, ("client", "prover"))
GUARD = 60.0


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
    deployed = chain.deployment
    settings = Settings(
        data_dir=tmp_path,
        rpc_url=chain.url,
        chain_id=deployed.chain_id,
        escrow=deployed.escrow,
        registry=deployed.registry,
        poll_ms=20,
        confirmations=1,
    )
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
    expired = events.Expired(ORDER_HASH, bytes(20), bytes(20), bytes(20), 0, bytes(20), 0)
    assert taken_back(state, a_ledger(expired)) == ()  # type: ignore[arg-type]


def test_a_lock_that_the_chain_no_longer_knows_is_found_at_the_next_start() -> None:
    proving, _ = run(prover, prover_in(prover.Phase.LOCKING), [locked()])
    for state in (proving, run(prover, a_prover(), [locked()])[0], client_in(client.Phase.LOCKED)):
        assert taken_back(state, a_ledger()) == (ORDER_HASH,)
    assert taken_back(client_in(client.Phase.AWARDED), a_ledger()) == ()
