# SPDX-License-Identifier: GPL-3.0-or-later
"""A lock that its prover gave up: the roles hear that it is gone, or they would count on money that is not there."""

from __future__ import annotations

from pathlib import Path

import trio
from escrow_market import ETHER, account, market

from contracts import bindings
from market.events import ChainLocked, ChainReleased, JobEvent
from node.chain_view import open_chain
from node.journal import Journal
from protocol.eip712 import digest

CLIENT, PROVER = map(account, ("client", "prover"))


async def test_a_lock_that_is_given_up_is_told_as_one_that_is_gone(tmp_path: Path) -> None:
    with market(("client", "prover")) as chain, Journal(tmp_path / "journal") as journal:
        for each in (CLIENT, PROVER):
            chain.send(each, bindings.deposit(), ETHER)
        order = chain.order(CLIENT.address, 1)
        award, order_hash = chain.award(order, PROVER.address), digest(chain.network, order)
        chain.send(PROVER, bindings.lock(order, award, CLIENT.sign(chain.network, award)))
        chain.send(PROVER, bindings.release(order, award))
        heard = list[JobEvent]()
        settings = chain.settings(tmp_path)
        async with open_chain(settings, PROVER, journal) as view, trio.open_nursery() as nursery:
            await nursery.start(view.follow, heard.append)
            assert view.ledger.lock_of(order_hash) is None
            assert [(type(event), event.order_hash) for event in heard] == [
                (ChainLocked, order_hash), (ChainReleased, order_hash)
            ]  # fmt: skip
            nursery.cancel_scope.cancel()
