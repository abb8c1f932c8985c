# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that takes its deposit out while a proof is under way, on a real chain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from escrow_market import ETHER, Market, account, market
from market_samples import PROGRAM, a_prover, order_seen

from contracts import bindings
from contracts.events import EscrowEvent, Settled
from market import prover, refusals
from market.effects import SendRefusal
from node.ledger import Ledger

CLIENT, PROVER = map(account, ("client", "prover"))


@pytest.fixture
def chain() -> Iterator[Market]:
    with market(("client", "prover")) as running:
        running.send(CLIENT, bindings.deposit(), ETHER)
        yield running


def test_a_client_that_withdraws_before_delivery_pays_all_the_same_and_gets_no_further_bid(chain: Market) -> None:
    order = chain.order(CLIENT.address, 1)
    settlement = chain.settlement(CLIENT, order, chain.award(order, PROVER.address), PROVER.address)
    chain.send(CLIENT, bindings.request_withdraw(ETHER))
    ledger = Ledger()
    ledger.apply(bytes(32), [event for event in chain.events() if isinstance(event, EscrowEvent)])
    assert ledger.balance(CLIENT.address) == 0
    _, effects = prover.transition(
        a_prover(programs={PROGRAM: 1_000}), order_seen(balance=ledger.balance(CLIENT.address))
    )
    assert [effect.code for effect in effects if isinstance(effect, SendRefusal)] == [refusals.UNFUNDED]
    chain.send(PROVER, bindings.settle(settlement))
    (settled,) = [event for event in chain.events() if isinstance(event, Settled)]
    assert settled.payment.price == settlement.award.price
    assert chain.balance(settlement.award.payout) >= settled.payment.price - settled.payment.royalty
