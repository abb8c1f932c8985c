# SPDX-License-Identifier: GPL-3.0-or-later
"""Real transports on loopback for tests, and a raw libp2p peer that can say anything after its handshake."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Any

import multiaddr  # type: ignore[import-untyped]
import trio
from libp2p.abc import INetStream
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr

from node.net import Limits, NetworkIdentity, Transport, Verdict
from node.net.hardening import StreamGate
from node.net.host import build
from node.net.identity import fresh

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
HANG_GUARD = 120.0
ECHO = "/test/1/echo"

QUICK = Limits(
    redial_first=0.1,
    redial_longest=0.5,
    ping_interval=0.5,
    ping_timeout=8.0,  # or hosts that share a busy machine with the test would be taken for dead
    restart_first=0.05,
    dial_timeout=60.0,
    relay_timeout=60.0,
)


async def echo(peer: str, payload: bytes) -> bytes:
    return b"echo " + payload


def accept(data: bytes, peer: str) -> Verdict:
    return Verdict.ACCEPT


class Inbox:
    """A sink that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []

    async def __call__(self, data: bytes, peer: str) -> None:
        self.messages.append(data)


@asynccontextmanager
async def transport(
    *bootstrap: str,
    listen: str | None = LOOPBACK,
    limits: Limits = QUICK,
    identity: NetworkIdentity | None = None,
    network_tag: str = "test",
    relays: Sequence[str] = (),
    serves_as_relay: bool = False,
) -> AsyncIterator[Transport]:
    """A running transport that echoes; with `listen=None` nobody can dial it."""
    made = Transport(
        identity or fresh(),
        [listen] if listen is not None else [],
        bootstrap,
        network_tag,
        limits=limits,
        relays=relays,
        serves_as_relay=serves_as_relay,
    )
    made.add_handler(ECHO, echo, max_request=1000, timeout=2.0)
    async with made.running():
        yield made


@asynccontextmanager
async def star(count: int, limits: Limits = QUICK) -> AsyncIterator[list[Transport]]:
    """`count` transports; all but the first have the first as bootstrap peer."""
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(transport(limits=limits))]
        for _ in range(count - 1):
            nodes.append(await stack.enter_async_context(transport(nodes[0].addresses[0], limits=limits)))
        yield nodes


async def until(condition: Callable[[], Any]) -> None:
    """Wait until `condition()` holds; a hang guard, not a timing claim."""
    with trio.fail_after(HANG_GUARD):
        while not condition():
            await trio.sleep(0.02)


def connected(node: Transport) -> set[str]:
    return {snapshot.peer for snapshot in node.peers() if snapshot.connected}


class Open(StreamGate):
    """Admits everything."""

    def admit_stream(self, peer: str) -> bool:
        return True

    def release_stream(self, peer: str) -> None:
        return

    def stream_fault(self, peer: str, error: Exception) -> None:
        return


class Attacker:
    """A peer with a valid key that is connected to one victim."""

    def __init__(self, host: BasicHost, victim: Transport) -> None:
        self.host = host
        self.victim_id = ID.from_base58(victim.peer_id)
        self._info = info_from_p2p_addr(multiaddr.Multiaddr(victim.addresses[0]))
        self.address = self._info.addrs[0]

    @property
    def peer_id(self) -> str:
        return str(self.host.get_id())

    async def connect(self) -> None:
        await self.host.connect(self._info)

    async def raw_stream(self) -> INetStream:
        """A stream on which no protocol was negotiated yet."""
        return await self.host.get_network().new_stream(self.victim_id)

    async def stream(self, protocol: str) -> INetStream:
        return await self.host.new_stream(self.victim_id, [protocol])  # type: ignore[list-item]


@asynccontextmanager
async def attacker(victim: Transport) -> AsyncIterator[Attacker]:
    """A connected attacker."""
    host = build(fresh(), QUICK, Open()).libp2p
    async with host.run([]):
        hostile = Attacker(host, victim)
        await hostile.connect()
        yield hostile
        await host.disconnect(hostile.victim_id)


@contextmanager
def dialling_from(host: str) -> Iterator[None]:
    """Within the block this process dials from another address of this machine, as from another subnet."""
    original = trio.open_tcp_stream
    patched: Any = trio
    patched.open_tcp_stream = partial(original, local_address=host)
    try:
        yield
    finally:
        patched.open_tcp_stream = original


async def still_serves(victim: Transport) -> None:
    """A newcomer gets an answer, and the host is the one that was started first."""
    with trio.fail_after(HANG_GUARD):
        async with transport() as newcomer:
            assert await newcomer.request(victim.addresses[0], ECHO, b"alive?", 100) == b"echo alive?"
    assert victim.counters["host_restarts"] == 0
