# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests, their errors, restarts and shutdown, between real hosts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import trio
from net_peers import ECHO, HANG_GUARD, LOOPBACK, QUICK, connected, echo, transport, until

from node.net import Limits, Transport
from node.net.channel import Channel
from node.net.identity import fresh
from protocol.errors import (
    AddressError,
    ListenError,
    Misbehaviour,
    NetworkError,
    NotCanonicalError,
    PeerBannedError,
    PeerRefusedError,
    PeerTimeoutError,
    PeerUnreachableError,
    ResponseTooLargeError,
)


async def test_a_request_is_answered_by_address_and_then_by_id() -> None:
    async with transport() as server, transport() as client:
        assert await client.request(server.addresses[0], ECHO, b"1", 100) == b"echo 1"
        assert await client.request(server.peer_id, ECHO, b"2", 100) == b"echo 2"
        assert await server.request(client.peer_id, ECHO, b"3", 100) == b"echo 3"


async def test_many_requests_at_once_are_all_answered() -> None:
    async with transport() as server, transport() as client:
        answers: list[bytes] = []

        async def ask(number: int) -> None:
            answers.append(await client.request(server.addresses[0], ECHO, b"%d" % number, 100, HANG_GUARD))

        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(ask, number)
        assert sorted(answers) == sorted(b"echo %d" % number for number in range(100))


async def test_errors_are_typed() -> None:
    async with transport() as server, transport() as client:
        address = server.addresses[0]

        async def sleeper(peer: str, payload: bytes) -> bytes:
            await trio.sleep(HANG_GUARD)
            return b""

        server.add_handler("/test/1/sleep", sleeper, max_request=10, timeout=HANG_GUARD)
        with pytest.raises(PeerTimeoutError):
            await client.request(address, "/test/1/sleep", b"", 10, timeout=0.5)
        with pytest.raises(PeerRefusedError):
            await client.request(address, "/test/1/unknown", b"", 10)
        with pytest.raises(PeerRefusedError):
            await client.request(address, ECHO, b"x" * 1001, 2000)
        with pytest.raises(ResponseTooLargeError):
            await client.request(address, ECHO, b"x" * 100, 50)
        with pytest.raises(AddressError):
            await client.request("/ip4/127.0.0.1/tcp/1", ECHO, b"", 10)
        with pytest.raises(AddressError):
            await client.request("no such id!", ECHO, b"", 10)
        with pytest.raises(AddressError):
            await client.request(client.addresses[0], ECHO, b"", 10)
        with pytest.raises(PeerUnreachableError):
            await client.request(fresh().peer_id, ECHO, b"", 10)
        with pytest.raises(PeerUnreachableError):
            await client.request(f"/ip4/127.0.0.1/tcp/1/p2p/{fresh().peer_id}", ECHO, b"", 10)
        assert await client.request(address, ECHO, b"still", 100) == b"echo still"


async def test_an_address_with_anothers_id_is_refused() -> None:
    async with transport() as server, transport() as client:
        wrong = server.addresses[0].rsplit("/", 1)[0] + "/" + fresh().peer_id
        with pytest.raises(PeerUnreachableError):
            await client.request(wrong, ECHO, b"", 10)


async def test_a_node_that_listens_on_nothing_is_reached_over_the_connection_that_it_opened() -> None:
    async with transport() as server:
        hidden = Transport(fresh(), [], [server.addresses[0]], "test", limits=QUICK)
        hidden.add_handler(ECHO, echo, max_request=1000)
        async with hidden.running():
            assert hidden.addresses == (f"/p2p/{hidden.peer_id}",)
            await until(lambda: hidden.peer_id in connected(server))
            assert await server.request(hidden.addresses[0], ECHO, b"you", 100) == b"echo you"
        with pytest.raises(PeerUnreachableError):
            await server.request(f"/p2p/{fresh().peer_id}", ECHO, b"nobody", 100)


async def test_networks_with_another_tag_share_no_protocol() -> None:
    async with transport() as server, transport(network_tag="other") as stranger:
        with pytest.raises(PeerRefusedError):
            await stranger.request(server.addresses[0], ECHO, b"", 100)


async def test_our_bug_is_a_reset_without_blame_and_theirs_costs_score() -> None:
    async with transport() as server, transport() as client:
        raised: list[Exception] = []

        async def failing(peer: str, payload: bytes) -> bytes:
            raise raised[-1]

        server.add_handler("/test/1/fail", failing, max_request=10)

        async def score_after(error: Exception) -> float:
            raised.append(error)
            with pytest.raises(PeerRefusedError):
                await client.request(server.addresses[0], "/test/1/fail", b"", 10)
            return next(s.score for s in server.peers() if s.peer == client.peer_id)

        assert await score_after(KeyError("ours")) == 0
        assert await score_after(NotCanonicalError("theirs")) <= -9
        assert await score_after(Misbehaviour("theirs", weight=50)) <= -58
        await score_after(Misbehaviour("theirs", weight=50))
        await until(lambda: client.peer_id not in connected(server))
        with pytest.raises(NetworkError):
            await client.request(server.addresses[0], ECHO, b"", 100, timeout=3)
        with pytest.raises(PeerBannedError):
            await server.request(client.peer_id, ECHO, b"", 100)


async def test_a_stream_carries_many_large_frames_both_ways() -> None:
    async with transport() as server, transport() as client:

        async def double(channel: Channel) -> None:
            for _ in range(4):
                data = await channel.receive(2**20)
                await channel.send(data + data)

        server.add_stream_handler("/test/1/double", double)
        async with client.open_channel(server.addresses[0], "/test/1/double") as channel:
            for number in range(4):
                await channel.send(bytes([number]) * 2**20)
                assert await channel.receive(2**21) == bytes([number]) * 2**21


async def test_a_dead_host_is_restarted_with_its_id_port_handlers_and_peers() -> None:
    async with transport() as server, transport(server.addresses[0]) as client:
        await until(lambda: server.peer_id in connected(client))
        address = server.addresses[0]

        async def die() -> None:
            raise RuntimeError("whatever the library raises")

        live = server._live
        assert live is not None
        live.host.swarm.manager.run_task(die)
        await until(lambda: server.counters["host_restarts"] == 1 and server._live not in (None, live))
        assert server.addresses[0] == address
        await until(lambda: server.peer_id in connected(client) and client.peer_id in connected(server))
        assert await client.request(server.peer_id, ECHO, b"again", 100) == b"echo again"
        for _ in range(4):  # a listener left behind would take a share of those who come
            async with transport() as newcomer:
                assert await newcomer.request(address, ECHO, b"new", 100) == b"echo new"


async def test_a_call_under_way_when_the_host_dies_gets_an_error() -> None:
    async with transport() as server, transport() as client:
        entered = trio.Event()

        async def sleeper(peer: str, payload: bytes) -> bytes:
            entered.set()
            await trio.sleep(HANG_GUARD)
            return b""

        server.add_handler("/test/1/sleep", sleeper, max_request=10, timeout=HANG_GUARD)

        async def die() -> None:
            raise RuntimeError

        async def kill() -> None:
            await entered.wait()
            assert client._live is not None
            client._live.host.swarm.manager.run_task(die)

        with trio.fail_after(HANG_GUARD / 2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(kill)
                with pytest.raises((PeerUnreachableError, PeerRefusedError)):
                    await client.request(server.addresses[0], "/test/1/sleep", b"", 10, HANG_GUARD)


async def test_a_port_in_use_is_one_clear_error() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"/ip4/127.0.0.1/tcp/{other.getsockname()[1]}"
        with trio.fail_after(HANG_GUARD), pytest.raises(ListenError, match="in use"):
            await Transport(fresh(), [address]).run()


async def test_two_nodes_never_share_a_port_in_silence() -> None:
    async with transport() as first:
        with trio.fail_after(HANG_GUARD), pytest.raises(ListenError, match="in use"):
            await Transport(fresh(), [first.addresses[0].rsplit("/p2p/", 1)[0]]).run()


@pytest.mark.parametrize(
    "address", ["/ip4/192.0.2.1/tcp/0", "/ip4/127.0.0.1/udp/1", "nonsense", "/ip4/127.0.0.1"]
)
async def test_an_unusable_listen_address_is_one_clear_error(address: str) -> None:
    with trio.fail_after(HANG_GUARD), pytest.raises((ListenError, AddressError)):
        await Transport(fresh(), [address]).run()


async def test_a_wildcard_is_told_to_others_as_addresses_that_can_be_dialled() -> None:
    async with transport(listen="/ip4/0.0.0.0/tcp/0") as server, transport() as client:
        assert server.addresses and not any("/0.0.0.0/" in address for address in server.addresses)
        assert await client.request(server.addresses[0], ECHO, b"1", 100) == b"echo 1"


async def test_what_refused_requests_sent_is_not_kept() -> None:
    async with transport(limits=Limits(ban_score=-1e9)) as server, transport() as client:
        await client.connect(server.addresses[0])
        for _ in range(20):
            with pytest.raises(PeerRefusedError):
                await client.request(server.peer_id, ECHO, b"x" * 200_000, 100)
        assert server._live is not None
        (muxer,) = server._live.muxers
        await until(lambda: sum(len(buffer) for buffer in muxer.stream_buffers.values()) == 0)


async def test_the_real_port_is_written_where_others_find_it(tmp_path: Path) -> None:
    path = tmp_path / "addresses"
    node = Transport(fresh(), [LOOPBACK], address_file=path, limits=QUICK)
    async with node.running():
        assert path.read_text().split() == list(node.addresses)
        assert "/tcp/0/" not in node.addresses[0]


async def test_a_file_of_addresses_that_cannot_be_written_leaves_the_node_up(tmp_path: Path) -> None:
    path = tmp_path / "addresses"
    path.mkdir()  # as good as a full disk
    node = Transport(fresh(), [LOOPBACK], network_tag="test", address_file=path, limits=QUICK)
    node.add_handler(ECHO, echo, max_request=1000, timeout=2.0)
    async with node.running(), transport() as client:
        assert await client.request(node.addresses[0], ECHO, b"x", 100, HANG_GUARD) == b"echo x"
    assert [left.name for left in tmp_path.iterdir()] == ["addresses"]


async def test_requests_to_a_peer_that_is_not_connected_yet_dial_it_once() -> None:
    async with transport() as server, transport() as client:
        answers: list[bytes] = []

        async def ask(number: int) -> None:
            answers.append(await client.request(server.addresses[0], ECHO, b"%d" % number, 100, HANG_GUARD))

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(ask, number)
        assert len(answers) == 20 and server.door.seated == 1
        assert server.door.counters["handshake_failed"] == 0
