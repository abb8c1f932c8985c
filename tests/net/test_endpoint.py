# SPDX-License-Identifier: GPL-3.0-or-later
"""The market's endpoint between real hosts: rates by kind of message and by peer, and for what it refuses."""

from __future__ import annotations

import pytest
from net_peers import transport

from market import refusals
from node.endpoint import KIND_RATES, REFUSALS_TO_ALL, REFUSALS_TO_ONE, MarketEndpoint, RefusedError
from node.net import Limits, Transport
from protocol.messages import MESSAGE_KINDS, AwardMessage, Message, SettlementNotice
from protocol.structs import Award, Network, Notice

NETWORK = Network(chain_id=31_337, escrow=b"\xee" * 20)
AWARD = AwardMessage(
    network=NETWORK,
    award=Award(
        order_hash=bytes(32),
        bid_hash=bytes(32),
        prover=bytes(20),
        payout=bytes(20),
        price=1,
        promise_at=1,
        lock_by=1,
    ),
    signature=bytes(65),
)
NOTICE = SettlementNotice(
    network=NETWORK,
    notice=Notice(
        order_hash=bytes(32), award_hash=bytes(32), transaction_hash=bytes(32), settler=bytes(20), issued_at=1
    ),
    signature=bytes(65),
)


def serving(node: Transport) -> list[str]:
    """What an endpoint on this node took."""
    taken: list[str] = []
    endpoint = MarketEndpoint(NETWORK, node)

    async def take(peer: str, message: Message) -> None:
        taken.append(message.kind)

    endpoint.on(AwardMessage, take)
    endpoint.on(SettlementNotice, take)
    return taken


def test_every_kind_that_is_a_request_has_a_rate() -> None:
    assert set(KIND_RATES) == set(MESSAGE_KINDS) - {"order", "acknowledgement"}


async def test_a_flood_of_one_kind_is_refused_and_hinders_neither_other_kinds_nor_other_peers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(KIND_RATES, "settlement", KIND_RATES["settlement"].__class__(per_second=0.001, burst=5))
    async with transport(limits=Limits(ban_score=-1e9)) as victim, transport() as flooder, transport() as other:
        taken = serving(victim)
        address = victim.addresses[0]
        loud, quiet = MarketEndpoint(NETWORK, flooder), MarketEndpoint(NETWORK, other)
        codes = []
        for _ in range(12):
            try:
                await loud.send(address, NOTICE)
            except RefusedError as error:
                codes.append(error.refusal_code)
        assert codes == [refusals.RATE_LIMITED] * 7 and taken == ["settlement"] * 5
        await loud.send(address, AWARD)
        await quiet.send(address, NOTICE)
        assert taken[5:] == ["award", "settlement"]
        assert victim.counters["penalties"] == 7


async def test_refusals_that_nobody_waits_for_are_limited_for_each_peer_and_in_all() -> None:
    async with transport() as node:
        endpoint = MarketEndpoint(NETWORK, node)
        one = sum(endpoint.may_refuse("/ip4/192.0.2.1/tcp/1/p2p/peer") for _ in range(100))
        assert one == REFUSALS_TO_ONE.burst
        assert not endpoint.may_refuse("peer")  # the same peer without an address
        everybody = sum(endpoint.may_refuse(f"peer {number}") for number in range(1_000))
        assert REFUSALS_TO_ALL.burst - one <= everybody <= REFUSALS_TO_ALL.burst
