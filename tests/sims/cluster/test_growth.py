# SPDX-License-Identifier: GPL-3.0-or-later
"""Growth is found in the last third, told apart from load that comes and goes, and not read into short lives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from sims.cluster.growth import Sample, growth, lives, longest_life

MEGABYTE = 10**6


def look(number: int) -> Sample:
    """A steady daemon; every third sample a client is connected."""
    busy = number % 3 == 0
    return Sample(
        at=20.0 * number,
        pid=7,
        rss=90 * MEGABYTE,
        all_rss=200 * MEGABYTE,
        files=30 + 2 * busy,
        tasks=80 + 5 * busy,
        threads=3,
        disk=MEGABYTE + 1_000 * number,
        cpu=0.1 * number,
    )


def series(change: Callable[[int, Sample], Sample] = lambda number, sample: sample, count: int = 90) -> list[Sample]:
    return [change(number, look(number)) for number in range(count)]


def test_a_steady_daemon_does_not_grow() -> None:
    assert list(growth("prover-1", series(), jobs=10)) == []


def test_warming_up_in_the_first_third_is_no_growth() -> None:
    warming = series(lambda n, s: replace(s, rss=s.rss // 2, tasks=40, files=10) if n < 30 else s)
    assert list(growth("prover-1", warming, jobs=10)) == []


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("memory", lambda n, s: replace(s, rss=s.rss + 300_000 * n)),
        ("descriptors", lambda n, s: replace(s, files=s.files + n // 20)),
        ("tasks", lambda n, s: replace(s, tasks=s.tasks + n // 20)),
        ("threads", lambda n, s: replace(s, threads=s.threads + n // 40)),
        ("disk", lambda n, s: replace(s, disk=s.disk + 300_000 * n)),
    ],
)
def test_a_leak_is_found_and_nothing_else(field: str, change: Callable[[int, Sample], Sample]) -> None:
    (said,) = growth("prover-1", series(change), jobs=10)
    assert field in said


def test_memory_may_grow_by_what_is_allowed_and_no_more() -> None:
    def last_third(percent: int) -> list[Sample]:
        return series(lambda n, s: replace(s, rss=s.rss * percent // 100) if n >= 60 else s)

    assert list(growth("prover-1", last_third(105), jobs=10)) == []
    assert len(list(growth("prover-1", last_third(106), jobs=10))) == 1


def test_the_longest_life_is_judged_not_the_sum_of_lives() -> None:
    restarted = [replace(s, pid=8, rss=500 * MEGABYTE) for s in series(count=20)]
    assert {sample.pid for sample in longest_life([*series(), *restarted])} == {7}
    assert list(growth("prover-1", [*series(), *restarted], jobs=10)) == []


def test_a_short_life_is_not_judged() -> None:
    assert lives(series(count=29)) is None
    assert list(growth("prover-1", series(lambda n, s: replace(s, rss=s.rss * (n + 1)), count=29), jobs=0)) == []


def test_a_status_that_is_not_written_yet_is_no_level() -> None:
    found = lives(series(lambda n, s: replace(s, tasks=0) if n in (0, 35, 70) else s))
    assert found is not None and found.tasks == (80, 80, 80)


def test_while_things_break_a_level_within_what_was_seen_before_is_no_growth() -> None:
    cut_off = series(lambda n, s: replace(s, tasks=s.tasks // 2, rss=s.rss * 85 // 100) if 30 <= n < 50 else s)
    assert list(growth("prover-1", cut_off, jobs=10))
    assert list(growth("prover-1", cut_off, jobs=10, steady=False)) == []
    twice = series(lambda n, s: replace(s, tasks=s.tasks + 15, files=s.files + 5) if n >= 60 else s)
    assert len(list(growth("prover-1", twice, jobs=10))) == 2
    assert list(growth("prover-1", twice, jobs=10, steady=False)) == []
    leaking = series(lambda n, s: replace(s, tasks=s.tasks + n * n // 4, rss=s.rss + 2 * n * MEGABYTE))
    assert len(list(growth("prover-1", leaking, jobs=10, steady=False))) == 2


def test_a_life_of_minutes_is_judged_roughly() -> None:
    busier = series(lambda n, s: replace(s, at=5.0 * n, tasks=s.tasks + n // 30))
    assert list(growth("prover-1", busier, jobs=10)) == []
    assert list(growth("prover-1", series(lambda n, s: replace(s, tasks=s.tasks + n // 30)), jobs=10))
