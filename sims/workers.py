# SPDX-License-Identifier: GPL-3.0-or-later
"""The workers of a simulated prover: so many proofs at a time, the others in turn; what is wanted no longer is stopped.

As in `node/role_shell.py` a proof whose job is settled by somebody else, or released, frees its worker at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from market.effects import StartProof
from market.wanted import wanted
from sims.shell import Shell


@dataclass(slots=True, eq=False)
class Work:
    """One proof that is being made or waits for a worker. Times in nanoseconds."""

    effect: StartProof
    took: int
    made: Callable[[], None]
    stopped: Callable[[], None]
    over: bool = False


class Workers:
    """Proves in the order in which it is asked."""

    def __init__(self, node: Shell[Any], capacity: int) -> None:
        self._node = node
        self._capacity = capacity
        self._running: list[Work] = []
        self._queue: deque[Work] = deque()

    def clear(self) -> None:
        """Begin with idle workers: the process is a new one."""
        self._running.clear()
        self._queue.clear()

    def begin(self, work: Work) -> None:
        """Prove on a free worker, or wait for one."""
        self._queue.append(work)
        self._next()

    def stop_unwanted(self) -> None:
        """Stop what the machine does not wait for any more."""
        gone = [work for work in (*self._running, *self._queue) if not wanted(self._node.state, work.effect)]
        if not gone:
            return
        self._running = [work for work in self._running if work not in gone]
        self._queue = deque(work for work in self._queue if work not in gone)
        for work in gone:
            work.over = True
        self._next()
        for work in gone:
            work.stopped()

    def _next(self) -> None:
        while self._queue and len(self._running) < self._capacity:
            self._run(self._queue.popleft())

    def _run(self, work: Work) -> None:
        self._running.append(work)
        self._node.later(work.took, lambda: self._end(work))

    def _end(self, work: Work) -> None:
        if not work.over:
            work.over = True
            self._running.remove(work)
            self._next()
            work.made()
