# SPDX-License-Identifier: GPL-3.0-or-later
"""One stream to or from an authenticated peer, as whole frames, with typed errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast

import trio
from libp2p.abc import INetStream
from libp2p.io.exceptions import IOException
from libp2p.network.stream.net_stream import NetStream
from libp2p.stream_muxer.exceptions import MuxedStreamError

from node.net.frames import FramedStream, StreamLostError
from protocol.errors import (
    FrameTooLargeError,
    PeerRefusedError,
    PeerTimeoutError,
    ResponseTooLargeError,
    TruncatedFrameError,
)

SEND_CAP_BYTES = 64 * 2**20


class Channel:
    """Frames to and from `peer`. As a server the raw errors of frames.py come out and are judged above."""

    def __init__(self, peer: str, stream: INetStream, timeout: float) -> None:
        self.peer = peer
        self._stream = stream
        self._frames = FramedStream(stream)
        self._timeout = timeout

    async def receive(self, cap: int, timeout: float | None = None) -> bytes:
        """Return the next frame of at most `cap` bytes, whole, within `timeout` seconds."""
        return await self._frames.read_frame(cap, self._timeout if timeout is None else timeout)

    async def send(self, payload: bytes, timeout: float | None = None) -> None:
        """Send one frame; the peer must take it within `timeout` seconds."""
        await self._frames.write_frame(payload, SEND_CAP_BYTES, self._timeout if timeout is None else timeout)

    async def finish(self) -> None:
        """Say that nothing more will be sent; a peer that has all it wants may be gone already."""
        with suppress(IOException, MuxedStreamError, OSError):
            await cast(NetStream, self._stream).close_write()


@contextmanager
def client_errors(peer: str, protocol: str) -> Iterator[None]:
    """Turn what a stream can raise into the errors that callers of the transport know."""
    try:
        yield
    except trio.TooSlowError:
        raise PeerTimeoutError(f"Peer {peer} did not answer {protocol} in time.") from None
    except StreamLostError:
        raise PeerRefusedError(f"Peer {peer} ended the stream {protocol} without an answer.") from None
    except TruncatedFrameError:
        raise PeerRefusedError(f"Peer {peer} ended the stream {protocol} inside an answer.") from None
    except FrameTooLargeError as error:
        raise ResponseTooLargeError(f"Peer {peer} on {protocol}: {error.message}") from None
