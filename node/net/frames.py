# SPDX-License-Identifier: GPL-3.0-or-later
"""Length-framed bytes on a stream, with a cap checked before the body is read and a deadline for each frame.

A killed peer reads as a clean end of stream, so only a whole frame counts as received.
"""

from __future__ import annotations

from typing import Protocol

import trio
from libp2p.io.exceptions import IOException
from libp2p.network.stream.exceptions import StreamEOF

from protocol.errors import TruncatedFrameError
from protocol.framing import HEADER_BYTES, frame, length

SLICE_BYTES = 64 * 1024  # one yamux frame: what a slow link must pass within the write deadline


class ByteStream(Protocol):
    """The part of a libp2p stream that frames need."""

    async def read(self, n: int | None = None) -> bytes: ...

    async def write(self, data: bytes) -> None: ...


class StreamLostError(Exception):
    """The stream ended or was reset where a frame could begin."""


class FramedStream:
    """Whole frames over one stream; use it for all reads of that stream."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def read_frame(self, cap: int, timeout: float) -> bytes:
        """Return the next frame's body of at most `cap` bytes.

        Raises:
            FrameTooLargeError: the header announces more; nothing of the body is read.
            TruncatedFrameError: the stream ended inside the frame.
            StreamLostError: it ended before the frame.
            trio.TooSlowError: the whole frame did not come within `timeout` seconds.
        """
        with trio.fail_after(timeout):
            header = await self._take(HEADER_BYTES, inside=False)
            size = length(header, cap)
            return await self._take(size, inside=True)

    async def write_frame(self, payload: bytes, cap: int, timeout: float) -> None:
        """Send one frame.

        Raises:
            FrameTooLargeError: it is longer than `cap`.
            StreamLostError: the peer closed or reset the stream.
            trio.TooSlowError: the peer did not take it within `timeout` seconds.
        """
        data = frame(payload, cap)
        try:
            with trio.fail_after(timeout):
                for start in range(0, len(data), SLICE_BYTES):
                    await self._stream.write(data[start : start + SLICE_BYTES])
        except (IOException, OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise StreamLostError(type(error).__name__) from None

    async def _take(self, size: int, *, inside: bool) -> bytes:
        while len(self._buffer) < size:
            try:
                data = await self._stream.read(SLICE_BYTES)
            except (IOException, OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                if isinstance(error, StreamEOF) and (inside or self._buffer):
                    raise TruncatedFrameError(
                        f"The stream ended after {len(self._buffer)} of {size} bytes."
                    ) from None
                raise StreamLostError(type(error).__name__) from None
            if not data:
                raise StreamLostError("empty read")
            self._buffer += data
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken
