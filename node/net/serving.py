# SPDX-License-Identifier: GPL-3.0-or-later
"""Serving streams: quotas before, blame after. Whose fault an exception is decides who pays for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog
import trio
from libp2p.abc import INetStream

from node.net.channel import Channel
from node.net.frames import StreamLostError
from node.net.hardening import reset_quietly
from node.net.standing import Standings
from protocol.errors import FrameTooLargeError, Misbehaviour, SignatureError, TruncatedFrameError, WireError

log = structlog.get_logger("proofmesh.net")

Handler = Callable[[str, bytes], Awaitable[bytes]]
StreamHandler = Callable[[Channel], Awaitable[None]]

OVER_RATE_WEIGHT = 0.5
OVERSIZE_WEIGHT = 25.0
REFUSED_WEIGHT = 10.0
TRUNCATED_WEIGHT = 1.0  # also what a crash or a bad line looks like
SLOW_WEIGHT = 2.0


class Judge(Protocol):
    """What serving needs of the transport."""

    standings: Standings

    def penalise(self, peer: str, reason: str, weight: float) -> None: ...


def serving(
    judge: Judge, protocol: str, handler: StreamHandler, timeout: float
) -> Callable[[INetStream], Awaitable[None]]:
    """Return the libp2p handler that serves `handler` and lets nothing out."""

    async def serve(stream: INetStream) -> None:
        peer = str(stream.muxed_conn.peer_id)
        if not judge.standings.of(peer).requests.take(trio.current_time()):
            judge.penalise(peer, "requests over their rate", OVER_RATE_WEIGHT)
            await reset_quietly(stream)
            return
        channel = Channel(peer, stream, timeout)
        try:
            await handler(channel)
            await channel.finish()
        except Exception as error:
            blame(judge, peer, protocol, error)
            await reset_quietly(stream)

    return serve


def answering(judge: Judge, handler: Handler, max_request: int, timeout: float) -> StreamHandler:
    """Return a stream handler that reads one request and sends one answer."""

    async def answer(channel: Channel) -> None:
        request = await channel.receive(max_request)
        if not judge.standings.of(channel.peer).request_bytes.take(trio.current_time(), len(request)):
            raise Misbehaviour("Request bytes over their rate.", weight=OVER_RATE_WEIGHT)
        with trio.move_on_after(timeout) as scope:
            reply = await handler(channel.peer, request)
        if scope.cancelled_caught:
            raise RuntimeError("handler too slow")  # ours: reset, no blame
        await channel.send(reply)

    return answer


def blame(judge: Judge, peer: str, protocol: str, error: Exception) -> None:
    """Let a peer pay for what its stream raised, if it was the peer's fault."""
    name = type(error).__name__
    match error:
        case StreamLostError():
            return
        case Misbehaviour():
            judge.penalise(peer, f"{protocol}: {error.message}", error.weight)
        case FrameTooLargeError():
            judge.penalise(peer, f"{protocol}: frame too large", OVERSIZE_WEIGHT)
        case TruncatedFrameError():
            judge.penalise(peer, f"{protocol}: half a frame", TRUNCATED_WEIGHT)
        case trio.TooSlowError():
            judge.penalise(peer, f"{protocol}: too slow", SLOW_WEIGHT)
        case WireError() | SignatureError():
            judge.penalise(peer, f"{protocol}: {error.code}", REFUSED_WEIGHT)
        case _:
            log.error("handler failed", protocol=protocol, peer=peer, error=name)
            return
    log.info("request refused", protocol=protocol, peer=peer, error=name)
