# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP proxy in front of one port that can cut, stall, delay and truncate what passes.

One stands before each node's listening port (peers are told the proxy's address) and one between each node
and the chain. Bytes are passed on unread: Noise and HTTP are the real ones.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # its stubs hide trio's own types from mypy

CHUNK_BYTES = 64 * 1024
CONNECT_SECONDS = 5.0


class Mode(StrEnum):
    """What a link does to its connections."""

    OPEN = "open"
    CUT = "cut"
    STALL = "stall"
    SLOW = "slow"
    TRUNCATE = "truncate"


@dataclass
class Link:
    """A proxy to `target` (a port of this machine); `refused` says whether a client port may not connect now."""

    target: int
    refused: Callable[[int], bool] = lambda port: False
    port: int = 0
    mode: Mode = Mode.OPEN
    delay_seconds: float = 0.0
    faults: int = 0
    """How often it was broken so far."""
    _changed: trio.Event = field(default_factory=trio.Event)
    _open: dict[int, trio.CancelScope] = field(default_factory=dict)
    """Connections by the port of the side that connected."""

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and pass on, until cancelled; started once `port` is known."""
        (listener,) = await trio.open_tcp_listeners(self.port, host="127.0.0.1")
        self.port = int(listener.socket.getsockname()[1])
        task_status.started()
        await trio.serve_listeners(self._serve, [listener])

    def set(self, mode: Mode, delay_ms: int = 0) -> None:
        """Change what the link does; a cut closes what is open."""
        self.mode, self.delay_seconds = mode, delay_ms / 1000
        self.faults += mode is not Mode.OPEN
        self._changed.set()
        self._changed = trio.Event()
        if mode is Mode.CUT:
            self.close(list(self._open))

    def close(self, client_ports: Iterable[int]) -> None:
        """Close the connections that came from these ports."""
        for port in client_ports:
            if port in self._open:
                self._open[port].cancel()

    async def _serve(self, near: trio.SocketStream) -> None:
        async with near:
            far = await self._connect(near)
            if far is None:
                return
            port = int(near.socket.getpeername()[1])
            async with far:
                with trio.CancelScope() as scope:
                    self._open[port] = scope
                    try:
                        await self._pass(near, far)
                    finally:
                        del self._open[port]

    async def _connect(self, near: trio.SocketStream) -> trio.SocketStream | None:
        """Return a connection to the target, None when this one may not or cannot be."""
        try:
            if self.mode is Mode.CUT or self.refused(int(near.socket.getpeername()[1])):
                return None
            with trio.fail_after(CONNECT_SECONDS):
                return await trio.open_tcp_stream("127.0.0.1", self.target)
        except (OSError, trio.TooSlowError):
            return None

    async def _pass(self, near: trio.SocketStream, far: trio.SocketStream) -> None:
        """Pass bytes on in both directions until the target has ended, or either side breaks."""
        async with trio.open_nursery() as nursery:

            async def requests() -> None:
                if await self._pump(near, far, answers=False):
                    return  # what was asked may still be answered
                nursery.cancel_scope.cancel()

            nursery.start_soon(requests)
            await self._pump(far, near, answers=True)
            nursery.cancel_scope.cancel()

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream, *, answers: bool) -> bool:
        """Pass bytes on; True at the end of the source, False if a side broke or an answer was cut off."""
        try:
            while data := await source.receive_some(CHUNK_BYTES):
                while self.mode is Mode.STALL:
                    await self._changed.wait()
                if self.mode is Mode.SLOW:
                    await trio.sleep(self.delay_seconds)
                if self.mode is Mode.TRUNCATE and answers:
                    await sink.send_all(data[: len(data) // 2])
                    return False
                await sink.send_all(data)
            await sink.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            return False
        return True


def ports_of(pids: Iterable[int]) -> frozenset[int]:
    """Return the local TCP ports of the sockets of some processes (Linux; IPv4)."""
    inodes: set[str] = set()
    for pid in pids:
        try:
            for entry in os.scandir(f"/proc/{pid}/fd"):
                target = os.readlink(entry.path)
                if target.startswith("socket:["):
                    inodes.add(target[8:-1])
        except OSError:
            continue  # it ended while we looked
    ports = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        columns = line.split()
        if columns[9] in inodes:
            ports.add(int(columns[1].rsplit(":", 1)[1], 16))
    return frozenset(ports)
