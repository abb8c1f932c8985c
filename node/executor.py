# SPDX-License-Identifier: GPL-3.0-or-later
"""Where proofs are made: worker processes of this machine (workers.py), or of a Ray cluster (executor_ray.py)."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, TypeVar

from node.settings import ProverSettings
from node.workers import WorkerPool
from protocol.errors import ConfigError

T = TypeVar("T")


class ExecutorMissingError(ConfigError):
    """The settings name a Ray cluster, and Ray is not installed."""

    code = "PM-CFG-010"
    remedy = "Run `pip install proofmesh[ray]`, or take `prover.ray` out of config.toml."


def executor_of(settings: ProverSettings) -> Executor:
    """Return where a node with these settings proves: this machine's processes, or the Ray cluster that they name.

    Raises:
        ExecutorMissingError: they name a cluster, and Ray is not installed.
    """
    # One more than are promised at a time, so that an audit never waits for a proof.
    size = settings.capacity + 1
    if not settings.ray:
        return WorkerPool(size)
    try:
        from node.executor_ray import RayExecutor, connect
    except ImportError:
        raise ExecutorMissingError("Ray is not installed.") from None
    connect(settings.ray)
    return RayExecutor(size)


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
