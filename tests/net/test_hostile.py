# SPDX-License-Identifier: GPL-3.0-or-later
"""What a hostile peer can send after (and before) a handshake: the node goes on and serves others.

Each of the attacks on streams ends an unwrapped py-libp2p 0.8.1 host, or fills its memory.
"""

from __future__ import annotations

import os
from dataclasses import replace

import multiaddr  # type: ignore[import-untyped]
import pytest
import trio
from libp2p import new_host
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.pb import rpc_pb2
from libp2p.security.insecure.transport import PLAINTEXT_PROTOCOL_ID, InsecureTransport
from libp2p.utils.varint import encode_uvarint
from net_peers import (
    ECHO,
    HANG_GUARD,
    QUICK,
    Attacker,
    Inbox,
    accept,
    attacker,
    connected,
    echo,
    still_serves,
    transport,
    until,
)

from node.net import Limits, Transport, Verdict
from node.net.hardening import SafeYamux
from node.net.limits import Rate

GOSSIP = "/meshsub/1.1.0"
MULTISTREAM = b"\x13/multistream/1.0.0\n"
TOPIC = "orders"


def score(node: Transport, peer: str) -> float:
    return next((snapshot.score for snapshot in node.peers() if snapshot.peer == peer), 0.0)


async def delimited(hostile: Attacker, payload: bytes) -> None:
    stream = await hostile.stream(GOSSIP)
    await stream.write(encode_uvarint(len(payload)) + payload)


def gossip(node: Transport, data: bytes = b"data", **fields: bytes) -> bytes:
    """An RPC that publishes one message on the test topic."""
    rpc = rpc_pb2.RPC()
    message = rpc.publish.add()
    message.data = data
    message.topicIDs.append(node._topic(TOPIC))
    message.seqno = os.urandom(8)
    for name, value in fields.items():
        setattr(message, name, value)
    return bytes(rpc.SerializeToString())


async def test_a_protocol_name_that_is_not_utf8() -> None:
    async with transport() as victim:
        async with attacker(victim) as hostile:
            stream = await hostile.raw_stream()
            await stream.write(MULTISTREAM + b"\x04\xff\xfe\xfd\n")
            await until(lambda: score(victim, hostile.peer_id) < 0)
        await still_serves(victim)


async def test_a_gossip_frame_that_is_not_protobuf() -> None:
    async with transport() as victim:
        async with attacker(victim) as hostile:
            await delimited(hostile, b"\xff" * 40)
            await until(lambda: score(victim, hostile.peer_id) < 0)
        await still_serves(victim)


@pytest.mark.parametrize(
    "fields",
    [
        {"from_id": b"\x12\x20" + b"\1" * 32, "key": b"\xff" * 30, "signature": b"\1" * 64},
        {"from_id": b"", "key": b"", "signature": b""},
        {"from_id": b"\xff\xff", "key": b"x", "signature": b"y"},
    ],
)
async def test_a_gossip_message_with_an_unusable_key(fields: dict[str, bytes]) -> None:
    async with transport() as victim:
        inbox = Inbox()
        await victim.subscribe(TOPIC, accept, inbox)
        async with attacker(victim) as hostile:
            await delimited(hostile, gossip(victim, **fields))
            await until(lambda: score(victim, hostile.peer_id) < 0)
        await still_serves(victim)
        assert inbox.messages == []


async def test_gossip_that_was_signed_by_another_key_reaches_nobody() -> None:
    async with transport() as victim, transport() as other:
        inbox = Inbox()
        await victim.subscribe(TOPIC, accept, inbox)
        async with attacker(victim) as hostile:
            signature = hostile.host.get_private_key().sign(b"something else")
            forged = gossip(victim, from_id=other.identity.peer_id.encode(), signature=signature)
            await delimited(hostile, forged)
            await until(lambda: score(victim, hostile.peer_id) < 0)
        assert inbox.messages == []


async def test_repeated_garbage_ends_in_a_ban() -> None:
    async with transport() as victim, attacker(victim) as hostile:
        for number in range(1, 6):  # four, and what is forgiven meanwhile
            stream = await hostile.raw_stream()
            await stream.write(MULTISTREAM + b"\x04\xff\xfe\xfd\n")
            await until(lambda number=number: victim.counters["stream_faults"] >= number)  # type: ignore[misc]
        await until(lambda: hostile.peer_id not in connected(victim))
        assert next(snapshot.banned for snapshot in victim.peers() if snapshot.peer == hostile.peer_id)
        await still_serves(victim)


async def test_a_banned_peer_that_comes_back_is_turned_away() -> None:
    async with transport() as victim, attacker(victim) as hostile:
        victim.penalise(hostile.peer_id, "test", 1000)
        await until(lambda: hostile.peer_id not in connected(victim))
        await until(lambda: not hostile.host.get_network().get_connections(hostile.victim_id))
        try:
            await hostile.connect()
        except Exception:
            return  # refused at once
        await until(lambda: not hostile.host.get_network().get_connections(hostile.victim_id))


@pytest.mark.parametrize(
    ("wire", "weight"),
    [
        (b"\xff\xff\xff\xff", 25),
        (b"\x00\x00\x03\xe9", 25),
        (b"\x00\x00\x00\x09half", 1),
    ],
)
async def test_oversize_and_half_frames_cost_score(wire: bytes, weight: float) -> None:
    async with transport() as victim, attacker(victim) as hostile:
        stream = await hostile.stream(victim._protocol(ECHO))
        await stream.write(wire)
        await stream.close()
        await until(lambda: score(victim, hostile.peer_id) <= -weight * 0.9)
        await still_serves(victim)


async def test_a_slow_trickle_is_cut_off() -> None:
    async with transport() as victim, attacker(victim) as hostile:
        victim.add_handler("/test/1/brief", echo, max_request=1000, timeout=0.5)
        stream = await hostile.stream(victim._protocol("/test/1/brief"))
        await stream.write(b"\0\0\0\xff")
        with trio.fail_after(HANG_GUARD):
            while score(victim, hostile.peer_id) == 0:
                try:
                    await stream.write(b"x")
                except Exception:
                    break
                await trio.sleep(0.05)
        await until(lambda: score(victim, hostile.peer_id) < 0)
        await still_serves(victim)


async def test_more_streams_than_allowed_are_reset() -> None:
    limits = Limits(inbound_streams_per_peer=8, ban_score=-1e9)
    async with transport(limits=limits) as victim, attacker(victim) as hostile:
        for _ in range(40):
            await hostile.raw_stream()
        await until(lambda: victim.counters["streams_refused"] >= 20)
        assert victim.standings.of(hostile.peer_id).open_streams <= 8
        await still_serves(victim)


async def test_data_that_nobody_reads_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attacker ignores its window, which the library does not enforce."""
    monkeypatch.setattr(SafeYamux, "unread_cap", 2**20)
    async with transport() as victim, attacker(victim) as hostile:
        stream = await hostile.raw_stream()
        muxer = stream.muxed_conn
        assert isinstance(muxer, SafeYamux)
        number = stream.muxed_stream.stream_id  # type: ignore[attr-defined]
        frame = b"\0\0\0\0" + number.to_bytes(4, "big") + (65536).to_bytes(4, "big") + b"x" * 65536
        with trio.fail_after(HANG_GUARD):
            while hostile.peer_id in connected(victim):
                try:
                    await muxer._write_frame(frame)
                except Exception:
                    break
                await trio.sleep(0.001)
        await until(lambda: hostile.peer_id not in connected(victim))
        await still_serves(victim)


async def test_a_flood_of_requests_is_limited_and_the_flooder_pays() -> None:
    limits = replace(QUICK, requests=Rate(per_second=0.01, burst=5), ping_interval=HANG_GUARD)
    async with transport(limits=limits) as victim, transport(victim.addresses[0], limits=limits) as flooder:
        served = 0

        async def count(peer: str, payload: bytes) -> bytes:
            nonlocal served
            served += 1
            return b""

        victim.add_handler("/test/1/count", count, max_request=10)
        await until(lambda: flooder.peer_id in connected(victim))

        async def ask() -> None:
            try:
                await flooder.request(victim.addresses[0], "/test/1/count", b"", 10)
            except Exception:
                return

        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(ask)
        assert served == 5 and victim.counters["penalties"] == 55
        await still_serves(victim)


async def test_a_flood_of_gossip_is_limited() -> None:
    limits = replace(QUICK, gossip=Rate(per_second=0.01, burst=3))
    async with transport(limits=limits) as victim, transport(victim.addresses[0]) as flooder:
        inbox = Inbox()
        await victim.subscribe(TOPIC, accept, inbox)
        await flooder.subscribe(TOPIC, accept, Inbox())
        await until(lambda: flooder._live and flooder._live.pubsub.peer_topics)
        for number in range(40):
            await flooder.publish(TOPIC, b"%d" % number)
            await trio.sleep(0.001)
        await until(lambda: victim.gate.counters["over_rate"] > 0)
        assert len(inbox.messages) <= 3
        await still_serves(victim)


async def test_a_refused_gossip_message_costs_its_forwarder_score() -> None:
    async with transport() as victim, transport(victim.addresses[0]) as sender:

        def refuse(data: bytes, peer: str) -> Verdict:
            assert peer == sender.peer_id
            return Verdict.REJECT

        await victim.subscribe(TOPIC, refuse, Inbox())
        await until(lambda: sender._live and sender._live.pubsub.peer_topics)
        await sender.publish(TOPIC, b"nonsense")
        await until(lambda: score(victim, sender.peer_id) <= -9)


async def test_plaintext_is_not_spoken() -> None:
    """With the library's defaults this peer would be taken for whomever it names."""
    async with transport() as victim:
        keys = create_new_key_pair()
        host = new_host(key_pair=keys, sec_opt={PLAINTEXT_PROTOCOL_ID: InsecureTransport(keys)})
        async with host.run([]):
            with trio.fail_after(HANG_GUARD), pytest.raises(Exception, match=r".*"):
                await host.connect(info_from_p2p_addr(multiaddr.Multiaddr(victim.addresses[0])))
        assert connected(victim) == set()
        await still_serves(victim)


async def test_random_bytes_before_the_handshake() -> None:
    async with transport() as victim:
        port = int(victim.addresses[0].split("/")[4])
        for payload in [
            os.urandom(1000),
            b"GET / HTTP/1.1\r\n\r\n",
            b"\xff" * 20,
            b"",
            MULTISTREAM + b"\xff" * 64,
        ]:
            for _ in range(4):
                stream = await trio.open_tcp_stream("127.0.0.1", port)
                await stream.send_all(payload)
                await stream.aclose()
        idle = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(30)]
        await still_serves(victim)
        for stream in idle:
            await stream.aclose()


async def test_a_validator_or_sink_that_raises_is_our_fault_alone() -> None:
    async with transport(limits=QUICK) as victim, transport(victim.addresses[0]) as sender:
        inbox = Inbox()

        def broken(data: bytes, peer: str) -> Verdict:
            if data == b"breaks the validator":
                raise KeyError
            return Verdict.ACCEPT

        async def failing(data: bytes, peer: str) -> None:
            if data == b"breaks the sink":
                raise OSError
            await inbox(data, peer)

        await victim.subscribe(TOPIC, broken, failing)
        await until(lambda: sender._live and sender._live.pubsub.peer_topics)
        for data in [b"breaks the validator", b"breaks the sink", b"fine"]:
            await sender.publish(TOPIC, data)
        await until(lambda: inbox.messages == [b"fine"])
        assert score(victim, sender.peer_id) == 0
        await still_serves(victim)
