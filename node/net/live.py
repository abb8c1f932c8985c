# SPDX-License-Identifier: GPL-3.0-or-later
"""One life of the host: start it, keep its peers (dial, ping), and end it within a second or so."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, cast
from weakref import WeakSet

import multiaddr  # type: ignore[import-untyped]
import structlog
import trio
from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from libp2p.custom_types import TProtocol
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.peer.id import ID
from libp2p.rcmgr import Direction
from libp2p.tools.anyio_service import background_trio_service

from node.net.circuits import relay_under
from node.net.door import Door
from node.net.gossip import GossipGate
from node.net.hardening import SafePubsub, SafeYamux, StreamGate
from node.net.host import Host, build, pubsub_of
from node.net.identity import NetworkIdentity
from node.net.limits import Limits
from node.net.peerbook import PeerBook
from node.net.standing import Standings
from protocol.errors import (
    ListenError,
    NetworkError,
    PeerRefusedError,
    PeerTimeoutError,
    PeerUnreachableError,
)

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # its stubs hide trio's own types from mypy

log = structlog.get_logger("proofmesh.net")

PING = "/proofmesh/1/ping"
PING_BYTES = 8
DIAL_TICK = 0.25
HURRY = 0.3
HANG_UP_DEADLINE = 0.8


class Owner(Protocol):
    """What a host's life needs of the transport that owns it."""

    identity: NetworkIdentity
    limits: Limits
    book: PeerBook
    standings: Standings
    gate: GossipGate
    door: Door
    round_trips: dict[str, float]

    @property
    def listen_addresses(self) -> tuple[str, ...]: ...

    @property
    def stream_handlers(self) -> dict[str, Callable[[INetStream], Awaitable[None]]]: ...

    def came_up(self, live: LiveHost, listening: Sequence[str]) -> None: ...

    def went_down(self) -> None: ...

    async def redial(self, live: LiveHost, peer: str, address: str) -> None: ...

    async def request(
        self, peer: str, protocol: str, payload: bytes, max_response: int, timeout: float
    ) -> bytes: ...


@dataclass(frozen=True, eq=False)
class LiveHost:
    """A running host; `scopes` are the calls to cancel when it ends."""

    host: Host
    pubsub: SafePubsub
    nursery: trio.Nursery
    scopes: set[trio.CancelScope] = field(default_factory=set)
    muxers: WeakSet[SafeYamux] = field(default_factory=WeakSet)

    def connected(self) -> frozenset[str]:
        """The ids of the peers with an open connection."""
        connections = self.host.swarm.connections
        return frozenset(
            str(peer) for peer, conns in connections.items() if any(not c.is_closed for c in conns)
        )

    def dialled(self) -> frozenset[str]:
        """The ids of the connected peers that this node dialled."""
        connections = self.host.swarm.connections
        return frozenset(
            str(peer)
            for peer, conns in connections.items()
            if any(not c.is_closed and cast(SwarmConn, c).direction is Direction.OUTBOUND for c in conns)
        )

    def relay_of(self, peer: str) -> str | None:
        """The relay by which a connected peer is reached, None if it is connected directly or not at all."""
        open_ones = [c for c in self.host.swarm.get_connections(ID.from_base58(peer)) if not c.is_closed]
        relays = [relay_under(c.muxed_conn) for c in open_ones]
        return relays[0] if relays and None not in relays else None

    def hang_up_soon(self, peer: str) -> None:
        self.nursery.start_soon(self.hang_up, peer)

    async def hang_up(self, peer: str) -> None:
        """Close all connections to a peer, also if it takes no more bytes."""
        peer_id = ID.from_base58(peer)
        for connection in self.host.swarm.get_connections(peer_id):
            muxer = getattr(connection, "muxed_conn", None)
            if isinstance(muxer, SafeYamux):
                muxer.hurry(HURRY)
        deadline = trio.current_time() + HANG_UP_DEADLINE
        with trio.CancelScope(shield=True, deadline=deadline), contextlib.suppress(Exception):
            await self.host.libp2p.disconnect(peer_id)


async def run_host(owner: Owner, gate: StreamGate, task_status: TaskStatus[None]) -> None:
    """Run one host until it dies or the caller is cancelled.

    Raises:
        ListenError: an address could not be bound.
        ExceptionGroup: the host died.
    """
    host = build(owner.identity, owner.limits, gate, owner.door)
    pubsub = pubsub_of(host, owner.gate)
    owner.gate.forget_wire_id = pubsub.forget
    listen = [multiaddr.Multiaddr(address) for address in owner.listen_addresses]
    failure: ListenError | None = None
    try:
        # Gossip runs before the host listens: a gossip stream that comes earlier would end the host.
        async with background_trio_service(pubsub), background_trio_service(host.router):
            async with host.libp2p.run(listen):
                listening = [str(address) for address in host.libp2p.get_transport_addrs()]
                if len(host.swarm.listeners) < len(listen):
                    failure = ListenError(f"Cannot listen on {', '.join(owner.listen_addresses)}.")
                    raise failure
                await _live(owner, host, pubsub, listening, task_status)
    except BaseExceptionGroup as group:
        cancelled, _ = group.split(trio.Cancelled)
        if cancelled is not None:  # we are stopping: what else the library raised meanwhile says nothing
            raise cancelled from None
        if failure is not None:
            raise failure from None
        raise
    finally:
        await _let_go(host)


async def _let_go(host: Host) -> None:
    """Close what a host that ends leaves behind.

    By SO_REUSEPORT its listener would take a share of the next one's peers, and the peers at the other end of a
    connection would take it for alive until their pings fail.
    """
    deadline = trio.current_time() + HANG_UP_DEADLINE
    with trio.CancelScope(shield=True, deadline=deadline):
        for listener in list(host.swarm.listeners.values()):
            with contextlib.suppress(Exception):
                await listener.close()
        muxers = [cast(SafeYamux, one.muxed_conn) for several in host.swarm.connections.values() for one in several]
        for muxer in sorted(muxers, key=lambda muxer: relay_under(muxer) is not None):  # sockets first
            with contextlib.suppress(Exception):
                await muxer.secured_conn.close()


async def _live(
    owner: Owner, host: Host, pubsub: SafePubsub, listening: Sequence[str], task_status: TaskStatus[None]
) -> None:
    for protocol, handler in owner.stream_handlers.items():
        host.libp2p.set_stream_handler(TProtocol(protocol), handler)
    async with trio.open_nursery() as nursery:
        live = LiveHost(host, pubsub, nursery)
        host.swarm.register_notifee(_Watcher(owner, live))
        for topic in owner.gate.topics:
            await pubsub.subscribe(topic)
        try:
            owner.came_up(live, listening)
            nursery.start_soon(_keep_dialling, owner, live)
            nursery.start_soon(_keep_pinging, owner, live)
            with contextlib.suppress(RuntimeError):  # started() is for the first host only
                task_status.started()
            await pubsub.manager.wait_finished()
            raise NetworkError("The gossip service ended.")
        finally:
            owner.went_down()
            owner.door.close()
            for scope in tuple(live.scopes):
                scope.cancel()
            for muxer in live.muxers:  # the library closes the connections; no shielded write may hold it up
                muxer.hurry(HURRY)


async def _keep_dialling(owner: Owner, live: LiveHost) -> None:
    while True:
        now = trio.current_time()
        for contact in owner.book.due(now, live.connected(), live.dialled()):
            if not owner.standings.of(contact.peer).banned(now):
                owner.book.dialling(contact.peer)
                live.nursery.start_soon(owner.redial, live, contact.peer, contact.address)
        await trio.sleep(DIAL_TICK)


async def _keep_pinging(owner: Owner, live: LiveHost) -> None:
    """The library never notices a stopped peer: ping each, and hang up on those that stay silent."""
    failures: dict[str, int] = {}
    while True:
        await trio.sleep(owner.limits.ping_interval)
        connected = live.connected()
        failures = {peer: failures.get(peer, 0) for peer in connected}
        async with trio.open_nursery() as nursery:
            for peer in connected:
                nursery.start_soon(_ping, owner, live, peer, failures)


async def _ping(owner: Owner, live: LiveHost, peer: str, failures: dict[str, int]) -> None:
    began = trio.current_time()
    try:
        await owner.request(peer, PING, os.urandom(PING_BYTES), PING_BYTES, owner.limits.ping_timeout)
    except PeerRefusedError:
        failures[peer] = 0  # it lives, and speaks another protocol
    except (PeerTimeoutError, PeerUnreachableError):
        failures[peer] += 1
        if failures[peer] >= owner.limits.ping_failures:
            log.info("peer is silent; hanging up", peer=peer)
            await live.hang_up(peer)
    except NetworkError:
        pass  # banned meanwhile, or the host ends
    else:
        failures[peer] = 0
        owner.round_trips[peer] = trio.current_time() - began


class _Watcher(INotifee):
    """Hears of connections: turns the banned away, and lets lost contacts be dialled again."""

    def __init__(self, owner: Owner, live: LiveHost) -> None:
        self._owner = owner
        self._live = live
        self._known: set[str] = set()

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        muxer = cast(SafeYamux, conn.muxed_conn)
        self._live.muxers.add(muxer)
        peer = str(muxer.peer_id)
        if self._owner.standings.of(peer).banned(trio.current_time()):
            self._live.hang_up_soon(peer)
        elif peer not in self._known:
            self._known.add(peer)
            self._owner.book.reached(peer)
            log.info("peer connected", peer=peer)

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        peer = str(cast(SafeYamux, conn.muxed_conn).peer_id)
        if peer in self._known and peer not in self._live.connected():
            self._known.discard(peer)
            self._owner.round_trips.pop(peer, None)
            self._owner.book.lost(peer, trio.current_time())
            log.info("peer lost", peer=peer)

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        return

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        return

    async def listen(self, network: INetwork, multiaddr: multiaddr.Multiaddr) -> None:
        return

    async def listen_close(self, network: INetwork, multiaddr: multiaddr.Multiaddr) -> None:
        return
