# SPDX-License-Identifier: GPL-3.0-or-later
"""Proving in worker processes: confined, cancellable, with keys kept warm, and gone when the node is gone.

A worker compiles and proves with what strangers published, so it gives up all else first (confine/), and a job that
passes its limits is killed with it. Cancelling a job kills its worker. A killed node leaves none behind: each worker
watches its parent (not PR_SET_PDEATHSIG: workers are spawned from a thread that ends, and would die with it).
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar, cast

import structlog
import trio
import trio_parallel
from trio_parallel._proc import SpawnProcWorker

from node.confine.confinement import Confinement, CpuLimit, confine, program_paths
from node.confine.results import AnswerRefusedError, CheckedChannel, nameable
from node.confine.scratch import Scratch
from protocol.errors import WorkerDiedError, WorkerLimitError
from proving.backends import limited_process

WARM_KEYS = 4
"""Proving keys that one worker keeps in memory."""
MEMORY_BYTES = 4 << 30
"""What a worker may hold between jobs: the keys of a few large models."""
_WATCH_S = 0.2
_LIMITS_S = 0.5

T = TypeVar("T")
_log = structlog.get_logger("proofmesh.workers")
_warm: OrderedDict[str, Any] = OrderedDict()


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What one job may use; a job that needs more is killed with its worker. Memory is the whole worker's."""

    memory_bytes: int = 8 << 30
    seconds: float = 1_800.0
    scratch_bytes: int = 4 << 30


class WorkerPool:
    """At most `size` jobs at once, each in a process of its own; an async context manager. See executor.py.

    A job with a `key` (its program) goes to a free worker that had the key last, since that one has the proving key in
    memory; else to the one that is idle longest. No job waits for a worker while another is free. A worker that
    holds more than `memory_bytes` after a job ends, and the next job gets a new one.

    Workers read the program's own files and what is under `readable`, and write to a folder of theirs in `scratch`
    (a temporary one if None).
    """

    def __init__(
        self,
        size: int,
        memory_bytes: int = MEMORY_BYTES,
        *,
        limits: JobLimits = JobLimits(),
        readable: Sequence[Path] = (),
        scratch: Path | None = None,
    ) -> None:
        self.size = size
        self._limiter = trio.CapacityLimiter(size)
        self._memory_bytes = memory_bytes
        self._limits = limits
        self._readable = tuple(path.resolve() for path in readable)
        self._scratch = Scratch(scratch)
        self._free: list[_Slot] = []
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> WorkerPool:
        retire = partial(_holds_more_than, self._memory_bytes)
        self._opened.callback(self._scratch.remove)
        readable = (*program_paths(), *self._readable)
        for number in range(self.size):
            folder = self._scratch.folder(str(number))
            begin = partial(_begin, Confinement(readable, folder, self._limits.memory_bytes))
            # A context for each worker: within one, trio_parallel chooses which takes a job.
            opening: Any = trio_parallel.open_worker_context(
                idle_timeout=math.inf, init=begin, retire=retire, grace_period=1.0
            )
            self._opened.push_async_exit(_closed_by_force(opening))
            self._free.append(_Slot(await opening.__aenter__(), folder))
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
            WorkerLimitError: the job needed more memory, time or disk than it may.
        """
        async with self._limiter:
            slot = self._take(key)
            try:
                kind, result = await self._within_limits(slot, function, arguments)
            except trio_parallel.BrokenWorkerError:
                slot.keys.clear()
                name = getattr(function, "__name__", "job")
                if slot.exit_code() == -signal.SIGXCPU:
                    seconds = self._limits.seconds
                    raise WorkerLimitError(f"The job {name} needed more than {seconds:g} s of CPU time.") from None
                _log.warning("a proving worker died", job=name, exit_code=slot.exit_code())
                raise WorkerDiedError("The proving worker ended before it was done.") from None
            except AnswerRefusedError as error:
                slot.keys.clear()
                _log.error("a proving worker answered what it may not; it was killed", reason=str(error))
                raise WorkerDiedError("The proving worker's answer was refused.") from None
            except BaseException:  # cancelled, or at its limit: the worker is gone
                slot.keys.clear()
                raise
            finally:
                self._scratch.clear(slot.folder)
                self._free.append(slot)
        if kind == "error":
            raise result
        if kind == "memory":
            raise WorkerLimitError(f"The job needed more than {self._limits.memory_bytes >> 20} MiB of memory.")
        return cast(T, result)

    async def _within_limits(
        self, slot: _Slot, function: Callable[..., Any], arguments: Sequence[Any]
    ) -> tuple[str, Any]:
        """Run a job and look at its worker twice a second; at a limit it is killed."""
        reason, answer = "", None
        failure: Exception | None = None
        with trio.move_on_after(self._limits.seconds) as deadline:
            async with trio.open_nursery() as nursery:

                async def watch() -> None:
                    nonlocal reason
                    while not (reason := self._excess(slot)):
                        await trio.sleep(_LIMITS_S)
                    nursery.cancel_scope.cancel()

                nursery.start_soon(watch)
                job = partial(slot.context.run_sync, _answered, self._limits.seconds, function, arguments)
                try:
                    answer = await job(kill_on_cancel=True)
                except Exception as error:  # raised below: inside, the nursery would wrap it
                    failure = error
                nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure
        if answer is None:
            reason = f"{self._limits.seconds:g} s" if deadline.cancelled_caught else reason
            raise WorkerLimitError(f"The job {getattr(function, '__name__', '')} needed more than {reason}.")
        kind, result = answer
        return kind, result

    def _excess(self, slot: _Slot) -> str:
        """Say which limit the slot's worker has passed, if any; those that the kernel does not hold it to."""
        if slot.resident_bytes() > self._limits.memory_bytes:
            return f"{self._limits.memory_bytes >> 20} MiB of memory"
        if self._scratch.size(slot.folder) > self._limits.scratch_bytes:
            return f"{self._limits.scratch_bytes >> 20} MiB of disk"
        return ""

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
    """One worker's context and folder, and the keys of its last jobs, the latest last."""

    context: Any
    folder: Path
    worker: Any = None
    keys: OrderedDict[str | None, None] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        def make(*arguments: Any) -> Any:
            self.worker = _CheckedWorker(*arguments)
            return self.worker

        # trio_parallel has no door for it: its context is a frozen record that keeps the class of its workers.
        self.context.__dict__["_worker_class"] = make

    def exit_code(self) -> int | None:
        return None if self.worker is None else cast("int | None", self.worker.proc.exitcode)

    def resident_bytes(self) -> int:
        process = None if self.worker is None else self.worker.proc.pid
        try:
            return 0 if process is None else _resident(f"/proc/{process}/statm")
        except (OSError, IndexError):
            return 0

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
    return _resident("/proc/self/statm") > memory_bytes


def _resident(statm: str) -> int:
    return int(Path(statm).read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


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


class _CheckedWorker(SpawnProcWorker):  # type: ignore[misc]  # trio_parallel has no types
    """A worker whose answers are checked before they are unpickled."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._receive_chan = CheckedChannel(self._recv_pipe.fileno())


def _begin(confinement: Confinement) -> None:
    """What a worker does first."""
    _watch_parent()
    confine(confinement)
    limited_process.confined()


def _answered(seconds: float, function: Callable[..., T], arguments: Sequence[Any]) -> tuple[str, Any]:
    """Return what a function returns or raises, without the traceback, which names files and lines alone."""
    CpuLimit(seconds)
    try:
        return "value", function(*arguments)
    except MemoryError:
        return "memory", None
    except Exception as error:  # the caller's to handle: it is raised again in the node
        kind = type(error)
        if nameable(kind):
            return "error", error.with_traceback(None)
        return "error", RuntimeError(f"{kind.__module__}.{kind.__qualname__} in a worker")


def _watch_parent() -> None:
    """Start the thread that ends this process within `_WATCH_S` of its parent."""
    parent = multiprocessing.parent_process()
    parent_id = parent.pid if parent is not None else os.getppid()

    def watch() -> None:
        while os.getppid() == parent_id:
            time.sleep(_WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
