# SPDX-License-Identifier: GPL-3.0-or-later
"""`Transport`: the network as one supervised service. Bytes in, bytes out; it knows no message kinds.

What is registered (handlers, topics, contacts, standings) belongs to the transport and outlives the
host: if the host dies, another is started on the same key and port.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
import trio
from google.protobuf.message import DecodeError
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo

from node.net.channel import Channel, client_errors
from node.net.circuits import HOP, STOP, CircuitAddress, circuit_in
from node.net.dialling import Dialler, names_of, open_stream
from node.net.door import Door
from node.net.gossip import GossipGate, Sink, Validator
from node.net.hardening import GARBAGE_WEIGHT, STREAM_FLOOD_WEIGHT, StreamGate, reset_quietly
from node.net.host import parse_address
from node.net.identity import NetworkIdentity
from node.net.limits import GOSSIP_CAP_BYTES, Limits
from node.net.listening import check_free, dialable, write_addresses
from node.net.live import PING, PING_BYTES, LiveHost, run_host
from node.net.peerbook import Origin, PeerBook
from node.net.peerstore import PeerMemory
from node.net.relay import Relay
from node.net.reservations import Reservations
from node.net.serving import Handler, StreamHandler, answering, serving
from node.net.standing import Standings
from node.net.subnets import host_in, is_public
from protocol.errors import (
    AddressError,
    GossipTooLargeError,
    ListenError,
    NetworkError,
    PeerBannedError,
    PeerUnreachableError,
    TransportDownError,
)

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # its stubs hide trio's own types from mypy

log = structlog.get_logger("proofmesh.net")

DEFAULT_TIMEOUT = 10.0
HEARSAY_WEIGHT = 5.0


@dataclass(frozen=True)
class PeerSnapshot:
    """What the node knows of one peer at this moment; `round_trip` in seconds; `relay`: it is reached by one alone."""

    peer: str
    address: str | None
    connected: bool
    configured: bool
    score: float
    banned: bool
    round_trip: float | None
    relay: str | None


class Transport(StreamGate):
    """The node's connection to its peers.

    Args:
        identity: the network key.
        listen_addresses: `/ip4/<address>/tcp/<port>`; port 0 takes a free one, kept across host restarts; none
            for a node behind a NAT.
        bootstrap: full addresses (`.../p2p/<id>`) of peers to stay connected to.
        network_tag: chain and Escrow; peers with another tag share no protocol and no topic.
        announce: addresses to tell others instead of those listened on (behind a NAT).
        address_file: where to write the full addresses once listening.
        peer_file: where peers and bans are kept across restarts.
        relays: full addresses of peers that carry connections to this node, which cannot be dialled.
        serves_as_relay: carry connections for others.
    """

    def __init__(
        self,
        identity: NetworkIdentity,
        listen_addresses: Sequence[str],
        bootstrap: Sequence[str] = (),
        network_tag: bytes | str = b"",
        *,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
        announce: Sequence[str] = (),
        address_file: Path | None = None,
        peer_file: Path | None = None,
        relays: Sequence[str] = (),
        serves_as_relay: bool = False,
    ) -> None:
        tag = network_tag.encode() if isinstance(network_tag, str) else network_tag
        self._tag = sha256(tag).hexdigest()[:16]
        self.identity = identity
        self.peer_id = identity.peer_id
        self.limits = limits
        self.counters: Counter[str] = Counter()
        self._listen = tuple(listen_addresses)
        self._announce = tuple(f"{address}/p2p/{self.peer_id}" for address in announce)
        self._address_file = address_file
        self._addresses: tuple[str, ...] = ()
        self.book = PeerBook(limits)
        self.standings = Standings(limits)
        self.door = Door(limits, self._reserved)
        self.gate = GossipGate(limits, self.standings, self.penalise)
        self._memory = PeerMemory(peer_file, limits, self.book, self.standings) if peer_file else None
        self.round_trips: dict[str, float] = {}
        self.trusted: set[str] = set()  # peers that may take a stranger's place; the owner says who
        self._handlers: dict[str, Callable[[INetStream], Awaitable[None]]] = {}
        self._dialler = Dialler(self)
        self._live: LiveHost | None = None
        self._up = trio.Event()
        self._nursery: trio.Nursery | None = None
        for address in (*bootstrap, *relays):
            info = self._parse(address)
            self.book.learn(str(info.peer_id), address, Origin.CONFIGURED)
        self.reservations = Reservations(self, [self._at_relay(relay) for relay in relays[: limits.relays]])
        self.relay = Relay(self) if serves_as_relay else None
        if relays:
            self._handlers[STOP] = self.reservations.accept
        if self.relay is not None:
            self._handlers[HOP] = self.relay.serve
        self.add_handler(PING, _pong, max_request=PING_BYTES, timeout=DEFAULT_TIMEOUT)

    # --- life ----------------------------------------------------------------------------

    @property
    def addresses(self) -> tuple[str, ...]:
        """Full addresses at which this node can be reached, once it listens.

        Those at its relays, while it holds a reservation there, go before those listened on: who names relays
        cannot be dialled. A node that has neither names its id alone: it is reached over the connections that it
        opened.
        """
        return self._reachable_at(self.reservations.addresses)

    @property
    def lasting_addresses(self) -> tuple[str, ...]:
        """As `addresses`, with all relays, also one where there is no reservation just now."""
        return self._reachable_at(self.reservations.all_addresses)

    def _reachable_at(self, circuits: tuple[str, ...]) -> tuple[str, ...]:
        found = (*self._announce, *circuits) if self._announce else (*circuits, *self._addresses)
        return found if found or self._listen else (f"/p2p/{self.peer_id}",)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Transport]:
        """Run the transport for the length of a block."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.run)
            try:
                yield self
            finally:
                nursery.cancel_scope.cancel()

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled; started once the node listens.

        Raises:
            ListenError: an address is in use or not ours (at start-up only).
        """
        if self._nursery is not None:
            raise NetworkError("The transport is already running.")
        check_free(self._listen)
        failure: ListenError | None = None
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for topic in self.gate.topics:
                    nursery.start_soon(self.gate.pump, topic)
                if self._memory is not None:
                    self._memory.recall(self.peer_id, trio.current_time())
                    nursery.start_soon(self._memory.keep_regularly, self.connected)
                nursery.start_soon(self.reservations.keep)
                try:
                    await self._supervise(task_status)
                except ListenError as error:
                    failure = error
                    nursery.cancel_scope.cancel()
        finally:
            self._nursery = None
        if failure is not None:
            raise failure

    async def _supervise(self, task_status: TaskStatus[None]) -> None:
        wait = self.limits.restart_first
        while True:
            began = trio.current_time()
            try:
                await run_host(self, self, task_status)
            except ListenError as error:
                if not self._addresses:
                    raise
                log.warning("cannot listen again yet", error=str(error))
            except Exception as error:  # the host died: whatever the library raised, start another
                self.counters["host_restarts"] += 1
                log.error("network host died; restarting", errors=names_of(error), wait_seconds=wait)
            if trio.current_time() - began > self.limits.restart_longest:
                wait = self.limits.restart_first
            await trio.sleep(wait)
            wait = min(self.limits.restart_longest, wait * 2)

    def came_up(self, live: LiveHost, listening: Sequence[str]) -> None:
        """The host listens (called by live.py)."""
        if not self._addresses:
            self._listen = tuple(listening)
        self._addresses = tuple(f"{address}/p2p/{self.peer_id}" for address in dialable(listening))
        self.addresses_changed()
        self._live = live
        self._up.set()
        log.info("listening for peers", addresses=list(self.addresses))

    def addresses_changed(self) -> None:
        """Say anew where this node is reachable."""
        if self._address_file is not None and not write_addresses(self._address_file, self.addresses):
            log.warning("the file of this node's addresses cannot be written", file=str(self._address_file))

    def went_down(self) -> None:
        """The host stops or died (called by live.py)."""
        self._live = None
        self._up = trio.Event()
        self.book.interrupted()

    @property
    def listen_addresses(self) -> tuple[str, ...]:
        return self._listen

    @property
    def stream_handlers(self) -> dict[str, Callable[[INetStream], Awaitable[None]]]:
        """Handlers by full protocol name."""
        return self._handlers

    async def _wait_live(self, timeout: float) -> LiveHost:
        with trio.move_on_after(timeout):
            while self._live is None:
                await self._up.wait()
        if self._live is None:
            raise TransportDownError("The network service is not running.")
        return self._live

    # --- streams -------------------------------------------------------------------------

    def add_handler(
        self, protocol: str, handler: Handler, max_request: int, timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        """Answer requests of at most `max_request` bytes on `protocol`.

        The requester gets a reset if the handler raises. `Misbehaviour`, `WireError` and `SignatureError`
        lower the peer's score; any other exception is our fault and does not.
        """
        self.add_stream_handler(protocol, answering(self, handler, max_request, timeout), timeout)

    def add_stream_handler(
        self, protocol: str, handler: StreamHandler, timeout: float = DEFAULT_TIMEOUT
    ) -> None:
        """Serve whole streams; `timeout` is for each frame. Errors count as for `add_handler`."""
        name = self._protocol(protocol)
        self._handlers[name] = serving(self, protocol, handler, timeout)
        if self._live is not None:
            self._live.host.libp2p.set_stream_handler(TProtocol(name), self._handlers[name])

    async def request(
        self, peer: str, protocol: str, payload: bytes, max_response: int, timeout: float = DEFAULT_TIMEOUT
    ) -> bytes:
        """Send `payload` to a peer (full address, or id if known) and return its answer.

        Raises:
            PeerUnreachableError, PeerTimeoutError, PeerRefusedError, ResponseTooLargeError,
            PeerBannedError, AddressError, TransportDownError.
        """
        with client_errors(_short(peer), protocol), trio.fail_after(timeout):
            async with self.open_channel(peer, protocol, timeout) as channel:
                await channel.send(payload)
                return await channel.receive(max_response)

    @asynccontextmanager
    async def open_channel(
        self, peer: str, protocol: str, timeout: float = DEFAULT_TIMEOUT
    ) -> AsyncIterator[Channel]:
        """Open a stream for several frames; `timeout` is for opening it and for each frame.

        Raises as `request` does, also for what its frames meet inside the block.
        """
        live = await self._wait_live(timeout)
        info = self._resolve(peer)
        name = str(info.peer_id)
        if self.standings.of(name).banned(trio.current_time()):
            raise PeerBannedError(f"Peer {name} is banned for now.")
        with trio.CancelScope() as scope, client_errors(name, protocol):
            live.scopes.add(scope)
            stream: INetStream | None = None
            try:
                with trio.fail_after(timeout):
                    await self._dialler.dial(live, info)
                    stream = await open_stream(live, info.peer_id, self._protocol(protocol))
                yield Channel(name, stream, timeout)
            finally:
                live.scopes.discard(scope)
                if stream is not None:
                    await reset_quietly(stream)
        if scope.cancelled_caught:
            raise PeerUnreachableError(f"The connection to {name} ended: this node's network restarts.")

    async def open_raw(self, peer: str, protocol: str) -> INetStream:
        """Open a stream to a connected peer on a protocol of libp2p, whose name carries no network.

        Raises:
            PeerUnreachableError, PeerRefusedError, TransportDownError.
        """
        return await open_stream(await self._wait_live(0), ID.from_base58(peer), protocol)

    # --- gossip --------------------------------------------------------------------------

    async def subscribe(self, topic: str, validator: Validator, sink: Sink) -> None:
        """Take part in a topic.

        `validator(data, forwarder)` is synchronous and cheap. `sink(data, forwarder)` returns once the
        message is stored: only then it counts as seen. Own messages are not delivered. When the bounded
        queue before the sink is full the newest message is dropped and stays unseen.
        """
        name = self._topic(topic)
        self.gate.add(name, validator, sink)
        if self._nursery is not None:
            self._nursery.start_soon(self.gate.pump, name)
        if self._live is not None:
            await self._live.pubsub.subscribe(name)

    async def publish(self, topic: str, data: bytes, timeout: float = DEFAULT_TIMEOUT) -> int:
        """Gossip `data`; return how many neighbours listen to the topic (0: nobody heard it).

        Raises:
            GossipTooLargeError: more than 64 KiB.
            TransportDownError: no host within `timeout` seconds.
        """
        if len(data) > GOSSIP_CAP_BYTES:
            raise GossipTooLargeError(f"A message of {len(data)} bytes; gossip takes {GOSSIP_CAP_BYTES}.")
        live = await self._wait_live(timeout)
        name = self._topic(topic)
        self.gate.mark_own(name, data)
        try:
            await live.pubsub.publish(name, data)
        except Exception as error:  # the host dies under it
            raise TransportDownError(f"The message was not published ({names_of(error)}).") from None
        return len(live.pubsub.peer_topics.get(name, ()))

    # --- peers ---------------------------------------------------------------------------

    async def connect(self, address: str, timeout: float = DEFAULT_TIMEOUT) -> str:
        """Connect to a peer, stay connected to it, and return its id."""
        info = self._parse(address)
        peer = str(info.peer_id)
        live = await self._wait_live(timeout)
        if self.standings.of(peer).banned(trio.current_time()):
            raise PeerBannedError(f"Peer {peer} is banned for now.")
        with client_errors(peer, "connect"), trio.fail_after(timeout):
            await self._dialler.dial(live, info)
        self.book.learn(peer, address, Origin.MET, proven=True)
        return peer

    async def redial(self, live: LiveHost, peer: str, address: str) -> None:
        """One attempt of the dial loop (live.py)."""
        try:
            await self._dialler.dial(live, self._parse(address))
        except NetworkError as error:
            self.book.failed(peer, trio.current_time(), random.random())
            log.debug("dial failed", peer=peer, code=error.code)
        else:
            self.book.reached(peer, address)

    def introduced(self, peer: str, address: str) -> None:
        """A connected peer says where it can be reached; proven if that is the host, or the relay, it comes from.

        At a relay is where another peer is, so its address is hearsay.
        """
        if not address.endswith(f"/p2p/{peer}") or not (host := host_in(address)):
            return
        try:
            circuit = circuit_in(address)
        except AddressError:
            return
        if circuit is None:
            self.book.learn(peer, address, Origin.MET, proven=self.door.host_of(peer) == host)
        elif self._plausible(address, peer):
            ours = circuit.relay == self.peer_id and self.relay is not None and self.relay.holds(peer)
            self.book.learn(peer, address, Origin.MET, proven=ours or circuit.relay in self.door.relays_of(peer))

    def hear_of(self, address: str, source: str) -> None:
        """A connected peer speaks of another one: worth a dial, if there is room."""
        stranger = address.rsplit("/p2p/", 1)[-1]
        if stranger in (self.peer_id, source) or stranger in self.book:
            return
        try:
            parse_address(address)
        except AddressError:
            self.penalise(source, "hearsay that is no address", HEARSAY_WEIGHT)
            return
        if self._plausible(address, source):
            self.book.learn(stranger, address, Origin.HEARSAY, source=source)

    def peers_to_share(self, count: int) -> tuple[str, ...]:
        """Addresses of connected peers that this node found true, at most `count`, in a random order."""
        connected = self.connected()
        found = [c.address for c in self.book.contacts() if c.proven and c.peer in connected]
        return tuple(random.sample(found, min(count, len(found))))

    def _plausible(self, address: str, source: str) -> bool:
        """A stranger's word sends nobody into the network behind this node; who comes by a relay is one there."""
        host = host_in(address)
        if not host:
            return False
        circuit = circuit_in(address)
        if circuit is not None and self._knows(circuit):
            return True
        if self._live is not None and self._live.relay_of(source) is not None:
            return is_public(host)
        known = self.door.host_of(source) or host_in(self.book.address_of(source) or "")
        return is_public(host) or not is_public(known)

    def _knows(self, circuit: CircuitAddress) -> bool:
        """Whether a circuit leads to no address that this node does not know already."""
        return circuit.relay == self.peer_id or self.book.address_of(circuit.relay) == circuit.relay_address

    def _reserved(self, peer: str) -> bool:
        """Whether a peer may take a stranger's place: the operator, the chain or our own record vouch for it."""
        contact = self.book.of(peer)
        return (contact is not None and contact.origin in (Origin.CONFIGURED, Origin.CHAIN)) or peer in self.trusted

    def connected(self) -> frozenset[str]:
        """The ids of the peers with an open connection."""
        return self._live.connected() if self._live is not None else frozenset()

    def peers(self) -> tuple[PeerSnapshot, ...]:
        """All peers connected, remembered as contacts, or with a score below neutral; sorted by id."""
        connected = self.connected()
        contacts = {contact.peer: contact for contact in self.book.contacts()}
        now = trio.current_time()
        return tuple(
            PeerSnapshot(
                peer=peer,
                address=self.book.address_of(peer),
                connected=peer in connected,
                configured=peer in contacts and contacts[peer].configured,
                score=self.standings.of(peer).score_at(now),
                banned=self.standings.of(peer).banned(now),
                round_trip=self.round_trips.get(peer),
                relay=self._live.relay_of(peer) if self._live is not None else None,
            )
            for peer in sorted(connected | contacts.keys() | self.standings.blamed(now))
        )

    def penalise(self, peer: str, reason: str, weight: float) -> None:
        """Lower a peer's score; at the limit it is disconnected and banned for a while."""
        self.counters["penalties"] += 1
        if self.standings.of(peer).penalise(weight, trio.current_time()):
            self.counters["bans"] += 1
            log.warning("peer banned", peer=peer, reason=reason)
            self.door.banned(peer)
            if self._live is not None:
                self._live.hang_up_soon(peer)

    # --- StreamGate ----------------------------------------------------------------------

    def admit_stream(self, peer: str) -> bool:
        standing = self.standings.of(peer)
        standing.open_streams += 1  # paired with release_stream only if admitted
        if not standing.banned(trio.current_time()) and (
            standing.open_streams <= self.limits.inbound_streams_per_peer
        ):
            return True
        standing.open_streams -= 1
        self.counters["streams_refused"] += 1
        self.penalise(peer, "too many streams", STREAM_FLOOD_WEIGHT)
        return False

    def release_stream(self, peer: str) -> None:
        self.standings.of(peer).open_streams -= 1

    def stream_fault(self, peer: str, error: Exception) -> None:
        self.counters["stream_faults"] += 1
        log.info("stream ended by an error", peer=peer, error=type(error).__name__)
        if isinstance(error, UnicodeDecodeError | DecodeError | ValueError):
            self.penalise(peer, f"garbage on a stream ({type(error).__name__})", GARBAGE_WEIGHT)

    # --- names ---------------------------------------------------------------------------

    def _protocol(self, protocol: str) -> str:
        return f"{protocol}/{self._tag}"

    def _topic(self, topic: str) -> str:
        return f"{topic}/{self._tag}"

    def _parse(self, address: str) -> PeerInfo:
        info = parse_address(address)
        if str(info.peer_id) == self.peer_id:
            raise AddressError("This is the node's own address.", remedy="Name another peer.")
        return info

    def _at_relay(self, relay: str) -> CircuitAddress:
        found = circuit_in(f"{relay}/p2p-circuit/p2p/{self.peer_id}")
        assert found is not None  # it says p2p-circuit
        return found

    def _resolve(self, peer: str) -> PeerInfo:
        if peer.startswith("/"):
            return self._parse(peer)
        try:
            return PeerInfo(ID.from_base58(peer), [])
        except Exception:  # the base58 library raises ValueError of its own kinds
            raise AddressError(f"{peer[:100]!r} is not a peer id.") from None


async def _pong(peer: str, payload: bytes) -> bytes:
    return payload


def _short(peer: str) -> str:
    return peer.rsplit("/", 1)[-1]
