# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the bad jobs of a batch that fails as a whole. Pure: the caller answers whether a batch passes.

    search = good_jobs(jobs)
    try:
        batch = next(search)
        while True:
            batch = search.send(passes(batch))   # an eth_call of settleBatch, say; may be awaited
    except StopIteration as done:
        good = done.value
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

Job = TypeVar("Job")


def good_jobs(jobs: Sequence[Job]) -> Generator[Sequence[Job], bool, tuple[Job, ...]]:
    """Yield batches to try, take whether they pass, return the jobs that do, in their order.

    With k bad jobs among n it tries at most 1 + 2 k log2(n) batches, and never an empty one.
    """
    if not jobs:
        return ()
    if (yield jobs):
        return tuple(jobs)
    return (yield from _halves(jobs))


def find_good(jobs: Sequence[Job], passes: Callable[[Sequence[Job]], bool]) -> tuple[Job, ...]:
    """Return the jobs that pass, asking `passes`."""
    search = good_jobs(jobs)
    try:
        batch = next(search)
        while True:
            batch = search.send(passes(batch))
    except StopIteration as done:
        good: tuple[Job, ...] = done.value
        return good


def _halves(jobs: Sequence[Job]) -> Generator[Sequence[Job], bool, tuple[Job, ...]]:
    """The good ones among jobs of which at least one is bad."""
    if len(jobs) == 1:
        return ()
    left, right = jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]
    if (yield left):
        # Then the bad one is on the right, and asking for the right half would tell nothing new.
        return (*left, *(yield from _halves(right)))
    good_left = yield from _halves(left)
    return (*good_left, *(yield from good_jobs(right)))
