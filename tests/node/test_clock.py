# SPDX-License-Identifier: GPL-3.0-or-later
"""Chain time between blocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from node.chain.clock import NS_PER_S, ChainClock


class Monotonic:
    def __init__(self) -> None:
        self.ns = 5

    def __call__(self) -> int:
        return self.ns


def test_time_runs_on_between_blocks_up_to_the_bound() -> None:
    monotonic = Monotonic()
    clock = ChainClock(bound_s=60, monotonic_ns=monotonic)
    assert clock.now() == 0 and not clock.known()
    clock.observe(1_000)
    monotonic.ns += 30 * NS_PER_S
    assert clock.seconds() == 1_030
    monotonic.ns += 300 * NS_PER_S
    assert clock.seconds() == 1_060
    clock.observe(2_000)
    assert clock.seconds() == 2_000


def test_an_older_block_does_not_turn_time_back_but_counts_as_heard() -> None:
    monotonic = Monotonic()
    clock = ChainClock(bound_s=60, monotonic_ns=monotonic)
    clock.observe(1_000)
    monotonic.ns += 50 * NS_PER_S
    clock.observe(1_040)
    monotonic.ns += 50 * NS_PER_S
    assert clock.seconds() == 1_100


@given(steps=st.lists(st.tuples(st.integers(0, 10**12), st.integers(0, 10**6)), max_size=30))
def test_time_never_runs_backwards(steps: list[tuple[int, int]]) -> None:
    monotonic = Monotonic()
    clock = ChainClock(bound_s=60, monotonic_ns=monotonic)
    last = 0
    for elapsed, told in steps:
        monotonic.ns += elapsed
        clock.observe(told)
        assert clock.now() >= max(last, told * NS_PER_S)
        last = clock.now()
