# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers as OS processes that are killed and stopped: noticed, redialled, and never in the way of a stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from libp2p.network.connection.exceptions import RawConnError
from libp2p.stream_muxer.exceptions import MuxedStreamError
from net_peers import ECHO, HANG_GUARD, QUICK, Inbox, accept, connected, transport, until
from net_relays import answered

from node.net import Limits, Transport
from node.net.hardening import SafeYamux
from node.net.identity import load_or_create

IMPATIENT = replace(QUICK, ping_interval=0.2, ping_timeout=1.0)
ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def peer_process(folder: Path, port: str = "0") -> Iterator[subprocess.Popen[bytes]]:
    (folder / "address").unlink(missing_ok=True)
    command = [sys.executable, "-m", "net_process", str(folder), str(folder / "address"), port]
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    process = subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": path})
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def address_in(folder: Path) -> str:
    await until((folder / "address").exists)
    return (folder / "address").read_text().strip()


async def test_a_killed_peer_is_noticed_and_found_again(tmp_path: Path) -> None:
    peer = load_or_create(tmp_path).peer_id
    inbox = Inbox()
    with peer_process(tmp_path) as first:
        address = await address_in(tmp_path)
        assert address.endswith(peer)
        async with transport(address) as node:
            await node.subscribe("heard", accept, inbox)
            assert await node.request(address, ECHO, b"1", 100) == b"echo 1"
            await say_until_heard(node, inbox, b"before")
            first.send_signal(signal.SIGKILL)
            await until(lambda: peer not in connected(node))
            with peer_process(tmp_path, address.split("/")[4]):
                await until(lambda: peer in connected(node))
                assert await node.request(peer, ECHO, b"2", 100) == b"echo 2"
                await say_until_heard(node, inbox, b"after")


async def test_a_relay_that_is_stopped_or_killed_is_given_up_and_found_again(tmp_path: Path) -> None:
    with peer_process(tmp_path) as first:
        relay = await address_in(tmp_path)
        async with (
            transport(listen=None, limits=IMPATIENT, relays=[relay]) as node,
            transport(listen=None, limits=IMPATIENT) as client,
        ):
            hidden, reachable = (f"/p2p/{node.peer_id}",), (f"{relay}/p2p-circuit/p2p/{node.peer_id}",)
            await until(lambda: node.addresses == reachable)
            await answered(client, reachable[0])
            first.send_signal(signal.SIGSTOP)
            await until(lambda: node.addresses == hidden)
            first.send_signal(signal.SIGCONT)
            await until(lambda: node.addresses == reachable)
            first.send_signal(signal.SIGKILL)
            await until(lambda: node.addresses == hidden and not connected(client))
            with peer_process(tmp_path, relay.split("/")[4]):
                await until(lambda: node.addresses == reachable)
                await answered(client, reachable[0])
            assert node.counters["host_restarts"] == client.counters["host_restarts"] == 0


async def say_until_heard(node: Transport, inbox: Inbox, text: bytes) -> None:
    """Gossip needs a moment to know its neighbours; what counts is that it then works."""
    with trio.fail_after(HANG_GUARD):
        for number in range(1000):
            await node.publish("said", b"%s %d" % (text, number))
            await trio.sleep(0.1)
            if any(message.startswith(text) for message in inbox.messages):
                return


async def test_a_stopped_peer_is_noticed_by_its_silence(tmp_path: Path) -> None:
    with peer_process(tmp_path) as process:
        address = await address_in(tmp_path)
        async with transport(address, limits=IMPATIENT) as node:
            await until(lambda: connected(node))
            process.send_signal(signal.SIGSTOP)
            await until(lambda: not connected(node))
            process.send_signal(signal.SIGCONT)
            await until(lambda: connected(node))
            await until(lambda: node.peers()[0].round_trip is not None)


async def test_a_stop_is_not_held_up_by_a_peer_that_takes_no_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writes are shielded from cancellation; a stop must shorten their deadline."""
    monkeypatch.setattr(SafeYamux, "write_deadline", 2 * HANG_GUARD)

    quiet = Limits(ping_interval=HANG_GUARD)  # or the ping would hang up before the stop does
    with peer_process(tmp_path) as process, trio.fail_after(HANG_GUARD):
        address = await address_in(tmp_path)
        async with trio.open_nursery() as nursery, transport(address, limits=quiet) as node:
            await until(lambda: connected(node))
            live = node._live
            assert live is not None
            muxer = next(iter(live.muxers))
            process.send_signal(signal.SIGSTOP)
            for _ in range(60):
                nursery.start_soon(write_much, muxer)
            await trio.sleep(0.5)
            assert muxer._writing is not None


async def write_much(muxer: SafeYamux) -> None:
    with suppress(RawConnError, MuxedStreamError):
        stream = await muxer.open_stream()
        await stream.write(b"x" * 2**18)
