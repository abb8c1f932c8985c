# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that carries circuits for others, because its operator said so: the HOP side of circuit relay v2.

A peer reserves, over a connection of its own; then others may ask for circuits to it, and to nobody else. Every bound
is in `RelayLimits`, counted by peer and by the subnet from which the peer is connected. Nothing is queued: bytes are
read from one side when the other has taken those before. A reservation ends with the connection that it was made over.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol, cast

import multiaddr  # type: ignore[import-untyped]
import structlog
import trio
from libp2p.abc import INetStream
from libp2p.io.exceptions import IOException
from libp2p.network.stream.net_stream import NetStream
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, Limit, Reservation, StopMessage
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId as PeerMessage
from libp2p.relay.circuit_v2.protocol_buffer import StatusCode, to_proto_status
from libp2p.stream_muxer.exceptions import MuxedStreamError
from libp2p.stream_muxer.yamux.yamux import Yamux

from node.net.circuits import GARBAGE_WEIGHT, HOP, STOP, read_message, relay_under, write_message
from node.net.frames import SLICE_BYTES, StreamLostError
from node.net.hardening import reset_quietly
from node.net.limits import Limits, TokenBucket, TokenBuckets
from node.net.serving import OVER_RATE_WEIGHT, Judge, blame
from node.net.subnets import parse_networks, subnet_of
from protocol.errors import Misbehaviour, NetworkError

log = structlog.get_logger("proofmesh.net")

WRITE_DEADLINE = 10.0
FAREWELL_SECONDS = 1.0
_LOST = (IOException, MuxedStreamError, OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError)


class RelayOwner(Judge, Protocol):
    """What relaying needs of the transport."""

    limits: Limits
    counters: Counter[str]
    peer_id: str

    @property
    def addresses(self) -> tuple[str, ...]: ...

    async def open_raw(self, peer: str, protocol: str) -> INetStream: ...


@dataclass(frozen=True)
class _Seat:
    """A peer's reservation: whom it is for is known by the connection alone."""

    muxer: Yamux
    subnet: str | None
    expires: float


@dataclass(frozen=True, eq=False)
class _Circuit:
    source: str
    source_subnet: str | None
    target: str


class Relay:
    """Takes reservations and carries circuits."""

    def __init__(self, owner: RelayOwner, wall: Callable[[], float] = time.time) -> None:
        self._owner = owner
        self._limits = owner.limits.relay
        self._timeout = owner.limits.relay_timeout
        self._exempt = parse_networks(owner.limits.exempt_networks)
        self._wall = wall
        self._seats: dict[str, _Seat] = {}
        self._circuits: set[_Circuit] = set()
        self._requests = TokenBuckets(owner.limits.tracked_peers)
        self._bandwidth = TokenBucket(self._limits.bandwidth)

    @property
    def circuits(self) -> int:
        """How many circuits there are now."""
        return len(self._circuits)

    def holds(self, peer: str) -> bool:
        """Say whether a peer has a reservation here."""
        seat = self._seats.get(peer)
        if seat is not None and (seat.muxer.is_closed or seat.expires <= trio.current_time()):
            del self._seats[peer]
        return peer in self._seats

    async def serve(self, stream: INetStream) -> None:
        """Answer one request, and carry the circuit that comes of it; lets nothing out."""
        peer = str(stream.muxed_conn.peer_id)
        try:
            await self._answer(stream, peer)
        except Exception as error:
            blame(self._owner, peer, HOP, error)
            await reset_quietly(stream)

    async def _answer(self, stream: INetStream, peer: str) -> None:
        subnet = subnet_of((stream.get_remote_address() or ("", 0))[0], self._exempt)
        now = trio.current_time()
        names = [peer] if subnet is None else [peer, subnet]
        if not all([self._requests.take(name, self._limits.requests, now) for name in names]):
            self._owner.penalise(peer, "relay requests over their rate", OVER_RATE_WEIGHT)
            return await self._status(stream, StatusCode.RESOURCE_LIMIT_EXCEEDED)
        message = await read_message(stream, HopMessage, self._timeout)
        if not message.HasField("type") or message.type == HopMessage.STATUS:
            raise Misbehaviour("Neither RESERVE nor CONNECT.", weight=GARBAGE_WEIGHT)
        if relay_under(stream.muxed_conn) is not None:
            return await self._status(stream, StatusCode.PERMISSION_DENIED)  # no circuits through circuits
        if message.type == HopMessage.RESERVE:
            await self._reserve(stream, peer, subnet)
        else:
            await self._connect(stream, _Circuit(peer, subnet, str(ID(message.peer.id))))

    async def _reserve(self, stream: INetStream, peer: str, subnet: str | None) -> None:
        for name in list(self._seats):
            self.holds(name)  # lets go of those that ended
        others = [seat for name, seat in self._seats.items() if name != peer]
        beside = sum(seat.subnet == subnet for seat in others) if subnet is not None else 0
        if len(others) >= self._limits.reservations or beside >= self._limits.reservations_per_subnet:
            self._owner.counters["reservations_refused"] += 1
            return await self._status(stream, StatusCode.RESERVATION_REFUSED)
        if peer not in self._seats:
            log.info("reservation taken", peer=peer)
        expires = trio.current_time() + self._limits.reservation_seconds
        self._seats[peer] = _Seat(cast(Yamux, stream.muxed_conn), subnet, expires)
        reachable = [multiaddr.Multiaddr(one).to_bytes() for one in self._owner.addresses if "/p2p-circuit" not in one]
        answer = self._message(StatusCode.OK)
        answer.reservation.CopyFrom(
            Reservation(expire=int(self._wall() + self._limits.reservation_seconds), addrs=reachable)
        )
        await write_message(stream, answer, self._timeout)
        await cast(NetStream, stream).close_write()

    async def _connect(self, stream: INetStream, circuit: _Circuit) -> None:
        refusal = self._reason_against(circuit)
        if refusal is not None:
            self._owner.counters["circuits_refused"] += 1
            return await self._status(stream, refusal)
        with self._taking(circuit):
            other = await self._reach(circuit)
            if other is None:
                return await self._status(stream, StatusCode.CONNECTION_FAILED)
            try:
                await write_message(stream, self._message(StatusCode.OK), self._timeout)
                self._owner.counters["circuits"] += 1
                await self._carry(stream, other)
            finally:
                await reset_quietly(other)
                await reset_quietly(stream)

    def _reason_against(self, circuit: _Circuit) -> StatusCode | None:
        if circuit.target in (circuit.source, self._owner.peer_id):
            return StatusCode.PERMISSION_DENIED
        if not self.holds(circuit.target):
            return StatusCode.NO_RESERVATION
        to_target = sum(one.target == circuit.target for one in self._circuits)
        of_source = sum(one.source == circuit.source for one in self._circuits)
        of_subnet = sum(one.source_subnet == circuit.source_subnet for one in self._circuits)
        full = (
            len(self._circuits) >= self._limits.circuits
            or to_target >= self._limits.circuits_per_reservation
            or of_source >= self._limits.circuits_per_peer
            or (circuit.source_subnet is not None and of_subnet >= self._limits.circuits_per_subnet)
        )
        return StatusCode.RESOURCE_LIMIT_EXCEEDED if full else None

    @contextmanager
    def _taking(self, circuit: _Circuit) -> Iterator[None]:
        self._circuits.add(circuit)
        try:
            yield
        finally:
            self._circuits.discard(circuit)

    async def _reach(self, circuit: _Circuit) -> INetStream | None:
        """Return a stream to the target on which it agreed to the circuit; it pays for its own faults."""
        stream: INetStream | None = None
        agreed = False
        try:
            with trio.fail_after(self._timeout):
                stream = await self._owner.open_raw(circuit.target, STOP)
            source = PeerMessage(id=ID.from_base58(circuit.source).to_bytes())
            request = StopMessage(type=StopMessage.CONNECT, peer=source, limit=self._limit())
            await write_message(stream, request, self._timeout)
            answer = await read_message(stream, StopMessage, self._timeout)
            if not answer.HasField("type") or answer.type != StopMessage.STATUS:
                raise Misbehaviour("A circuit was answered with no status.", weight=GARBAGE_WEIGHT)
            agreed = int(answer.status) == StatusCode.OK
        except Misbehaviour as error:
            blame(self._owner, circuit.target, STOP, error)
        except (NetworkError, StreamLostError, trio.TooSlowError) as error:
            log.debug("circuit not made", peer=circuit.target, error=type(error).__name__)
        finally:
            if stream is not None and not agreed:
                await reset_quietly(stream)
        return stream if agreed else None

    # --- carrying ------------------------------------------------------------------------

    async def _carry(self, one: INetStream, other: INetStream) -> None:
        """Pass bytes both ways until a side ends, or the circuit has had its share of bytes or time."""
        left = [self._limits.circuit_bytes]
        with trio.move_on_after(self._limits.circuit_seconds):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pass_on, one, other, left, nursery.cancel_scope)
                nursery.start_soon(self._pass_on, other, one, left, nursery.cancel_scope)

    async def _pass_on(self, source: INetStream, sink: INetStream, left: list[int], both: trio.CancelScope) -> None:
        with suppress(*_LOST):
            while True:
                with trio.fail_after(self._limits.idle_seconds):
                    data = await source.read(SLICE_BYTES)
                left[0] -= len(data)
                if not data or left[0] < 0:
                    break
                await trio.sleep(self._bandwidth.owe(trio.current_time(), len(data)))
                with trio.fail_after(WRITE_DEADLINE):
                    await sink.write(data)
                self._owner.counters["relayed_bytes"] += len(data)
        both.deadline = min(both.deadline, trio.current_time() + FAREWELL_SECONDS)

    # --- words ---------------------------------------------------------------------------

    def _limit(self) -> Limit:
        return Limit(duration=int(self._limits.circuit_seconds), data=self._limits.circuit_bytes)

    def _message(self, status: StatusCode) -> HopMessage:
        return HopMessage(type=HopMessage.STATUS, status=to_proto_status(status), limit=self._limit())

    async def _status(self, stream: INetStream, status: StatusCode) -> None:
        message = HopMessage(type=HopMessage.STATUS, status=to_proto_status(status))
        await write_message(stream, message, self._timeout)
        await cast(NetStream, stream).close_write()
