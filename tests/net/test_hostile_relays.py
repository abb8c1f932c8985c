# SPDX-License-Identifier: GPL-3.0-or-later
"""Relays that lie to the nodes that trust them with their bytes, and peers that abuse an honest relay."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, StopMessage
from libp2p.relay.circuit_v2.protocol_buffer import StatusCode
from libp2p.utils.varint import encode_uvarint
from net_peers import (
    ECHO,
    HANG_GUARD,
    Attacker,
    attacker,
    connected,
    dialling_from,
    echo,
    still_serves,
    transport,
    until,
)
from net_relays import (
    RELAYED,
    RESERVE,
    answered,
    brought,
    by,
    connect_to,
    framed,
    granted,
    hidden,
    lying_relay,
    reach,
    relay_node,
    said,
    silence,
    status,
)

from node.net import Limits, Transport
from node.net.circuits import HOP, STOP, carried
from node.net.door import ANY
from node.net.hardening import reset_quietly
from node.net.identity import fresh
from node.net.limits import Rate, RelayLimits
from node.net.peerbook import Origin
from protocol.errors import NetworkError, PeerRefusedError, PeerUnreachableError

GARBAGE = {
    "no protobuf": encode_uvarint(40) + b"\xff" * 40,
    "too long": encode_uvarint(2**40) + b"\x00" * 100,
    "an endless length": b"\xff" * 64,
    "no type": framed(HopMessage(status=100)),  # type: ignore[arg-type]
    "half a message": encode_uvarint(4000) + b"\x08",
}
EAGER = replace(RELAYED, relay_timeout=5.0, reserve_first=0.1, reserve_longest=0.2)


def score(node: Transport, peer: str) -> float:
    return next((snapshot.score for snapshot in node.peers() if snapshot.peer == peer), 0.0)


def relaying(**limits: object) -> Limits:
    return replace(RELAYED, relay=replace(RelayLimits(), **limits))  # type: ignore[arg-type]


async def status_of(hostile: Attacker, words: bytes) -> int:
    return int((await said(await hostile.stream(HOP), words)).status)


# --- relays that lie ---------------------------------------------------------------------


@pytest.mark.parametrize("words", [GARBAGE["no protobuf"], GARBAGE["too long"], GARBAGE["half a message"]])
async def test_a_relay_that_answers_with_garbage_is_left_and_others_serve(words: bytes) -> None:
    async def answer(stream: INetStream, message: HopMessage) -> None:
        await stream.write(words)

    async with lying_relay(answer) as liar, relay_node() as relay:
        addresses = [liar.address, relay.addresses[0]]
        async with transport(listen=None, relays=addresses, limits=EAGER) as node, transport() as client:
            await until(lambda: liar.reserved > 1)
            await until(lambda: node.reservations.addresses)
            assert node.addresses == (by(relay, node.peer_id),)
            await answered(client, node.addresses[0])
            with pytest.raises(NetworkError):
                await client.connect(f"{liar.address}/p2p-circuit/p2p/{fresh().peer_id}", timeout=3)
            assert node.counters["host_restarts"] == client.counters["host_restarts"] == 0


async def test_a_silent_relay_holds_up_nothing() -> None:
    async with lying_relay(silence) as liar, relay_node() as relay:
        async with transport(listen=None, relays=[liar.address, relay.addresses[0]], limits=EAGER) as node:
            await until(lambda: liar.reserved > 1)
            assert node.addresses == (by(relay, node.peer_id),)
            async with transport(limits=EAGER) as client:
                with pytest.raises(NetworkError):
                    await client.connect(f"{liar.address}/p2p-circuit/p2p/{node.peer_id}", timeout=1)
                await answered(client, node.addresses[0])


@pytest.mark.parametrize("expire", [0, 1, 2**40, 2**64 - 1])
async def test_a_relay_that_lies_about_a_reservation_changes_no_address_and_is_asked_again(expire: int) -> None:
    async def answer(stream: INetStream, message: HopMessage) -> None:
        await stream.write(granted(expire))

    async with lying_relay(answer) as liar, transport(listen=None, relays=[liar.address]) as node:
        await until(lambda: node.reservations.addresses)
        assert node.addresses == (f"{liar.address}/p2p-circuit/p2p/{node.peer_id}",)
        (place,) = node.reservations._places.values()
        assert place.until - place.next_try == pytest.approx(30 if expire < 2 else 1800)
        await trio.sleep(1)
        assert liar.reserved <= 2  # a lifetime that is over at once is no flood


async def test_a_relay_cannot_take_the_place_of_the_peer() -> None:
    handshakes = 0

    async def answer(stream: INetStream, message: HopMessage) -> None:
        nonlocal handshakes
        await stream.write(status(StatusCode.OK))
        swarm: Any = liar.host.get_network()  # the handshake with the relay's own key
        handshakes += 1
        await swarm.upgrade_inbound_raw_conn(carried(stream, liar.peer_id, initiator=False), ANY)

    async with lying_relay(answer) as liar, transport() as client:
        absent = fresh().peer_id
        with pytest.raises(PeerUnreachableError):
            await reach(client, f"{liar.address}/p2p-circuit/p2p/{absent}")
        assert handshakes == 1 and connected(client) == {liar.peer_id}
        await still_serves(client)


async def test_a_relay_reads_nothing_and_changes_nothing() -> None:
    secret = b"a word that the relay must not see" * 4
    seen = bytearray()
    spoilt = False

    async def answer(stream: INetStream, message: HopMessage) -> None:
        if message.type == HopMessage.RESERVE:
            return await stream.write(granted())
        other = await liar.bring(str(ID(message.peer.id)), brought(client.peer_id))
        await other.read(64)  # its status
        await stream.write(status(StatusCode.OK))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump, stream, other)
            nursery.start_soon(pump, other, stream)

    async def pump(source: INetStream, sink: INetStream) -> None:
        while True:
            data = bytearray(await source.read(65536))
            seen.extend(data)
            if spoilt:
                data[-1] ^= 1
            await sink.write(bytes(data))

    async with lying_relay(answer) as liar, transport(listen=None, relays=[liar.address]) as node:
        heard: list[bytes] = []

        async def hear(peer: str, payload: bytes) -> bytes:
            heard.append(payload)
            return payload

        node.add_handler("/test/1/hear", hear, max_request=1000)
        async with transport(listen=None) as client:
            await until(lambda: node.reservations.addresses)
            assert await client.request(node.addresses[0], "/test/1/hear", secret, 1000, HANG_GUARD) == secret
            assert len(seen) > 1000 and secret[:20] not in seen
            spoilt = True
            with pytest.raises(NetworkError):
                await client.request(node.peer_id, "/test/1/hear", b"spoilt", 1000, timeout=3)
            await until(lambda: node.peer_id not in connected(client))
            assert heard == [secret]


async def test_a_circuit_that_nobody_asked_for_is_reset_and_costs_score() -> None:
    async with relay_node() as relay, hidden(relay) as node, relay_node() as second:
        await reach(node, second.addresses[0])
        await until(lambda: node.peer_id in connected(second))
        with suppress(NetworkError):  # the reset may come first
            stream = await second.open_raw(node.peer_id, STOP)  # a relay, but none of this node's
            await stream.write(brought(fresh().peer_id))
        await until(lambda: score(node, second.peer_id) < 0)
        assert node.door.seated == 0 and node.reservations.addresses


async def test_a_relay_that_brings_garbage_costs_itself_score() -> None:
    async def answer(stream: INetStream, message: HopMessage) -> None:
        await stream.write(granted())

    async with lying_relay(answer) as liar, transport(listen=None, relays=[liar.address], limits=EAGER) as node:
        await until(lambda: node.reservations.addresses)
        for count, words in enumerate(GARBAGE.values(), 1):
            with suppress(Exception):  # at last it is banned, and the library raises many kinds
                await liar.bring(node.peer_id, words)
            await until(lambda: node.counters["penalties"] == count)  # noqa: B023
        assert node.door.seated == 0 and node.counters["host_restarts"] == 0


async def test_circuits_with_silent_handshakes_are_bounded_and_end() -> None:
    async def answer(stream: INetStream, message: HopMessage) -> None:
        await stream.write(granted())

    limits = replace(RELAYED, connections_per_subnet=4, handshake_timeout=6.0)
    async with lying_relay(answer) as liar, transport(relays=[liar.address], limits=limits) as node:
        await until(lambda: node.reservations.addresses)
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(liar.bring, node.peer_id, brought(fresh().peer_id))
        await until(lambda: node.door.counters["subnet_full"] == 4)
        await until(lambda: node.door.counters["handshake_failed"] == 4)
        async with transport() as direct:
            port = next(one for one in node.addresses if "p2p-circuit" not in one)
            await answered(direct, port)


# --- strangers who come by a relay -------------------------------------------------------


async def test_all_who_come_by_a_relay_count_as_one_subnet() -> None:
    limits = replace(RELAYED, connections_per_subnet=2)
    async with relay_node() as relay, hidden(relay, limits=limits) as node, AsyncExitStack() as stack:
        one, two, three = [
            await stack.enter_async_context(transport(listen=None, limits=RELAYED)) for _ in range(3)
        ]
        await answered(one, by(relay, node.peer_id))
        await answered(two, by(relay, node.peer_id))
        while node.door.counters["subnet_full"] < 2:
            with pytest.raises(NetworkError):
                await reach(three, by(relay, node.peer_id))
        assert node.door.seated == 2 and connected(node) == {relay.peer_id, one.peer_id, two.peer_id}


async def test_a_ban_costs_the_relay_by_which_the_peer_came() -> None:
    limits = replace(RELAYED, subnet_arrivals=Rate(per_second=0.01, burst=10), subnet_ban_cost=10)
    async with relay_node() as relay, relay_node() as second, hidden(relay, second, limits=limits) as node:
        async with transport(listen=None) as hostile:
            await reach(hostile, by(relay, node.peer_id))
            await until(lambda: hostile.peer_id in connected(node))
            node.penalise(hostile.peer_id, "test", 1000)
            await until(lambda: hostile.peer_id not in connected(node))
        async with transport(listen=None) as again:
            with pytest.raises(NetworkError):
                await reach(again, by(relay, node.peer_id))
            await until(lambda: node.door.counters["subnet_over_rate"] >= 1)
            await answered(again, by(second, node.peer_id))


async def test_a_banned_peer_does_not_come_back_by_a_relay() -> None:
    identity = fresh()
    async with relay_node() as relay, hidden(relay) as node:
        node.penalise(identity.peer_id, "test", 1000)
        async with transport(listen=None, identity=identity) as hostile:
            with pytest.raises(NetworkError):
                await hostile.request(by(relay, node.peer_id), ECHO, b"1", 100, timeout=5)
            await until(lambda: identity.peer_id not in connected(node))


async def test_the_word_of_one_who_comes_by_a_relay_leads_into_no_private_network() -> None:
    async with relay_node() as relay, hidden(relay) as node, transport(listen=None) as stranger:
        await reach(stranger, node.addresses[0])
        await until(lambda: stranger.peer_id in connected(node))
        peer, other = fresh().peer_id, fresh().peer_id
        inside = [f"/ip4/{host}/tcp/22/p2p/{other}" for host in ("127.0.0.1", "10.0.0.1", "169.254.169.254")]
        for address in inside:
            node.hear_of(address.replace(other, peer), stranger.peer_id)
            node.hear_of(f"{address}/p2p-circuit/p2p/{peer}", stranger.peer_id)
            node.introduced(stranger.peer_id, f"{address}/p2p-circuit/p2p/{stranger.peer_id}")
        assert peer not in node.book and stranger.peer_id not in node.book and other not in node.book
        node.hear_of(f"/ip4/9.9.9.9/tcp/1/p2p/{other}/p2p-circuit/p2p/{peer}", stranger.peer_id)
        assert peer in node.book
        own = f"/ip4/127.0.0.1/tcp/1/p2p/{stranger.peer_id}"  # the relay's host is not proof of it
        node.introduced(stranger.peer_id, own)
        contact = node.book.of(stranger.peer_id)
        assert contact is not None and contact.origin is Origin.MET and not contact.proven


# --- peers that abuse a relay ------------------------------------------------------------


async def test_garbage_to_a_relay_costs_score_and_the_relay_goes_on() -> None:
    async with relay_node(EAGER) as relay, hidden(relay) as node:
        async with attacker(relay) as hostile:
            for count, (name, words) in enumerate(GARBAGE.items(), 1):
                before = score(relay, hostile.peer_id)
                await (await hostile.stream(HOP)).write(words)
                await until(lambda: relay.counters["penalties"] == count)  # noqa: B023
                at_once = before - score(relay, hostile.peer_id) > 20  # what is too long is not waited for
                assert at_once == (name != "half a message")
        async with transport(listen=None) as client:
            await answered(client, by(relay, node.peer_id))
        await still_serves(relay)


async def test_a_circuit_leads_to_those_with_a_reservation_alone() -> None:
    async with relay_node() as relay, transport(relay.addresses[0]) as plain, attacker(relay) as hostile:
        await until(lambda: plain.peer_id in connected(relay))
        assert await status_of(hostile, connect_to(hostile.peer_id)) == StatusCode.PERMISSION_DENIED
        assert await status_of(hostile, connect_to(relay.peer_id)) == StatusCode.PERMISSION_DENIED
        assert await status_of(hostile, connect_to(plain.peer_id)) == StatusCode.NO_RESERVATION
        assert await status_of(hostile, connect_to(fresh().peer_id)) == StatusCode.NO_RESERVATION
        assert relay.relay is not None and relay.relay.circuits == 0
        assert await status_of(hostile, RESERVE) == StatusCode.OK
        assert await status_of(hostile, connect_to(hostile.peer_id)) == StatusCode.PERMISSION_DENIED
        assert relay.counters["circuits"] == 0


async def test_a_reservation_ends_with_its_connection() -> None:
    async with relay_node() as relay, attacker(relay) as hostile:
        async with hidden(relay) as node:
            assert relay.relay is not None and relay.relay.holds(node.peer_id)
        await until(lambda: node.peer_id not in connected(relay))
        await until(lambda: relay.relay is not None and not relay.relay.holds(node.peer_id))
        assert await status_of(hostile, connect_to(node.peer_id)) == StatusCode.NO_RESERVATION


async def test_a_flood_of_requests_to_a_relay_is_limited_and_the_flooder_pays() -> None:
    limits = relaying(requests=Rate(per_second=0.01, burst=10))
    async with relay_node(limits) as relay, hidden(relay) as node, attacker(relay) as hostile:
        answers = [await status_of(hostile, RESERVE) for _ in range(6)]
        answers += [await status_of(hostile, connect_to(fresh().peer_id)) for _ in range(6)]
        assert answers[:10] == [StatusCode.OK] * 6 + [StatusCode.NO_RESERVATION] * 4
        assert answers[10:] == [StatusCode.RESOURCE_LIMIT_EXCEEDED] * 2
        assert score(relay, hostile.peer_id) < 0
        async with transport(listen=None) as client:
            await answered(client, by(relay, node.peer_id))


async def test_one_subnet_cannot_take_every_reservation() -> None:
    limits = replace(relaying(reservations_per_subnet=2, reservations=3), exempt_networks=())
    async with relay_node(limits) as relay, AsyncExitStack() as stack:
        hostile = [await stack.enter_async_context(attacker(relay)) for _ in range(3)]
        answers = [await status_of(one, RESERVE) for one in hostile]
        assert answers == [StatusCode.OK, StatusCode.OK, StatusCode.RESERVATION_REFUSED]
        assert await status_of(hostile[0], RESERVE) == StatusCode.OK  # a renewal takes no place
        with dialling_from("127.0.9.1"):
            elsewhere = await stack.enter_async_context(attacker(relay))
            assert await status_of(elsewhere, RESERVE) == StatusCode.OK
        with dialling_from("127.0.8.1"):
            late = await stack.enter_async_context(attacker(relay))
            assert await status_of(late, RESERVE) == StatusCode.RESERVATION_REFUSED  # three in all


@pytest.mark.parametrize("bound", ["circuits", "circuits_per_peer", "circuits_per_reservation", "circuits_per_subnet"])
async def test_circuits_are_bounded_in_all_by_peer_by_target_and_by_subnet(bound: str) -> None:
    limits = replace(relaying(**{bound: 1}), exempt_networks=())
    async with relay_node(limits) as relay, hidden(relay) as node, attacker(relay) as hostile:
        first = await hostile.stream(HOP)
        assert int((await said(first, connect_to(node.peer_id))).status) == StatusCode.OK
        assert await status_of(hostile, connect_to(node.peer_id)) == StatusCode.RESOURCE_LIMIT_EXCEEDED
        await reset_quietly(first)
        assert relay.relay is not None
        await until(lambda: relay.relay is not None and relay.relay.circuits == 0)
        assert await status_of(hostile, connect_to(node.peer_id)) == StatusCode.OK


async def test_no_circuit_is_made_over_a_circuit() -> None:
    async with AsyncExitStack() as stack:
        relay = await stack.enter_async_context(relay_node())
        relays = [relay.addresses[0]]
        inner = await stack.enter_async_context(transport(listen=None, relays=relays, serves_as_relay=True))
        await until(lambda: inner.reservations.addresses)
        async with transport(listen=None) as client:
            await reach(client, by(relay, inner.peer_id))
            for words in (RESERVE, connect_to(fresh().peer_id)):
                answer = await said(await client.open_raw(inner.peer_id, HOP), words)
                assert int(answer.status) == StatusCode.PERMISSION_DENIED
            nested = f"{by(relay, inner.peer_id)}/p2p-circuit/p2p/{fresh().peer_id}"
            with pytest.raises(NetworkError):
                await reach(client, nested)


@pytest.mark.parametrize("limits", [{"circuit_bytes": 200_000}, {"circuit_seconds": 5.0}, {"idle_seconds": 3.0}])
async def test_a_circuit_ends_when_it_had_its_share_and_a_new_one_may_be_made(limits: dict[str, float]) -> None:
    quiet = replace(RELAYED, ping_interval=600.0)
    chosen = replace(quiet, relay=replace(RelayLimits(), **limits))  # type: ignore[arg-type]
    async with relay_node(chosen) as relay, hidden(relay, limits=quiet) as node:
        async with transport(listen=None, limits=quiet) as client:
            address = by(relay, node.peer_id)
            await answered(client, address)
            if "circuit_bytes" in limits:
                with pytest.raises(NetworkError), trio.fail_after(HANG_GUARD):
                    while True:
                        await client.request(address, ECHO, b"x" * 1000, 2000, timeout=5)
            await until(lambda: relay.relay is not None and relay.relay.circuits == 0)
            await until(lambda: node.peer_id not in connected(client) and client.peer_id not in connected(node))
            await answered(client, address)


async def test_all_circuits_share_one_bandwidth() -> None:
    rate, burst = 2**13, 2**10
    async with relay_node(relaying(bandwidth=Rate(per_second=rate, burst=burst))) as relay, hidden(relay) as node:
        node.add_handler("/test/1/take", echo, max_request=2**11)
        began = trio.current_time()

        async def ask(client: Transport) -> None:
            while relay.counters["relayed_bytes"] < 4 * rate:
                with suppress(NetworkError):
                    await client.request(by(relay, node.peer_id), "/test/1/take", bytes(2**11), 2**12, HANG_GUARD)

        async with transport(listen=None) as one, transport(listen=None) as two:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, one)
                nursery.start_soon(ask, two)
            assert relay.counters["relayed_bytes"] <= burst + rate * (trio.current_time() - began)


async def test_a_target_that_answers_a_relay_with_garbage_pays_itself() -> None:
    async with relay_node(EAGER) as relay, attacker(relay) as target, transport(listen=None) as client:

        async def garbage(stream: INetStream) -> None:
            await stream.write(b"\xff" * 64)

        target.host.set_stream_handler(STOP, garbage)  # type: ignore[arg-type]
        assert await status_of(target, RESERVE) == StatusCode.OK
        with pytest.raises(PeerRefusedError):
            await reach(client, by(relay, target.peer_id))
        assert score(relay, target.peer_id) < 0 <= score(relay, client.peer_id)
        await until(lambda: relay.relay is not None and relay.relay.circuits == 0)


async def test_a_target_that_stays_silent_costs_its_caller_a_moment() -> None:
    async with relay_node(EAGER) as relay, attacker(relay) as target, transport(listen=None) as client:

        async def quiet(stream: INetStream) -> None:
            await trio.sleep_forever()

        target.host.set_stream_handler(STOP, quiet)  # type: ignore[arg-type]
        assert await status_of(target, RESERVE) == StatusCode.OK
        with pytest.raises(PeerRefusedError):
            await reach(client, by(relay, target.peer_id))
        await until(lambda: relay.relay is not None and relay.relay.circuits == 0)


async def test_who_stalls_a_circuit_stalls_no_other() -> None:
    async with relay_node() as relay, hidden(relay) as node, attacker(relay) as hostile:
        for _ in range(3):
            stream = await hostile.stream(HOP)
            answer = await said(stream, connect_to(node.peer_id))
            assert int(answer.status) == StatusCode.OK
            await stream.write(framed(StopMessage()))  # and nothing more: no handshake
        async with transport(listen=None) as client:
            await answered(client, by(relay, node.peer_id))
