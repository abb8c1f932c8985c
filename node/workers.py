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
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

import structlog
import trio
import trio_parallel

from protocol.errors import WorkerDiedError

WARM_KEYS = 4
"""Proving keys that one worker keeps in memory."""
_WATCH_S = 0.2

T = TypeVar("T")
_log = structlog.get_logger("proofmesh.workers")
_warm: OrderedDict[str, Any] = OrderedDict()


class WorkerPool:
    """At most `size` jobs at once, each in a process of its own; an async context manager."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._limiter = trio.CapacityLimiter(size)
        self._opening: Any = None
        self._context: Any = None

    async def __aenter__(self) -> WorkerPool:
        self._opening = trio_parallel.open_worker_context(
            idle_timeout=math.inf, init=_watch_parent, grace_period=1.0
        )
        self._context = await self._opening.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._opening.__aexit__(None, None, None)
        except trio_parallel.BrokenWorkerError:
            _log.warning("a proving worker had to be killed")

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return `function(*arguments)` from a worker; both are pickled. Waits while all are busy.

        What the function raises is raised here. Cancelling kills the worker.

        Raises:
            WorkerDiedError: the worker was killed or crashed; the next job gets a new one.
        """
        try:
            result = await self._context.run_sync(
                function, *arguments, kill_on_cancel=True, limiter=self._limiter
            )
        except trio_parallel.BrokenWorkerError:
            _log.warning("a proving worker died", job=getattr(function, "__name__", "job"))
            raise WorkerDiedError("The proving worker ended before it was done.") from None
        return cast(T, result)

    def busy(self) -> int:
        """Return how many jobs run now."""
        return self._limiter.borrowed_tokens


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
