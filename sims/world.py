# SPDX-License-Identifier: GPL-3.0-or-later
"""The event heap and the virtual clock, and a source of integers that one seed determines."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from hashlib import sha256
from random import Random

Action = Callable[[], None]
MILLION = 1_000_000
EPOCH = 1_800_000_000 * 10**9
"""Chain time at which every simulation starts, in nanoseconds."""


class Draw:
    """Seeded integers; each purpose has its own stream, so that one more draw here moves nothing there."""

    def __init__(self, seed: int, purpose: str) -> None:
        self._random = Random(int.from_bytes(sha256(f"{seed}/{purpose}".encode()).digest(), "big"))

    def below(self, limit: int) -> int:
        """Return an integer of [0, limit)."""
        return self._random.randrange(limit)

    def between(self, least: int, most: int) -> int:
        """Return an integer of [least, most]."""
        return least + self._random.randrange(most - least + 1)

    def chance(self, ppm: int) -> bool:
        """Return true with a probability in parts per million."""
        return ppm > 0 and self._random.randrange(MILLION) < ppm

    def sample(self, count: int, limit: int) -> list[int]:
        """Return `count` different integers of [0, limit), ascending."""
        left = list(range(limit))
        return sorted(left.pop(self.below(len(left))) for _ in range(min(count, limit)))


class World:
    """What happens next: actions at instants, equal instants in the order in which they were planned."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = self.began = EPOCH
        self.steps = 0
        self._planned = 0
        self._heap: list[tuple[int, int, Action]] = []
        self._trace = sha256(f"seed {seed}\n".encode())
        self.tail: list[str] = []
        self.faults: dict[str, int] = {}
        """How often each kind of fault happened."""
        self.sink: Callable[[str], None] | None = None
        """Gets every line of the trace."""

    def at(self, instant: int, action: Action) -> None:
        """Plan an action; one in the past happens now."""
        self._planned += 1
        heapq.heappush(self._heap, (max(instant, self.now), self._planned, action))

    def after(self, delay: int, action: Action) -> None:
        """Plan an action `delay` nanoseconds from now."""
        self.at(self.now + delay, action)

    def step(self) -> bool:
        """Do the next action. Returns false when nothing is planned."""
        if not self._heap:
            return False
        self.now, _, action = heapq.heappop(self._heap)
        self.steps += 1
        action()
        return True

    def note(self, line: str) -> None:
        """Add a line to the trace, under the present instant."""
        entry = f"{self.now} {line}"
        self._trace.update(entry.encode() + b"\n")
        self.tail.append(entry)
        if len(self.tail) > 200:
            del self.tail[:100]
        if self.sink is not None:
            self.sink(entry)

    def fault(self, kind: str) -> None:
        """Count a fault that happened."""
        self.faults[kind] = self.faults.get(kind, 0) + 1

    def trace_hash(self) -> str:
        """Return SHA-256 over all lines of the trace so far, in hex."""
        return self._trace.hexdigest()
