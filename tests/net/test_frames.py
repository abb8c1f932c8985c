# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames: what arrives in any pieces comes out whole, and nothing too large is read."""

from __future__ import annotations

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from libp2p.network.stream.exceptions import StreamEOF, StreamReset
from trio.testing import MockClock

from node.net.frames import FramedStream, StreamLostError
from protocol.errors import FrameTooLargeError, TruncatedFrameError


class Pieces:
    """A stream that gives fixed pieces, then ends; `pause` seconds before each."""

    def __init__(self, pieces: list[bytes], end: type[Exception] = StreamEOF, pause: float = 0) -> None:
        self.pieces = pieces
        self.end = end
        self.pause = pause
        self.written = b""

    async def read(self, n: int | None = None) -> bytes:
        await trio.sleep(self.pause)
        if not self.pieces:
            raise self.end()
        return self.pieces.pop(0)

    async def write(self, data: bytes) -> None:
        self.written += data


@given(st.lists(st.binary(max_size=300), max_size=5), st.integers(1, 50))
def test_frames_survive_any_split(payloads: list[bytes], step: int) -> None:
    async def run() -> None:
        out = Pieces([])
        for payload in payloads:
            await FramedStream(out).write_frame(payload, 300, 5)
        wire = out.written
        reader = FramedStream(Pieces([wire[i : i + step] for i in range(0, len(wire), step)]))
        assert [await reader.read_frame(300, 5) for _ in payloads] == payloads

    trio.run(run)


async def test_an_oversize_header_is_refused_before_its_body_is_read() -> None:
    stream = Pieces([b"\xff\xff\xff\xff", b"body"])
    with pytest.raises(FrameTooLargeError):
        await FramedStream(stream).read_frame(1000, 5)
    assert stream.pieces == [b"body"]


@pytest.mark.parametrize("pieces", [[b"\0\0"], [b"\0\0\0\x05"], [b"\0\0\0\x05abcd"]])
async def test_half_a_frame_is_never_a_frame(pieces: list[bytes]) -> None:
    with pytest.raises(TruncatedFrameError):
        await FramedStream(Pieces(pieces)).read_frame(1000, 5)


@pytest.mark.parametrize("end", [StreamEOF, StreamReset])
async def test_an_end_between_frames_is_a_lost_stream(end: type[Exception]) -> None:
    with pytest.raises(StreamLostError):
        await FramedStream(Pieces([], end)).read_frame(1000, 5)


async def test_a_trickle_ends_at_the_deadline(autojump_clock: MockClock) -> None:
    stream = Pieces([b"\0\0\0\xff"] + [b"x"] * 250, pause=0.5)
    with pytest.raises(trio.TooSlowError):
        await FramedStream(stream).read_frame(1000, 10)
