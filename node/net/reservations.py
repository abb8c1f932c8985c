# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that cannot be dialled keeps reservations at relays, and takes the circuits that they bring.

What a relay says is worth little: the lifetime that it names is held between a minute and an hour, the addresses that
it names are not read (the operator's are announced), nor is the peer that it names believed: the handshake inside
the circuit proves it, at the door, where all who come by one relay count as one subnet.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import structlog
import trio
from libp2p.abc import INetStream
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, StopMessage
from libp2p.relay.circuit_v2.protocol_buffer import StatusCode, to_proto_status
from libp2p.stream_muxer.yamux.yamux import Yamux

from node.net.circuits import (
    GARBAGE_WEIGHT,
    HOP,
    STOP,
    CircuitAddress,
    read_message,
    relay_under,
    status_name,
    write_message,
)
from node.net.door import Door
from node.net.frames import StreamLostError
from node.net.hardening import reset_quietly
from node.net.limits import Limits
from node.net.serving import OVER_RATE_WEIGHT, Judge, blame
from protocol.errors import Misbehaviour, NetworkError, PeerRefusedError

log = structlog.get_logger("proofmesh.net")

LOOK_SECONDS = 0.25
SHORTEST_SECONDS = 60.0
LONGEST_SECONDS = 3600.0
UNASKED_WEIGHT = 10.0


class ReservingOwner(Judge, Protocol):
    """What reservations need of the transport."""

    limits: Limits
    door: Door
    peer_id: str

    def connected(self) -> frozenset[str]: ...

    def addresses_changed(self) -> None: ...

    async def open_raw(self, peer: str, protocol: str) -> INetStream: ...


@dataclass
class _Place:
    """One relay, and how the reservation there is; times of the event loop."""

    address: CircuitAddress
    muxer: Yamux | None = None
    until: float = float("-inf")
    next_try: float = float("-inf")
    failures: int = 0
    asking: bool = False

    def held(self, now: float) -> bool:
        return self.muxer is not None and not self.muxer.is_closed and now < self.until


class Reservations:
    """The relays of a node that cannot be dialled, by peer id, in the operator's order."""

    def __init__(
        self, owner: ReservingOwner, relays: Sequence[CircuitAddress], wall: Callable[[], float] = time.time
    ) -> None:
        self._owner = owner
        self._limits = owner.limits
        self._wall = wall
        self._places = {address.relay: _Place(address) for address in relays}
        self._announced: tuple[str, ...] = ()

    @property
    def all_addresses(self) -> tuple[str, ...]:
        """This node's address at each of its relays, whether it is reachable there just now or not."""
        return tuple(str(place.address) for place in self._places.values())

    @property
    def addresses(self) -> tuple[str, ...]:
        """This node's addresses at the relays where it holds a reservation."""
        return tuple(str(place.address) for place in self._places.values() if place.held(trio.current_time()))

    async def keep(self) -> None:
        """Reserve, and renew at half time, until cancelled; a relay that comes back is asked at once."""
        if not self._places:
            return
        async with trio.open_nursery() as nursery:
            while True:
                connected, now = self._owner.connected(), trio.current_time()
                for relay, place in self._places.items():
                    if relay not in connected or (place.muxer is not None and place.muxer.is_closed):
                        place.muxer, place.next_try, place.failures = None, now, 0
                    if relay in connected and now >= place.next_try and not place.asking:
                        place.asking = True
                        nursery.start_soon(self._ask, relay, place)
                self._tell()
                await trio.sleep(LOOK_SECONDS)

    def _tell(self) -> None:
        if self.addresses != self._announced:
            self._announced = self.addresses
            log.info("reachable by relays", addresses=list(self._announced))
            self._owner.addresses_changed()

    async def _ask(self, relay: str, place: _Place) -> None:
        reason = "silent"
        try:
            await self._reserve(relay, place)
        except (PeerRefusedError, Misbehaviour) as error:
            reason = error.message
            if isinstance(error, Misbehaviour):
                blame(self._owner, relay, HOP, error)
        except (NetworkError, StreamLostError, trio.TooSlowError):
            pass
        else:
            place.failures = 0
            return
        finally:
            place.asking = False
        wait = min(self._limits.reserve_longest, self._limits.reserve_first * 2.0 ** min(place.failures, 32))
        place.failures += 1
        place.next_try = trio.current_time() + wait * random.uniform(1, 1.5)
        log.info("no reservation", relay=relay, reason=reason, next_try_seconds=round(wait))

    async def _reserve(self, relay: str, place: _Place) -> None:
        timeout = self._limits.relay_timeout
        with trio.fail_after(timeout):
            stream = await self._owner.open_raw(relay, HOP)
        try:
            await write_message(stream, HopMessage(type=HopMessage.RESERVE), timeout)
            answer = await read_message(stream, HopMessage, timeout)
        finally:
            await reset_quietly(stream)
        if answer.type != HopMessage.STATUS:
            raise Misbehaviour("A reservation was answered with no status.", weight=GARBAGE_WEIGHT)
        if int(answer.status) != StatusCode.OK:
            raise PeerRefusedError(f"The relay takes no reservation ({status_name(answer.status)}).")
        life = min(LONGEST_SECONDS, max(SHORTEST_SECONDS, answer.reservation.expire - self._wall()))
        now = trio.current_time()
        place.muxer, place.until, place.next_try = cast(Yamux, stream.muxed_conn), now + life, now + life / 2

    # --- circuits that come --------------------------------------------------------------

    async def accept(self, stream: INetStream) -> None:
        """Take a circuit that a relay brings, for as long as it lasts; lets nothing out."""
        relay = str(stream.muxed_conn.peer_id)
        try:
            if not self._owner.standings.of(relay).requests.take(trio.current_time()):
                raise Misbehaviour("Circuits over their rate.", weight=OVER_RATE_WEIGHT)
            await self._accept(stream, relay)
        except Exception as error:
            blame(self._owner, relay, STOP, error)
        finally:
            await reset_quietly(stream)

    async def _accept(self, stream: INetStream, relay: str) -> None:
        place = self._places.get(relay)
        if place is None or relay_under(stream.muxed_conn) is not None:
            raise Misbehaviour("A circuit from a peer that is no relay of ours.", weight=UNASKED_WEIGHT)
        message = await read_message(stream, StopMessage, self._limits.relay_timeout)
        if not message.HasField("type") or message.type != StopMessage.CONNECT or not message.peer.id:
            raise Misbehaviour("No CONNECT.", weight=GARBAGE_WEIGHT)
        agreed = StopMessage(type=StopMessage.STATUS, status=to_proto_status(StatusCode.OK))
        await write_message(stream, agreed, self._limits.relay_timeout)
        await self._owner.door.receive_circuit(stream, relay)
