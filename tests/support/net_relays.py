# SPDX-License-Identifier: GPL-3.0-or-later
"""Relays, peers that nobody can dial, and relays that lie, on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace

import multiaddr  # type: ignore[import-untyped]
import trio
from google.protobuf.message import Message
from libp2p.abc import INetStream
from libp2p.host.basic_host import BasicHost
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, Reservation, StopMessage
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId as PeerMessage
from libp2p.relay.circuit_v2.protocol_buffer import StatusCode, to_proto_status
from libp2p.utils.varint import encode_varint_prefixed
from net_peers import ECHO, HANG_GUARD, LOOPBACK, QUICK, Open, transport, until

from node.net import Limits, NetworkIdentity, Transport
from node.net.circuits import HOP, STOP, read_message
from node.net.host import build
from node.net.identity import fresh
from protocol.errors import NetworkError

Answer = Callable[[INetStream, HopMessage], Awaitable[None]]
SECONDS = 60.0
RELAYED = replace(QUICK, handshake_timeout=60.0, ping_interval=30.0)
"""For nodes that share a busy machine with the test: what goes by a relay takes many turns."""


def relay_node(
    limits: Limits = RELAYED, *, listen: str = LOOPBACK, identity: NetworkIdentity | None = None
) -> AbstractAsyncContextManager[Transport]:
    """A node that carries for others."""
    return transport(listen=listen, limits=limits, identity=identity, serves_as_relay=True)


@asynccontextmanager
async def hidden(
    *relays: Transport, bootstrap: str | None = None, limits: Limits = RELAYED, identity: NetworkIdentity | None = None
) -> AsyncIterator[Transport]:
    """A node that listens on nothing, with a reservation at each of the relays."""
    addresses = [relay.addresses[0] for relay in relays]
    others = [bootstrap] if bootstrap is not None else []
    async with transport(*others, listen=None, limits=limits, identity=identity, relays=addresses) as node:
        await until(lambda: len(node.reservations.addresses) == len(relays))
        yield node


async def reach(node: Transport, address: str) -> str:
    """Connect to a peer, however busy the machine is."""
    return await node.connect(address, timeout=HANG_GUARD)


async def answered(node: Transport, address: str) -> None:
    """Ask a peer until it answers: a machine may be too busy for the deadlines of one request."""
    with trio.fail_after(HANG_GUARD):
        while True:
            with suppress(NetworkError):
                assert await node.request(address, ECHO, b"1", 100) == b"echo 1"
                return
            await trio.sleep(0.1)


async def end(node: Transport) -> None:
    """Stop a node before its block ends."""
    assert node._nursery is not None
    node._nursery.cancel_scope.cancel()
    await until(lambda: node._nursery is None)


def by(relay: Transport, peer: str) -> str:
    """A peer's address at a relay."""
    return f"{relay.addresses[0]}/p2p-circuit/p2p/{peer}"


# --- what a hostile peer says to a relay -------------------------------------------------


def framed(message: Message) -> bytes:
    return encode_varint_prefixed(message.SerializeToString())


def connect_to(peer: str) -> bytes:
    target = PeerMessage(id=ID.from_base58(peer).to_bytes())
    return framed(HopMessage(type=HopMessage.CONNECT, peer=target))


RESERVE = framed(HopMessage(type=HopMessage.RESERVE))


async def said(stream: INetStream, words: bytes) -> HopMessage:
    """What a relay answers to these bytes."""
    await stream.write(words)
    return await read_message(stream, HopMessage, SECONDS)


# --- relays that lie ---------------------------------------------------------------------


class LyingRelay:
    """A host that answers on HOP as the test says, and can bring circuits on STOP."""

    def __init__(self, host: BasicHost, address: str) -> None:
        self.host = host
        self.address = address
        self.reserved = 0

    @property
    def peer_id(self) -> str:
        return str(self.host.get_id())

    async def bring(self, peer: str, words: bytes) -> INetStream:
        """Open a STOP stream to a peer and say something on it."""
        stream = await self.host.new_stream(ID.from_base58(peer), [STOP])  # type: ignore[list-item]
        await stream.write(words)
        return stream


@asynccontextmanager
async def lying_relay(answer: Answer) -> AsyncIterator[LyingRelay]:
    host = build(fresh(), QUICK, Open()).libp2p
    async with host.run([multiaddr.Multiaddr(LOOPBACK)]):
        relay = LyingRelay(host, f"{host.get_transport_addrs()[0]}/p2p/{host.get_id()}")

        async def handle(stream: INetStream) -> None:
            message = await read_message(stream, HopMessage, SECONDS)
            relay.reserved += message.type == HopMessage.RESERVE
            await answer(stream, message)

        host.set_stream_handler(HOP, handle)  # type: ignore[arg-type]
        yield relay


def granted(expire: int = 2**40) -> bytes:
    """A reservation until the end of time, by default, at addresses that are none of the relay's."""
    return framed(
        HopMessage(
            type=HopMessage.STATUS,
            status=to_proto_status(StatusCode.OK),
            reservation=Reservation(expire=expire, addrs=[b"\xff" * 40], voucher=b"\xff" * 40),
        )
    )


def status(code: StatusCode) -> bytes:
    return framed(HopMessage(type=HopMessage.STATUS, status=to_proto_status(code)))


def brought(peer: str) -> bytes:
    """A circuit that is said to come from a peer."""
    source = PeerMessage(id=ID.from_base58(peer).to_bytes())
    return framed(StopMessage(type=StopMessage.CONNECT, peer=source))


async def silence(stream: INetStream, message: HopMessage) -> None:
    await trio.sleep_forever()
