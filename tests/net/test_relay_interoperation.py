# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay protocol against another implementation of its specification: the library's own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import multiaddr  # type: ignore[import-untyped]
from libp2p.custom_types import TProtocol
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.relay.circuit_v2.config import RelayConfig, RelayRole
from libp2p.relay.circuit_v2.protocol import CircuitV2Protocol
from libp2p.relay.circuit_v2.transport import CircuitV2Transport
from libp2p.tools.anyio_service import background_trio_service
from net_peers import ECHO, HANG_GUARD, LOOPBACK, QUICK, Open, transport, until
from net_relays import RELAYED, answered, by, hidden, reach, relay_node

from node.net.frames import FramedStream
from node.net.host import build
from node.net.identity import fresh


@asynccontextmanager
async def other_host(*listen: str, serves: bool) -> AsyncIterator[tuple[BasicHost, CircuitV2Protocol]]:
    host = build(fresh(), QUICK, Open()).libp2p
    async with host.run([multiaddr.Multiaddr(address) for address in listen]):
        protocol = CircuitV2Protocol(host, allow_hop=serves)
        async with background_trio_service(protocol):
            yield host, protocol


async def test_another_client_reserves_at_our_relay_and_reaches_our_node_by_it() -> None:
    async with relay_node() as relay, hidden(relay) as node, other_host(serves=False) as (host, protocol):
        theirs = CircuitV2Transport(host, protocol, RelayConfig(roles=RelayRole.CLIENT))
        await host.connect(info_from_p2p_addr(multiaddr.Multiaddr(relay.addresses[0])))
        await theirs.dial(multiaddr.Multiaddr(node.addresses[0]))
        stream = await host.new_stream(ID.from_base58(node.peer_id), [TProtocol(node._protocol(ECHO))])
        frames = FramedStream(stream)
        await frames.write_frame(b"1", 10, HANG_GUARD)
        assert await frames.read_frame(100, HANG_GUARD) == b"echo 1"
        peer = str(host.get_id())  # it reserved before it asked for the circuit
        assert relay.relay is not None and relay.relay.holds(peer)
        async with transport(listen=None) as client:
            assert await reach(client, by(relay, peer)) == peer


async def test_our_nodes_reach_each_other_by_another_relay() -> None:
    async with other_host(LOOPBACK, serves=True) as (host, _):
        relay = f"{host.get_transport_addrs()[0]}/p2p/{host.get_id()}"
        async with (
            transport(listen=None, relays=[relay], limits=RELAYED) as node,
            transport(listen=None, limits=RELAYED) as client,
        ):
            await until(lambda: node.reservations.addresses)
            await answered(client, node.addresses[0])
