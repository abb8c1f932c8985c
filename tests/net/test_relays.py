# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that nobody can dial reach each other by relays, on real hosts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from net_peers import HANG_GUARD, LOOPBACK, Inbox, accept, connected, transport, until
from net_relays import RELAYED, answered, by, end, hidden, reach, relay_node

from node.net import Transport
from node.net.channel import Channel
from node.net.circuits import circuit_in
from node.net.host import parse_address
from node.net.identity import fresh
from node.net.peerbook import Origin
from protocol.errors import AddressError, NetworkError, PeerRefusedError, PeerUnreachableError

PEER, RELAY = fresh().peer_id, fresh().peer_id
AT = f"/ip4/192.0.2.1/tcp/4001/p2p/{RELAY}"


def snapshot_of(node: Transport, peer: str) -> str | None:
    """The relay by which a node is connected to a peer."""
    return next(known.relay for known in node.peers() if known.peer == peer)


async def test_two_nodes_that_nobody_can_dial_reach_each_other() -> None:
    async with relay_node() as relay, hidden(relay) as prover, transport(listen=None) as client:
        assert prover.addresses == (by(relay, prover.peer_id),)

        async def double(channel: Channel) -> None:
            data = await channel.receive(2**20)
            await channel.send(data + data)

        prover.add_stream_handler("/test/1/double", double, HANG_GUARD)
        await answered(client, prover.addresses[0])
        await answered(prover, client.peer_id)
        async with client.open_channel(prover.peer_id, "/test/1/double", HANG_GUARD) as channel:
            await channel.send(b"x" * 2**20)
            assert await channel.receive(2**21) == b"x" * 2**21
        assert snapshot_of(client, prover.peer_id) == snapshot_of(prover, client.peer_id) == relay.peer_id
        assert snapshot_of(client, relay.peer_id) is None
        assert relay.relay is not None and relay.relay.circuits == 1
        assert prover.door.host_of(client.peer_id) is None


async def test_gossip_passes_a_circuit() -> None:
    inbox = Inbox()
    async with relay_node() as relay, hidden(relay) as prover, transport(listen=None) as client:
        await prover.subscribe("orders", accept, inbox)  # the relay takes no part in it
        await client.subscribe("orders", accept, Inbox())
        await reach(client, prover.addresses[0])
        with trio.fail_after(HANG_GUARD):
            while not inbox.messages:
                await client.publish("orders", b"order")
                await trio.sleep(0.1)
        assert inbox.messages[0] == b"order"


async def test_a_circuit_ends_with_either_side() -> None:
    async with relay_node() as relay, hidden(relay) as prover:
        async with transport(listen=None) as client:
            await reach(client, prover.addresses[0])
            await until(lambda: client.peer_id in connected(prover))
        await until(lambda: client.peer_id not in connected(prover))
        await until(lambda: relay.relay is not None and relay.relay.circuits == 0)
        await until(lambda: prover.door.seated == 0)


async def test_a_relay_that_comes_back_is_asked_again() -> None:
    identity = fresh()
    async with relay_node(identity=identity) as relay, hidden(relay) as prover, transport(listen=None) as client:
        before = prover.addresses
        await answered(client, before[0])
        await end(relay)
        await until(lambda: prover.addresses == (f"/p2p/{prover.peer_id}",))
        assert prover.lasting_addresses == before
        listen = relay.addresses[0].rsplit("/p2p/", 1)[0]
        async with relay_node(identity=identity, listen=listen):
            await until(lambda: prover.addresses == before)
            await answered(client, before[0])
    for node in (prover, client):
        assert node.counters["host_restarts"] == 0


async def test_a_reservation_is_renewed_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.net.reservations.LONGEST_SECONDS", 0.5)
    async with relay_node() as relay, hidden(relay) as prover:
        assert relay.relay is not None
        seats = relay.relay._seats
        for _ in range(3):
            known = seats[prover.peer_id].expires
            assert known > trio.current_time() + 1000
            await until(lambda: seats[prover.peer_id].expires > known)  # noqa: B023
        assert len(seats) == 1


async def test_with_several_relays_the_others_stay() -> None:
    async with relay_node() as lasting:
        async with relay_node() as relay, hidden(relay, lasting) as prover:
            assert prover.addresses == (by(relay, prover.peer_id), by(lasting, prover.peer_id))
            await end(relay)
            await until(lambda: prover.addresses == (by(lasting, prover.peer_id),))
            async with transport(listen=None) as client:
                await answered(client, prover.addresses[0])


async def test_newcomers_behind_nats_find_each_other_by_the_relay() -> None:
    async with relay_node() as relay, hidden(relay) as prover:
        relay.introduced(prover.peer_id, prover.addresses[0])
        (address,) = relay.peers_to_share(10)
        assert address == by(relay, prover.peer_id)
        async with transport(relay.addresses[0], listen=None) as client:
            await until(lambda: relay.peer_id in connected(client))
            client.hear_of(address, relay.peer_id)
            await until(lambda: prover.peer_id in connected(client))
            client.introduced(prover.peer_id, prover.addresses[0])
            assert client.peers_to_share(10).count(address) == 1  # found true


async def test_a_node_that_serves_no_relay_makes_no_circuits() -> None:
    async with transport() as node, transport(node.addresses[0], listen=None) as peer, transport() as client:
        await until(lambda: peer.peer_id in connected(node))
        with pytest.raises(PeerRefusedError):
            await reach(client, by(node, peer.peer_id))


async def test_a_node_dials_nobody_through_itself() -> None:
    async with relay_node() as relay:
        with pytest.raises(PeerUnreachableError):
            await reach(relay, by(relay, PEER))


@pytest.mark.parametrize(
    "address",
    [
        f"/p2p-circuit/p2p/{PEER}",
        f"/p2p/{RELAY}/p2p-circuit/p2p/{PEER}",
        f"/ip4/192.0.2.1/tcp/4001/p2p-circuit/p2p/{PEER}",
        f"{AT}/p2p-circuit",
        f"{AT}/p2p-circuit/p2p/{RELAY}",
        f"{AT}/p2p-circuit/p2p/{PEER}/p2p-circuit/p2p/{fresh().peer_id}",
        f"{AT}/p2p-circuit/p2p-circuit/p2p/{PEER}",
        f"{AT}/p2p-circuit/ip4/10.0.0.1/tcp/22/p2p/{PEER}",
        f"/ip4/192.0.2.1/udp/4001/quic-v1/p2p/{RELAY}/p2p-circuit/p2p/{PEER}",
        f"{AT}/p2p-circuit/p2p/{PEER}\n",
    ],
    ids=[
        "no relay", "no host", "no relay's id", "no peer", "through itself", "two circuits", "a circuit twice",
        "a host behind", "another transport", "a line's end",
    ],
)
async def test_only_one_form_of_circuit_is_an_address(address: str) -> None:
    with pytest.raises(AddressError):
        circuit_in(address)
    with pytest.raises(AddressError):
        parse_address(address)
    async with transport() as node:
        node.introduced(PEER, address)
        node.hear_of(address, RELAY)
        assert node.book.contacts() == ()


def test_the_address_of_a_circuit_names_relay_and_peer() -> None:
    circuit = circuit_in(f"{AT}/p2p-circuit/p2p/{PEER}")
    assert circuit is not None
    assert (circuit.relay, circuit.relay_address, circuit.peer) == (RELAY, AT, PEER)
    assert str(parse_address(str(circuit)).peer_id) == PEER
    assert circuit_in(AT) is None


async def test_a_node_with_relays_and_a_port_tells_the_relays_first() -> None:
    async with relay_node() as relay, transport(listen=LOOPBACK, relays=[relay.addresses[0]]) as node:
        await until(lambda: node.reservations.addresses)
        assert node.addresses[0] == by(relay, node.peer_id) and len(node.addresses) == 2


async def test_the_relay_of_a_peer_is_a_contact_like_any_other() -> None:
    async with relay_node() as relay, hidden(relay) as prover, transport(listen=None) as client:
        await reach(client, prover.addresses[0])
        contact = client.book.of(relay.peer_id)
        assert contact is not None and contact.origin is Origin.HEARSAY and contact.source == prover.peer_id


async def test_a_relay_without_room_in_the_book_is_not_dialled() -> None:
    async with relay_node() as relay, hidden(relay) as prover:
        async with transport(listen=None, limits=replace(RELAYED, hearsay=0)) as client:
            with pytest.raises(NetworkError):
                await reach(client, prover.addresses[0])
            assert connected(client) == set()
