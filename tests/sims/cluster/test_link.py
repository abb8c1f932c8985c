# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy passes bytes on unchanged, and cuts, stalls, delays and truncates when it is told to."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from sims.cluster.link import Link, Mode, ports_of

GUARD_SECONDS = 20.0


async def _echo(stream: trio.SocketStream) -> None:
    async for data in stream:
        await stream.send_all(data)


@asynccontextmanager
async def echo_behind_a_link() -> AsyncIterator[Link]:
    """An echo server with a link before it."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, _echo, [listener])
        link = Link(listener.socket.getsockname()[1])
        await nursery.start(link.run)
        with trio.fail_after(GUARD_SECONDS):
            yield link
        nursery.cancel_scope.cancel()


async def _connect(link: Link) -> trio.SocketStream:
    return await trio.open_tcp_stream("127.0.0.1", link.port)


async def _exactly(stream: trio.SocketStream, count: int) -> bytes:
    found = b""
    while len(found) < count and (data := await stream.receive_some()):
        found += data
    return found


async def _ended(stream: trio.SocketStream) -> bool:
    try:
        return await stream.receive_some() == b""
    except trio.BrokenResourceError:
        return True


async def test_bytes_pass_both_ways_unchanged() -> None:
    sent = os.urandom(300_000)
    async with echo_behind_a_link() as link, await _connect(link) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, sent)
        assert await _exactly(stream, len(sent)) == sent


async def test_the_end_of_one_side_ends_the_other() -> None:
    async with echo_behind_a_link() as link, await _connect(link) as stream:
        await stream.send_all(b"last words")
        await stream.send_eof()
        assert await _exactly(stream, 10) == b"last words"
        assert await _ended(stream)


async def test_a_cut_closes_what_is_open_and_takes_nothing_new_until_it_heals() -> None:
    async with echo_behind_a_link() as link:
        async with await _connect(link) as stream:
            await stream.send_all(b"x")
            assert await _exactly(stream, 1) == b"x"
            link.set(Mode.CUT)
            assert await _ended(stream)
        async with await _connect(link) as stream:
            assert await _ended(stream)
        link.set(Mode.OPEN)
        async with await _connect(link) as stream:
            await stream.send_all(b"y")
            assert await _exactly(stream, 1) == b"y"


async def test_a_stalled_link_holds_bytes_back_and_loses_none(autojump_clock: trio.testing.MockClock) -> None:
    link = Link(0)
    near, far = trio.testing.memory_stream_pair()
    from_far, to_far = trio.testing.memory_stream_pair()
    link.set(Mode.STALL)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: link._pump(far, to_far, answers=False))  # type: ignore[arg-type]
        await near.send_all(b"held")
        with trio.move_on_after(60) as waited:
            await from_far.receive_some()
        assert waited.cancelled_caught
        link.set(Mode.OPEN)
        assert await from_far.receive_some() == b"held"
        nursery.cancel_scope.cancel()


async def test_an_answer_is_cut_off_in_the_middle() -> None:
    async with echo_behind_a_link() as link:
        link.set(Mode.TRUNCATE)
        async with await _connect(link) as stream:
            await stream.send_all(b"0123456789")
            assert await _exactly(stream, 10) == b"01234"


async def test_a_connection_of_a_process_that_is_cut_off_is_refused() -> None:
    async with echo_behind_a_link() as link:
        link.refused = lambda port: port in ports_of([os.getpid()])
        async with await _connect(link) as stream:
            assert await _ended(stream)
        link.refused = lambda port: port in ports_of([])
        async with await _connect(link) as stream:
            await stream.send_all(b"z")
            assert await _exactly(stream, 1) == b"z"


async def test_the_ports_of_a_process_are_those_of_its_connections() -> None:
    async with echo_behind_a_link() as link, await _connect(link) as stream:
        await stream.send_all(b"w")
        assert await _exactly(stream, 1) == b"w"
        own = stream.socket.getsockname()[1]
        assert {own, link.port, link.target} <= ports_of([os.getpid()])
        assert own not in ports_of([1 << 22])
        link.close([own])
        assert await _ended(stream)


def test_a_link_is_open_unless_told_otherwise() -> None:
    assert Link(1).mode is Mode.OPEN


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_can_be_left(mode: Mode) -> None:
    link = Link(1)
    link.set(mode, 5)
    link.set(Mode.OPEN)
    assert (link.mode, link.delay_seconds) == (Mode.OPEN, 0.0)
