# SPDX-License-Identifier: GPL-3.0-or-later
"""Does a daemon grow? Samples of memory, descriptors, tasks, threads and disk, thirds of time compared. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from statistics import median
from typing import Any

MOST_MEMORY_PERCENT = 5
"""How much the last third's median memory may be above the second's."""
ROUGH_PERCENT = 25
"""The same while things break, for descriptors and tasks as well: a node that was cut off holds less for a while, and
its peers come back over two connections each."""
LEAST_SAMPLES = 30
"""A life with fewer is too short to judge."""
STEADY_SECONDS = 20 * 60
"""A life below this is judged roughly: what a node holds follows the few jobs that are on their way."""
DISK_BYTES = 16 * 10**6
"""What a node may write before it is used for anything: SQLite's write-ahead log alone takes 4 MB."""
DISK_BYTES_PER_JOB = 256 * 1024
"""What a job may leave on one node's disk."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a daemon. `rss`: bytes of its own process; `all_rss`: with its workers; `tasks`, `threads`:
    as it last told, zero when it has not yet."""

    at: float
    pid: int
    rss: int
    all_rss: int
    files: int
    tasks: int
    threads: int
    disk: int
    cpu: float

    def row(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Lives:
    """The longest life of a daemon, by thirds: medians of memory, and the levels to which the rest falls back."""

    seconds: float
    memory: tuple[float, float, float]
    files: tuple[int, int, int]
    tasks: tuple[int, int, int]
    threads: tuple[int, int, int]
    highest: tuple[int, int, int]
    """The most descriptors, tasks and threads in the second third."""
    usual: tuple[int, int, int]
    """Their medians in the last third."""


def longest_life(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples of the process that was looked at most often."""
    lives = [list(life) for _, life in groupby(samples, key=lambda sample: sample.pid)]
    return max(lives, key=len, default=[])


def lives(samples: Sequence[Sample]) -> Lives | None:
    """Return the thirds of a daemon's longest life, None if it is too short to judge."""
    life = longest_life(samples)
    if len(life) < LEAST_SAMPLES:
        return None
    size = len(life) // 3
    thirds = (life[:size], life[size : 2 * size], life[2 * size :])

    def level(part: Sequence[Sample], of: Callable[[Sample], int]) -> int:
        return min((of(sample) for sample in part if of(sample)), default=0)

    def levels(of: Callable[[Sample], int]) -> tuple[int, int, int]:
        first, second, third = (level(part, of) for part in thirds)
        return first, second, third

    def counted(of: Callable[[list[int]], int], part: Sequence[Sample]) -> tuple[int, int, int]:
        return (
            of([sample.files for sample in part]),
            of([sample.tasks for sample in part]),
            of([sample.threads for sample in part]),
        )

    first, second, third = (median(sample.rss for sample in part) for part in thirds)
    return Lives(
        seconds=life[-1].at - life[0].at,
        memory=(first, second, third),
        files=levels(lambda sample: sample.files),
        tasks=levels(lambda sample: sample.tasks),
        threads=levels(lambda sample: sample.threads),
        highest=counted(lambda values: max(values), thirds[1]),
        usual=counted(lambda values: round(median(values)), thirds[2]),
    )


def growth(name: str, samples: Sequence[Sample], jobs: int, *, steady: bool = True) -> Iterable[str]:
    """Say in words what grew.

    Memory: medians of the last and the second third. Descriptors, tasks and threads follow the clients that come
    and go, so in a long life in a steady world the level is compared to which they fall back; otherwise the usual
    number may be a quarter above the highest of the second third. Disk: by jobs done.
    """
    thirds = lives(samples)
    if thirds is None:
        return
    steady = steady and thirds.seconds >= STEADY_SECONDS
    _, second, third = thirds.memory
    if third * 100 > second * (100 + (MOST_MEMORY_PERCENT if steady else ROUGH_PERCENT)):
        yield f"{name}: memory in the last third is {third / second:.1%} of that in the second."
    levels = (thirds.files, thirds.tasks, thirds.threads)
    for index, what in enumerate(("descriptors", "tasks", "threads")):
        before, now = levels[index][1:] if steady else (thirds.highest[index], thirds.usual[index])
        if now * 100 > before * (100 if steady else 100 + ROUGH_PERCENT):
            yield f"{name}: {now} {what} in the last third, {before} in the second."
    life = longest_life(samples)
    grown = life[-1].disk - life[0].disk
    if grown > DISK_BYTES + DISK_BYTES_PER_JOB * jobs:
        yield f"{name}: its disk grew by {grown} bytes in {jobs} jobs."
