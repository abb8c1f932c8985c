# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks and settlements whose outcome the RPC does not tell, or tells wrongly, on a real chain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio
from escrow_market import ETHER, Market, account, market
from rpc_proxy import Proxy, Refuse, proxy

from contracts import bindings
from market.effects import SubmitLock, SubmitSettlement
from node.chain_view import ChainView, open_chain
from node.journal import Journal
from node.settlement import Transactions
from protocol.errors import ChainError
from protocol.structs import Award, Order

CLIENT, PROVER = map(account, ("client", "prover"))
SALTS = count(1)
GUARD = 30.0


@pytest.fixture(scope="module")
def chain() -> Iterator[Market]:
    with market(("client", "prover")) as running:
        for each in (CLIENT, PROVER):
            running.send(each, bindings.deposit(), 10 * ETHER)
        yield running


@asynccontextmanager
async def opened(chain: Market, folder: Path) -> AsyncIterator[tuple[Proxy, ChainView]]:
    async with proxy(chain.url) as between:
        settings = chain.settings(folder, between.url)
        async with open_chain(settings, PROVER, Journal(folder / "journal")) as view:
            yield between, view


def a_lock(chain: Market) -> tuple[SubmitLock, Order, Award, bytes]:
    order = chain.order(CLIENT.address, next(SALTS))
    award = chain.award(order, PROVER.address)
    signature = CLIENT.sign(chain.network, award)
    return SubmitLock(award.order_hash, order, award, signature), order, award, signature


async def test_a_lock_reported_as_failed_that_landed_is_no_failed_lock(chain: Market, tmp_path: Path) -> None:
    async def blind(method: str, params: list[Any], forward: Any) -> Any:
        found = await forward(method, params)
        if method == "eth_sendRawTransaction":
            raise Refuse("internal error")
        return None if method == "eth_getTransactionReceipt" else found

    effect, order, award, _ = a_lock(chain)
    async with opened(chain, tmp_path) as (between, view):
        between.fault = blind
        with trio.move_on_after(2.0) as waited:
            await Transactions(view).lock(effect)
        assert waited.cancelled_caught  # it is not said to have failed
        assert await view.is_locked_by(award.order_hash, award)
        between.fault = None
        assert await Transactions(view).lock(effect)
        assert not await view.is_locked_by(award.order_hash, chain.award(order, PROVER.address, price=1))


async def test_a_lock_that_this_node_has_forgotten_is_found_on_the_chain(chain: Market, tmp_path: Path) -> None:
    effect, order, award, signature = a_lock(chain)
    chain.send(PROVER, bindings.lock(order, award, signature))
    async with opened(chain, tmp_path) as (_, view):
        assert await Transactions(view).lock(effect)


async def test_a_lock_that_the_chain_refuses_has_failed(chain: Market, tmp_path: Path) -> None:
    order = chain.order(CLIENT.address, next(SALTS), price_cap=100 * ETHER)
    award = chain.award(order, PROVER.address, price=100 * ETHER)
    effect = SubmitLock(award.order_hash, order, award, CLIENT.sign(chain.network, award))
    async with opened(chain, tmp_path) as (_, view):
        assert not await Transactions(view).lock(effect)


async def test_while_the_rpc_is_down_nobody_says_whether_a_lock_has_failed(chain: Market, tmp_path: Path) -> None:
    effect, *_ = a_lock(chain)
    async with opened(chain, tmp_path) as (between, view):
        between.cut = True
        with pytest.raises(ChainError):
            await Transactions(view).lock(effect)
        between.cut = False
        assert await Transactions(view).lock(effect)


async def test_a_settlement_that_another_sent_first_is_no_failure(chain: Market, tmp_path: Path) -> None:
    order = chain.order(CLIENT.address, next(SALTS))
    s = chain.settlement(CLIENT, order, chain.award(order, PROVER.address), PROVER.address)
    effect = SubmitSettlement(s.award.order_hash, s.order, s.award, s.signature, s.outputs, s.proof, s.settler)
    async with opened(chain, tmp_path) as (_, view):
        chain.send(CLIENT, bindings.settle(s))
        assert await Transactions(view).settle(effect) == []
