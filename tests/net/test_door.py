# SPDX-License-Identifier: GPL-3.0-or-later
"""Who gets a connection to a live host, when many want one."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from dataclasses import replace

import pytest
import trio
from net_peers import (
    ECHO,
    HANG_GUARD,
    QUICK,
    Attacker,
    attacker,
    connected,
    dialling_from,
    still_serves,
    transport,
    until,
)

from node.net import Transport
from node.net.identity import fresh
from node.net.limits import Rate
from node.net.peerbook import Origin
from node.net.subnets import parse_networks, subnet_of
from protocol.errors import NetworkError

STRICT = replace(QUICK, exempt_networks=())
"""Loopback counts as any other subnet."""


@pytest.mark.parametrize(
    ("host", "subnet"),
    [
        ("192.0.2.7", "192.0.2.0/24"),
        ("::ffff:192.0.2.9", "192.0.2.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("fe80::1%eth0", "fe80::/48"),
        ("10.1.2.3", None),
        ("prover.example", "unknown"),
    ],
)
def test_a_subnet_is_a_24_or_a_48(host: str, subnet: str | None) -> None:
    assert subnet_of(host, parse_networks(["10.0.0.0/8"])) == subnet


async def test_visitors_that_came_and_went_hold_no_slot() -> None:
    limits = replace(QUICK, inbound_connections=3, max_connections=6)
    async with transport(limits=limits) as victim:
        for _ in range(12):
            async with attacker(victim):
                await until(lambda: victim.door.seated == 1)
            await until(lambda: victim.door.seated == 0)
        await still_serves(victim)


async def test_silent_handshakes_block_nobody() -> None:
    async with transport() as victim:
        port = int(victim.addresses[0].split("/")[4])
        silent = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(3 * QUICK.handshakes)]
        await still_serves(victim)
        assert victim.door.counters["handshake_displaced"] >= QUICK.handshakes
        for stream in silent:
            await stream.aclose()


async def seated(stack: AsyncExitStack, victim: Transport, count: int) -> list[Attacker]:
    """As many attackers as got in of `count`."""
    made = []
    for _ in range(count):
        with suppress(Exception):  # the library raises many kinds when it is turned away
            made.append(await stack.enter_async_context(attacker(victim)))
    return made


async def test_one_subnet_cannot_take_every_connection() -> None:
    limits = replace(STRICT, connections_per_subnet=3)
    async with transport(limits=limits) as victim, AsyncExitStack() as stack:
        await seated(stack, victim, 6)
        assert victim.door.seated == 3 and victim.door.counters["subnet_full"] >= 3
        with dialling_from("127.0.9.1"):
            await still_serves(victim)


async def test_a_subnet_that_comes_too_often_waits() -> None:
    limits = replace(STRICT, subnet_arrivals=Rate(per_second=0.01, burst=4))
    async with transport(limits=limits) as victim, AsyncExitStack() as stack:
        await seated(stack, victim, 8)
        assert victim.door.seated == 4 and victim.door.counters["subnet_over_rate"] >= 4
        with dialling_from("127.0.9.1"):
            await still_serves(victim)


async def test_a_banned_peer_does_not_come_back_under_another_key() -> None:
    limits = replace(STRICT, subnet_arrivals=Rate(per_second=0.01, burst=10), subnet_ban_cost=10)
    async with transport(limits=limits) as victim, AsyncExitStack() as stack:
        (first,) = await seated(stack, victim, 1)
        victim.penalise(first.peer_id, "test", 1000)
        await until(lambda: first.peer_id not in connected(victim))
        assert await seated(stack, victim, 3) == [] or victim.door.seated == 0
        with dialling_from("127.0.9.1"):
            await still_serves(victim)


async def test_strangers_do_not_crowd_out_whom_the_node_knows() -> None:
    limits = replace(QUICK, inbound_connections=4)
    known = fresh()
    async with transport(limits=limits) as victim, AsyncExitStack() as stack:
        victim.book.learn(known.peer_id, "/ip4/127.0.0.1/tcp/1/p2p/" + known.peer_id, Origin.CHAIN)
        crowd = await seated(stack, victim, 7)
        assert victim.door.seated == 4
        async with transport(identity=known) as prover:
            assert await prover.request(victim.addresses[0], ECHO, b"1", 100) == b"echo 1"
            assert victim.door.counters["made_room"] == 1
            assert crowd[3].peer_id not in connected(victim) and crowd[0].peer_id in connected(victim)
            async with transport() as stranger:
                with pytest.raises(NetworkError):
                    await stranger.request(victim.addresses[0], ECHO, b"2", 100, timeout=3)
            assert prover.peer_id in connected(victim)


async def test_a_node_full_of_visitors_dials_all_the_same() -> None:
    limits = replace(QUICK, inbound_connections=2)
    async with transport() as home, transport(limits=limits) as victim, AsyncExitStack() as stack:
        await seated(stack, victim, 4)
        assert victim.door.seated == 2
        assert await victim.request(home.addresses[0], ECHO, b"1", 100) == b"echo 1"
        with trio.fail_after(HANG_GUARD):
            await victim.connect(home.addresses[0])


async def test_one_peer_gets_no_more_connections_than_its_share() -> None:
    async with transport() as victim, attacker(victim) as hostile:
        swarm = hostile.host.get_network()
        for _ in range(5):
            with suppress(Exception):
                await swarm.dial_addr(hostile.address, hostile.victim_id)
        await until(lambda: victim.door.seated <= QUICK.connections_per_peer)
        assert victim._live is not None
        connections = victim._live.host.swarm.connections
        await until(lambda: sum(len(c) for c in connections.values()) <= QUICK.connections_per_peer)
        await still_serves(victim)
