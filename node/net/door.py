# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may connect: bounds on inbound connections by subnet, by peer and in all, before and after the handshake.

All who come by one relay count as one subnet, whatever is exempt: their own addresses are not known.

Policies when a bound is reached: a handshake that is one too many ends the oldest one of the busiest subnet; a
stranger that would be one too many is turned away (the newest goes); a peer's own surplus connection ends its
oldest; a reserved peer (configured, from the chain's directory, or with a good record) takes the place of the
youngest stranger. What this node dials itself has slots that no inbound connection can take.

It replaces the library's acceptance, which keeps the slot of every connection until the host ends: after
`max_connections` visitors, come and gone, an unwrapped node is deaf.
"""

from __future__ import annotations

import contextlib
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import multiaddr  # type: ignore[import-untyped]
import structlog
import trio
from libp2p.abc import INetConn, INetStream
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm

from node.net.circuits import carried
from node.net.limits import Limits, TokenBucket
from node.net.subnets import parse_networks, subnet_of

log = structlog.get_logger("proofmesh.net")

CLOSE_DEADLINE = 1.0
LOOK_SECONDS = 10.0
ANY = multiaddr.Multiaddr("/ip4/0.0.0.0/tcp/0")


@dataclass
class _Subnet:
    arrivals: TokenBucket
    handshakes: int = 0
    seated: int = 0


@dataclass(eq=False)
class Guest:
    """One inbound connection with its handshake done."""

    peer: str
    host: str
    subnet: str | None
    connection: INetConn = field(repr=False)
    relay: str | None = None


class Door:
    """Counts inbound connections and decides about each."""

    def __init__(self, limits: Limits, reserved: Callable[[str], bool]) -> None:
        self._limits = limits
        self._reserved = reserved
        self._exempt = parse_networks(limits.exempt_networks)
        self._subnets: OrderedDict[str, _Subnet] = OrderedDict()
        self._handshakes: dict[trio.CancelScope, str | None] = {}  # in the order of their beginning
        self._guests: dict[Guest, None] = {}  # in the order of their arrival
        self._scopes: set[trio.CancelScope] = set()
        self._swarm: Swarm | None = None
        self.counters: Counter[str] = Counter()

    @property
    def seated(self) -> int:
        """How many inbound connections are open."""
        return len(self._guests)

    def host_of(self, peer: str) -> str | None:
        """Return the address from which a peer is connected to us; none of a peer that came by a relay."""
        return next((guest.host for guest in self._guests if guest.peer == peer and guest.relay is None), None)

    def relays_of(self, peer: str) -> frozenset[str]:
        """Return the relays by which a peer is connected to us."""
        return frozenset(guest.relay for guest in self._guests if guest.peer == peer and guest.relay is not None)

    def install(self, swarm: Swarm) -> None:
        """Let every inbound connection of a swarm through this door; what an earlier host held is gone."""
        self.close()
        self._subnets = OrderedDict((name, _Subnet(known.arrivals)) for name, known in self._subnets.items())

        async def handle(stream: Any, listening_on: Any) -> None:
            host = (stream.get_remote_address() or ("", 0))[0]
            await self._receive(swarm, RawConnection(stream, False), host, subnet_of(host, self._exempt))

        self._swarm = swarm
        patched: Any = swarm
        patched._handle_inbound_connection = handle

    async def receive_circuit(self, stream: INetStream, relay: str) -> None:
        """Let a peer in whom a relay brings on a stream, and return when the connection ended."""
        assert self._swarm is not None  # a stream comes from a host
        await self._receive(self._swarm, carried(stream, relay, initiator=False), "", f"relay {relay}", relay)

    def close(self) -> None:
        """The host ends: let go of every connection, for the library may not come to it."""
        scopes, self._scopes = self._scopes, set()
        self._guests = {}
        self._handshakes = {}
        for scope in scopes:
            scope.cancel()

    def banned(self, peer: str) -> None:
        """A peer is banned: its subnet pays, or it would come back at once under another key."""
        now = trio.current_time()
        for subnet in {guest.subnet for guest in self._guests if guest.peer == peer} - {None}:
            assert subnet is not None
            self._subnet(subnet).arrivals.owe(now, self._limits.subnet_ban_cost)

    async def _receive(
        self, swarm: Swarm, raw: RawConnection, host: str, subnet: str | None, relay: str | None = None
    ) -> None:
        """Decide about a connection; whoever called closes what was turned away."""
        reason = self._reason_against(subnet, trio.current_time())
        if reason is not None:
            self._turn_away(reason, host)
            return
        with trio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                connection: INetConn | None = None
                with self._handshaking(subnet):
                    connection = await _upgraded(swarm, raw)
                if connection is None:
                    self.counters["handshake_failed"] += 1
                    return
                await self._seat_while_open(
                    Guest(str(connection.muxed_conn.peer_id), host, subnet, connection, relay)
                )
            finally:
                self._scopes.discard(scope)

    async def _seat_while_open(self, guest: Guest) -> None:
        with self._seat(guest) as seated:
            if seated:
                await _end_of(guest.connection)
        if not seated:
            await _close(guest.connection)

    def _reason_against(self, subnet: str | None, now: float) -> str | None:
        """Say why no handshake is begun, None if one is."""
        if subnet is None:
            return None
        known = self._subnet(subnet)
        if known.handshakes + known.seated >= self._limits.connections_per_subnet:
            return "subnet_full"
        if not known.arrivals.take(now):
            return "subnet_over_rate"
        return None

    @contextlib.contextmanager
    def _handshaking(self, subnet: str | None) -> Iterator[None]:
        if len(self._handshakes) >= self._limits.handshakes:
            self._displace_a_handshake()
        known = self._subnet(subnet) if subnet is not None else None
        if known is not None:
            known.handshakes += 1
        with trio.CancelScope() as scope:
            self._handshakes[scope] = subnet
            try:
                yield
            finally:
                self._handshakes.pop(scope, None)
                if known is not None:
                    known.handshakes -= 1

    def _displace_a_handshake(self) -> None:
        """End the oldest handshake of the subnet with the most: who stays silent blocks nobody."""
        most, _ = Counter(self._handshakes.values()).most_common(1)[0]
        oldest = next(scope for scope, subnet in self._handshakes.items() if subnet == most)
        del self._handshakes[oldest]
        oldest.cancel()
        self.counters["handshake_displaced"] += 1

    @contextlib.contextmanager
    def _seat(self, guest: Guest) -> Iterator[bool]:
        if not self._room_for(guest):
            self._turn_away("full", guest.host)
            yield False
            return
        known = self._subnet(guest.subnet) if guest.subnet is not None else None
        self._guests[guest] = None
        if known is not None:
            known.seated += 1
        try:
            yield True
        finally:
            self._guests.pop(guest, None)
            if known is not None:
                known.seated -= 1

    def _room_for(self, guest: Guest) -> bool:
        theirs = [other for other in self._guests if other.peer == guest.peer]
        if len(theirs) >= self._limits.connections_per_peer:
            self._unseat(theirs[0])  # a peer that comes again knows best which connection is dead
        if len(self._guests) < self._limits.inbound_connections:
            return True
        if not self._reserved(guest.peer):
            return False
        strangers = (other for other in reversed(self._guests) if not self._reserved(other.peer))
        youngest = next(strangers, None)
        if youngest is None:
            return False
        self._unseat(youngest)
        self.counters["made_room"] += 1
        return True

    def _unseat(self, guest: Guest) -> None:
        del self._guests[guest]
        trio.lowlevel.spawn_system_task(_close, guest.connection)

    def _turn_away(self, reason: str, host: str) -> None:
        self.counters[reason] += 1
        log.debug("connection turned away", reason=reason, host=host)

    def _subnet(self, name: str) -> _Subnet:
        known = self._subnets.get(name)
        if known is None:
            known = self._subnets[name] = _Subnet(TokenBucket(self._limits.subnet_arrivals))
            if len(self._subnets) > self._limits.tracked_subnets:
                idle = (n for n, s in self._subnets.items() if n != name and not s.seated and not s.handshakes)
                self._subnets.pop(next(idle, next(iter(self._subnets))))
        self._subnets.move_to_end(name)
        return known


async def _upgraded(swarm: Swarm, raw: RawConnection) -> INetConn | None:
    """Return the connection once Noise and Yamux are agreed, None if they are not."""
    try:
        muxed = await swarm.upgrade_inbound_raw_conn(raw, ANY)  # the address is for the library's log alone
    except Exception as error:  # the library raises many kinds
        log.debug("handshake failed", error=type(error).__name__)
        with contextlib.suppress(Exception):
            await raw.close()
        return None
    for connection in swarm.get_connections(muxed.peer_id):
        if connection.muxed_conn is muxed:
            return connection
    return None


async def _end_of(connection: INetConn) -> None:
    """Wait until a connection is closed, whichever of its layers says so first."""
    swarm_connection = cast(SwarmConn, connection)
    while not swarm_connection.muxed_conn.is_closed:
        with trio.move_on_after(LOOK_SECONDS):
            await swarm_connection.event_closed.wait()
            await trio.sleep(CLOSE_DEADLINE)  # the library says goodbye to the peer
            return


async def _close(connection: INetConn) -> None:
    deadline = trio.current_time() + CLOSE_DEADLINE
    with trio.CancelScope(shield=True, deadline=deadline), contextlib.suppress(Exception):
        await connection.close()
