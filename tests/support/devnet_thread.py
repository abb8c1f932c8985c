# SPDX-License-Identifier: GPL-3.0-or-later
"""One devnet for many tests: it lives in a thread of its own, and tests send it scenarios to run."""

from __future__ import annotations

import queue
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import trio
from devnet_market import PROVERS, devnet

from node.devnet.world import World

T = TypeVar("T")


class Market:
    """A running devnet, seen from a test."""

    def __init__(self, world: World, token: trio.lowlevel.TrioToken) -> None:
        self.world = world
        self._token = token

    def run(self, scenario: Callable[[World], Awaitable[T]]) -> T:
        """Run a scenario in the devnet's event loop; return or raise what it does."""
        return trio.from_thread.run(scenario, self.world, trio_token=self._token)


@contextmanager
def running_market(folder: Path) -> Iterator[Market]:
    """Three provers, two verifiers, a publisher and a funded client, for the length of a block."""
    started: queue.Queue[Market | BaseException] = queue.Queue()
    stop = trio.Event()

    async def live() -> None:
        async with devnet(folder, provers=PROVERS, verifiers=2) as world:
            started.put(Market(world, trio.lowlevel.current_trio_token()))
            await stop.wait()

    def body() -> None:
        try:
            trio.run(live)
        except BaseException as error:
            started.put(error)

    thread = threading.Thread(target=body, name="devnet")
    thread.start()
    market = started.get()
    if isinstance(market, BaseException):
        thread.join()
        raise market
    try:
        yield market
    finally:
        trio.from_thread.run_sync(stop.set, trio_token=market._token)
        thread.join()
