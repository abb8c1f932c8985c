# SPDX-License-Identifier: GPL-3.0-or-later
"""Where proofs are made: worker processes of this machine (workers.py), or of a Ray cluster (executor_ray.py)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

import structlog

from node.confine.confinement import expected
from node.data_folder import DataFolder
from node.settings import Settings
from node.workers import JobLimits, WorkerPool
from protocol.errors import ConfigError

log = structlog.get_logger("proofmesh.workers")

T = TypeVar("T")


class ExecutorMissingError(ConfigError):
    """The settings name a Ray cluster, and Ray is not installed."""

    code = "PM-CFG-010"
    remedy = "Run `pip install proofmesh[ray]`, or take `prover.ray` out of config.toml."


def executor_of(settings: Settings, folder: DataFolder) -> Executor:
    """Return where a node with these settings proves: this machine's processes, or the Ray cluster that they name.

    Processes of this machine are confined (confine/): of the data folder they see the bundles. A Ray actor is not.

    Raises:
        ExecutorMissingError: they name a cluster, and Ray is not installed.
    """
    # One more than are promised at a time, so that an audit never waits for a proof.
    size = settings.prover.capacity + 1
    if not settings.prover.ray:
        _say_what_is_not_confined()
        return pool_of(settings, folder, size)
    try:
        from node.executor_ray import RayExecutor, connect
    except ImportError:
        raise ExecutorMissingError("Ray is not installed.") from None
    connect(settings.prover.ray)
    return RayExecutor(size)


def pool_of(settings: Settings, folder: DataFolder, size: int, readable: Sequence[Path] = ()) -> WorkerPool:
    """Return `size` confined processes that read the bundles of a data folder, and what is `readable` beside them."""
    powers = () if settings.powers_of_tau is None else (settings.powers_of_tau,)
    return WorkerPool(
        size,
        limits=JobLimits(settings.worker_memory_bytes, settings.worker_seconds),
        readable=(folder.bundles, *powers, *readable),
        scratch=folder.scratch,
    )


def _say_what_is_not_confined() -> None:
    offered = expected()
    if not offered.files:
        log.warning("the kernel has no Landlock: workers can read this user's files")
    if not offered.network_and_processes:
        log.warning("no system call filter for this machine: workers can open connections and start processes")


class Executor(Protocol):
    """At most `size` jobs at once, each in a process of its own; an async context manager."""

    size: int

    async def __aenter__(self) -> Executor: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def run(self, function: Callable[..., T], *arguments: Any, key: str | None = None) -> T:
        """Return `function(*arguments)` from a worker; both are pickled. Waits while all are busy.

        Jobs with one `key` (a program) go to the worker that has its proving key warm, if it is free. What the
        function raises is raised here. Cancelling stops the work.

        Raises:
            WorkerDiedError: the worker ended; the job may be given again, and gets a new one.
        """
        ...

    def busy(self) -> int:
        """Return how many jobs run now."""
        ...
