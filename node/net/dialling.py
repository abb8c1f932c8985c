# SPDX-License-Identifier: GPL-3.0-or-later
"""Connecting to peers and opening streams, directly or by a relay, with the errors that callers know."""

from __future__ import annotations

from typing import Protocol
from weakref import WeakValueDictionary

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo

from node.net.channel import client_errors
from node.net.circuits import HOP, CircuitAddress, ask_for_circuit, carried, circuit_in
from node.net.frames import StreamLostError
from node.net.hardening import reset_quietly
from node.net.host import parse_address
from node.net.limits import Limits
from node.net.live import LiveHost
from node.net.peerbook import Origin, PeerBook
from node.net.serving import Judge
from protocol.errors import (
    Misbehaviour,
    NetworkError,
    PeerBannedError,
    PeerRefusedError,
    PeerTimeoutError,
    PeerUnreachableError,
)


class DialOwner(Judge, Protocol):
    """What dialling needs of the transport."""

    peer_id: str
    limits: Limits
    book: PeerBook


class Dialler:
    """One dial a peer at a time: several would be several connections, and end each other's at its door."""

    def __init__(self, owner: DialOwner) -> None:
        self._owner = owner
        self._locks: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()

    async def dial(self, live: LiveHost, info: PeerInfo) -> None:
        """Make sure that a peer is connected.

        Raises:
            PeerUnreachableError, PeerTimeoutError, PeerRefusedError.
        """
        lock = self._locks.setdefault(str(info.peer_id), trio.Lock())
        async with lock:
            await self._dial_alone(live, info)

    async def _dial_alone(self, live: LiveHost, info: PeerInfo) -> None:
        name = str(info.peer_id)
        if name in live.connected():
            return
        if not info.addrs and (known := self._owner.book.address_of(name)) is not None:
            info = parse_address(known)
        if not info.addrs:
            raise PeerUnreachableError(f"Peer {name} is not connected and its address is unknown.")
        if (circuit := circuit_in(f"{info.addrs[0]}/p2p/{name}")) is not None:
            return await self._dial_by_relay(live, circuit)
        # Addresses of an earlier run of the peer would be dialled too, and each of them waited for.
        live.host.libp2p.get_peerstore().clear_addrs(info.peer_id)
        live.host.swarm._negative_peer_cache.evict(name)  # or a failed dial blocks all others for 60 s
        try:
            with trio.fail_after(self._owner.limits.dial_timeout):
                await live.host.libp2p.connect(info)
        except trio.TooSlowError:
            raise PeerTimeoutError(f"Peer {name} did not answer the dial in time.") from None
        except Exception as error:  # the library raises many kinds
            raise PeerUnreachableError(f"Cannot connect to {name} ({names_of(error)}).") from None

    async def _dial_by_relay(self, live: LiveHost, circuit: CircuitAddress) -> None:
        if self._owner.peer_id == circuit.relay:
            raise PeerUnreachableError(f"Peer {circuit.peer} is not connected, and this node is its relay.")
        relay = self._known_relay(circuit)
        with client_errors(circuit.relay, HOP), trio.fail_after(self._owner.limits.dial_timeout):
            await self.dial(live, relay)
            stream = await open_stream(live, relay.peer_id, HOP)
            try:
                await ask_for_circuit(stream, circuit.peer, self._owner.limits.dial_timeout)
                connection = carried(stream, circuit.relay, initiator=True)
                await live.host.swarm.upgrade_outbound_raw_conn(connection, ID.from_base58(circuit.peer))
            except BaseException as error:
                await reset_quietly(stream)
                self._judge(circuit, error)
                raise

    def _known_relay(self, circuit: CircuitAddress) -> PeerInfo:
        """Return where a relay is. It becomes a contact as any that its peer names: counted, given up if it fails."""
        book = self._owner.book
        if self._owner.standings.of(circuit.relay).banned(trio.current_time()):
            raise PeerBannedError(f"The relay of {circuit.peer} is banned for now.")
        book.learn(circuit.relay, circuit.relay_address, Origin.HEARSAY, source=circuit.peer)
        known = book.address_of(circuit.relay)
        if known is None:
            raise PeerUnreachableError(f"No room for the relay of {circuit.peer}.")
        if circuit_in(known) is not None:
            raise PeerUnreachableError(f"The relay of {circuit.peer} is itself behind a relay.")
        return parse_address(known)

    def _judge(self, circuit: CircuitAddress, error: BaseException) -> None:
        """Let a relay pay for its words; what the library raises when no connection comes of it says nothing more."""
        if isinstance(error, Misbehaviour):
            self._owner.penalise(circuit.relay, f"{HOP}: {error.message}", error.weight)
            raise PeerRefusedError(f"Peer {circuit.relay} is no relay: {error.message}") from None
        if isinstance(error, Exception) and not isinstance(error, NetworkError | StreamLostError | trio.TooSlowError):
            raise PeerUnreachableError(f"No circuit to {circuit.peer} ({names_of(error)}).") from None


async def open_stream(live: LiveHost, peer_id: ID, protocol: str) -> INetStream:
    """Open a stream to a connected peer.

    Raises:
        PeerUnreachableError, PeerRefusedError.
    """
    if str(peer_id) not in live.connected():  # or the library would dial it by itself
        raise PeerUnreachableError(f"The connection to {peer_id} was lost.")
    try:
        return await live.host.libp2p.new_stream(peer_id, [TProtocol(protocol)])
    except SwarmException:
        raise PeerUnreachableError(f"The connection to {peer_id} was lost.") from None
    except Exception as error:  # not negotiated, reset, or lost in between
        raise PeerRefusedError(f"Peer {peer_id} did not open {protocol} ({names_of(error)}).") from None


def names_of(error: BaseException) -> str:
    """The types of an error and of what it groups; never its text, which can embed payloads."""
    if isinstance(error, BaseExceptionGroup):
        return ", ".join(sorted({names_of(inner) for inner in error.exceptions}))
    return type(error).__name__
