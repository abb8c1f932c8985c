# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving in worker processes: cancellable, with keys kept warm, and gone when the node is gone.

Cancelling a job kills its worker. A killed node leaves none behind: each worker watches its parent
(not PR_SET_PDEATHSIG: workers are spawned from a thread that ends, and would die with it).
"""

from __future__ import annotations

import math
import multiprocessing
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

import structlog
import trio
import trio_parallel

from protocol.errors import WorkerDiedError

WARM_KEYS = 4
"""Proving keys that one worker keeps in memory."""
MEMORY_BYTES = 4 << 30
"""What a worker may hold between jobs: the keys of a few large models."""
_WATCH_S = 0.2

T = TypeVar("T")
_log = structlog.get_logger("proofmesh.workers")
_warm: OrderedDict[str, Any] = OrderedDict()


class WorkerPool:
    """At most `size` jobs at once, each in a process of its own; an async context manager. See executor.py.

    A job with a `key` (its program) goes to a free worker that had the key last, since that one has the proving key in
    memory; else to the one that is idle longest. No job waits for a worker while another is free. A worker that
    holds more than `memory_bytes` after a job ends, and the next job gets a new one.
    """

    def __init__(self, size: int, memory_bytes: int = MEMORY_BYTES) -> None:
        self.size = size
        self._limiter = trio.CapacityLimiter(size)
        self._memory_bytes = memory_bytes
        self._free: list[_Slot] = []
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> WorkerPool:
        retire = partial(_holds_more_than, self._memory_bytes)
        for _ in range(self.size):
            # A context for each worker: within one, trio_parallel chooses which takes a job.
            opening: Any = trio_parallel.open_worker_context(
                idle_timeout=math.inf, init=_watch_parent, retire=retire, grace_period=1.0
            )
            self._opened.push_async_exit(_closed_by_force(opening))
            self._free.append(_Slot(await opening.__aenter__()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    async def run(self, function: Callable[..., T], *arguments: Any, key: str | None = None) -> T:
        """Return `function(*arguments)` from a worker; both are pickled. Waits while all are busy.

        What the function raises is raised here. Cancelling kills the worker.

        Raises:
            WorkerDiedError: the worker was killed or crashed; the next job gets a new one.
        """
        async with self._limiter:
            slot = self._take(key)
            try:
                result = await slot.context.run_sync(function, *arguments, kill_on_cancel=True)
            except trio_parallel.BrokenWorkerError:
                slot.keys.clear()
                _log.warning("a proving worker died", job=getattr(function, "__name__", "job"))
                raise WorkerDiedError("The proving worker ended before it was done.") from None
            except trio.Cancelled:
                slot.keys.clear()
                raise
            finally:
                self._free.append(slot)
        return cast(T, result)

    def busy(self) -> int:
        """Return how many jobs run now."""
        return self._limiter.borrowed_tokens

    def _take(self, key: str | None) -> _Slot:
        """Remove and return a free slot: one that had the key, or else the one that is free longest."""
        chosen = next((slot for slot in reversed(self._free) if key in slot.keys), self._free[0])
        self._free.remove(chosen)
        if key is not None:
            chosen.note(key)
        return chosen


@dataclass(eq=False, slots=True)
class _Slot:
    """One worker's context, and the keys of its last jobs, the latest last."""

    context: Any
    keys: OrderedDict[str | None, None] = field(default_factory=OrderedDict)

    def note(self, key: str) -> None:
        self.keys[key] = None
        self.keys.move_to_end(key)
        while len(self.keys) > WARM_KEYS:
            self.keys.popitem(last=False)


def _closed_by_force(opening: Any) -> Callable[..., Awaitable[None]]:
    async def close(*_: object) -> None:
        try:
            await opening.__aexit__(None, None, None)
        except trio_parallel.BrokenWorkerError:
            _log.warning("a proving worker had to be killed")

    return close


def _holds_more_than(memory_bytes: int) -> bool:
    """Say, in a worker, whether its resident memory is larger."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") > memory_bytes


def warm(key: str, load: Callable[[], T]) -> T:
    """Return what `load` gives, kept in this process under `key`; for use inside a worker.

    The least recently used goes when there are more than `WARM_KEYS`.
    """
    if key in _warm:
        _warm.move_to_end(key)
    else:
        while len(_warm) >= WARM_KEYS:
            _warm.popitem(last=False)
        _warm[key] = load()
    return cast(T, _warm[key])


def _watch_parent() -> None:
    """Start the thread that ends this process within `_WATCH_S` of its parent."""
    parent = multiprocessing.parent_process()
    parent_id = parent.pid if parent is not None else os.getppid()

    def watch() -> None:
        while os.getppid() == parent_id:
            time.sleep(_WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
