# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving on a Ray cluster: `pip install proofmesh[ray]`. The same interface as WorkerPool (executor.py).

Each of `size` slots is an actor, a process somewhere in the cluster that runs one job at a time and keeps its proving
keys warm. An actor whose machine is lost is made again on one that is left; the job it had ends in
WorkerDiedError, as with a local worker, and whoever gave it gives it again. Bundles must lie at one path on all
machines (a shared file system). Who can reach a Ray cluster runs code on it: it belongs in a network of your own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, cast

import ray
import trio
from ray.exceptions import RayActorError, RayTaskError, WorkerCrashedError

from protocol.errors import WorkerDiedError

WARM_KEYS = 4
"""Programs of which an actor is taken to have the proving key, the last ones."""

T = TypeVar("T")


def connect(address: str) -> None:
    """Join the cluster at an address (`auto` is the one on this machine); does nothing when joined already."""
    ray.init(address=address, ignore_reinit_error=True, log_to_driver=False)


class RayExecutor:
    """Runs jobs on the cluster that this process is connected to (`ray.init`); an async context manager.

    `cpus` and `memory_bytes` are what each actor asks of its machine: Ray starts no more than fit, and
    `memory_bytes` also bounds what Ray lets it hold, where Ray's memory monitor is on.
    """

    def __init__(self, size: int, *, cpus: float = 1.0, memory_bytes: int | None = None) -> None:
        self.size = size
        options: dict[str, Any] = {"num_cpus": cpus, "max_restarts": 0}
        if memory_bytes is not None:
            options["memory"] = memory_bytes
        self._worker = ray.remote(**options)(_Worker)
        self._limiter = trio.CapacityLimiter(size)
        self._free: list[_Slot] = []

    async def __aenter__(self) -> RayExecutor:
        self._free = [_Slot(self._worker.remote()) for _ in range(self.size)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for slot in self._free:
            ray.kill(slot.actor)
        self._free.clear()

    async def run(self, function: Callable[..., T], *arguments: Any, key: str | None = None) -> T:
        """Return `function(*arguments)` from an actor; see Executor.run."""
        async with self._limiter:
            slot = self._take(key)
            try:
                result = await self._result(slot.actor.run.remote(function, arguments))
            except (RayActorError, WorkerCrashedError):
                self._replace(slot)
                raise WorkerDiedError("The proving worker ended before it was done.") from None
            except trio.Cancelled:
                # A job that runs cannot be taken back, only its process.
                ray.kill(slot.actor)
                self._replace(slot)
                raise
            finally:
                self._free.append(slot)
        return cast(T, result)

    def busy(self) -> int:
        """Return how many jobs run now."""
        return self._limiter.borrowed_tokens

    async def _result(self, reference: Any) -> Any:
        """Wait in a thread, which is left behind when the wait is cancelled: killing the actor ends it."""

        def wait() -> Any:
            return ray.get(reference)

        try:
            # mypy 2.4 sees no keyword behind a `*args: Unpack[Ts]`.
            return await trio.to_thread.run_sync(wait, abandon_on_cancel=True)  # type: ignore[call-arg]
        except RayTaskError as error:
            # What the function raised, without Ray's wrapping, so that callers see the types they know.
            raise error.cause from None

    def _replace(self, slot: _Slot) -> None:
        slot.actor = self._worker.remote()
        slot.keys.clear()

    def _take(self, key: str | None) -> _Slot:
        """Remove and return a free slot: one that had the key, or else the one that is free longest."""
        chosen = next((slot for slot in reversed(self._free) if key in slot.keys), self._free[0])
        self._free.remove(chosen)
        if key is not None:
            chosen.keys[key] = None
            chosen.keys.move_to_end(key)
            while len(chosen.keys) > WARM_KEYS:
                chosen.keys.popitem(last=False)
        return chosen


class _Slot:
    """An actor, and the keys of its last jobs."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor
        self.keys: OrderedDict[str | None, None] = OrderedDict()


class _Worker:
    """The actor: what `warm` keeps lives as long as it does."""

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        return function(*arguments)
