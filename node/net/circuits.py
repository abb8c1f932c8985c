# SPDX-License-Identifier: GPL-3.0-or-later
"""Circuits: connections that a third peer, a relay, carries between two that cannot reach each other.

Here are their addresses and the words of circuit relay v2 on the wire; `relay.py` carries circuits, `reservations.py`
takes them. What travels inside is Noise again, so a relay sees who speaks to whom and how much, and nothing else. Of
py-libp2p's own relay only the protobuf messages are used: docs/adr/0014 says why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeVar, cast

import multiaddr  # type: ignore[import-untyped]
import trio
from google.protobuf.message import DecodeError, Message
from libp2p.abc import INetStream
from libp2p.connection_types import ConnectionType
from libp2p.exceptions import ParseError
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import IOException, MessageTooLarge
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.stream.exceptions import StreamEOF, StreamReset
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage
from libp2p.relay.circuit_v2.pb.circuit_pb2 import PeerId as PeerMessage
from libp2p.relay.circuit_v2.protocol_buffer import StatusCode
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.utils.varint import encode_varint_prefixed, read_varint_prefixed_bytes_limited

from node.net.frames import StreamLostError
from node.net.hardening import reset_quietly
from protocol.errors import AddressError, Misbehaviour, PeerRefusedError

HOP = "/libp2p/circuit/relay/0.2.0/hop"
STOP = "/libp2p/circuit/relay/0.2.0/stop"
MESSAGE_CAP_BYTES = 4096
GARBAGE_WEIGHT = 25.0
_PEER = "[1-9A-HJ-NP-Za-km-z]{32,128}"
_ADDRESS = re.compile(
    rf"(/(?:ip4|ip6|dns|dns4|dns6)/[^/]+/tcp/\d{{1,5}}/p2p/({_PEER}))/p2p-circuit/p2p/({_PEER})"
)

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class CircuitAddress:
    """`<relay_address>/p2p-circuit/p2p/<peer>`; `relay_address` ends in `/p2p/<relay>`."""

    relay: str
    relay_address: str
    peer: str

    def __str__(self) -> str:
        return f"{self.relay_address}/p2p-circuit/p2p/{self.peer}"


def circuit_in(address: str) -> CircuitAddress | None:
    """Return what the address of a circuit names, None for an address of any other kind.

    Raises:
        AddressError: it speaks of a circuit and does not have exactly this form: one relay, at a TCP address.
    """
    if "p2p-circuit" not in address:
        return None
    found = _ADDRESS.fullmatch(address)
    if found is None or found[2] == found[3]:
        raise AddressError(f"{address[:300]!r} is not the address of a circuit.")
    return CircuitAddress(relay=found[2], relay_address=found[1], peer=found[3])


# --- messages ----------------------------------------------------------------------------


async def read_message(stream: INetStream, kind: type[M], timeout: float) -> M:
    """Return the next message of at most 4 KiB.

    Raises:
        Misbehaviour: it is longer, or no such message.
        StreamLostError: the stream ended before it was whole.
        trio.TooSlowError: it was not there in time.
    """
    message = kind()
    try:
        with trio.fail_after(timeout):
            message.ParseFromString(await read_varint_prefixed_bytes_limited(stream, MESSAGE_CAP_BYTES))
    except (DecodeError, ParseError, MessageTooLarge) as error:
        raise Misbehaviour(f"No relay message ({type(error).__name__}).", weight=GARBAGE_WEIGHT) from None
    except (IOException, OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise StreamLostError(type(error).__name__) from None
    return message


async def write_message(stream: INetStream, message: Message, timeout: float) -> None:
    """Send one message.

    Raises:
        StreamLostError, trio.TooSlowError: the peer did not take it.
    """
    try:
        with trio.fail_after(timeout):
            await stream.write(encode_varint_prefixed(message.SerializeToString()))
    except (IOException, OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise StreamLostError(type(error).__name__) from None


def status_name(value: int) -> str:
    """Name a status that a peer sent, whatever number it is."""
    try:
        return StatusCode(value).name
    except ValueError:
        return "an unknown status"


# --- connections -------------------------------------------------------------------------


class _CircuitStream(ReadWriteCloser):
    """A stream of a relay as the bytes of a connection: a stream that ends reads as a socket that does."""

    def __init__(self, stream: INetStream) -> None:
        self._stream = stream

    async def read(self, n: int | None = None) -> bytes:
        try:
            return await self._stream.read(n)
        except (StreamEOF, StreamReset):
            return b""

    async def write(self, data: bytes) -> None:
        await self._stream.write(data)

    async def close(self) -> None:
        await reset_quietly(self._stream)

    def get_remote_address(self) -> tuple[str, int] | None:
        return None  # the relay's would be taken for the peer's


def carried(stream: INetStream, relay: str, *, initiator: bool) -> RawConnection:
    """Return a stream of a relay as a connection to be secured end to end."""
    where = multiaddr.Multiaddr(f"/p2p/{relay}/p2p-circuit")
    return RawConnection(_CircuitStream(stream), initiator, ConnectionType.RELAYED, [where])


def relay_under(muxer: object) -> str | None:
    """Return the relay that carries a connection, None if nobody does."""
    connection = cast(Yamux, muxer)
    if connection.get_connection_type() is not ConnectionType.RELAYED:
        return None
    return str(connection.get_transport_addresses()[0]).split("/")[2]


async def ask_for_circuit(stream: INetStream, peer: str, timeout: float) -> None:
    """Ask a relay, on a fresh stream to it, for a circuit to `peer`; what comes next on the stream is the peer's.

    Raises:
        PeerRefusedError: the relay does not make one.
        Misbehaviour: it does not speak the protocol.
        StreamLostError, trio.TooSlowError: it is silent.
    """
    target = PeerMessage(id=ID.from_base58(peer).to_bytes())
    await write_message(stream, HopMessage(type=HopMessage.CONNECT, peer=target), timeout)
    answer = await read_message(stream, HopMessage, timeout)
    if answer.type != HopMessage.STATUS:
        raise Misbehaviour("A relay answered with no status.", weight=GARBAGE_WEIGHT)
    if int(answer.status) != StatusCode.OK:
        raise PeerRefusedError(f"The relay makes no circuit to {peer} ({status_name(answer.status)}).")
