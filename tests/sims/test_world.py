# SPDX-License-Identifier: GPL-3.0-or-later
"""The event heap and the sources of integers; and that nothing in `sims/` could make two runs differ."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sims
from sims.world import EPOCH, Draw, World

FOLDER = Path(sims.__file__).parent
SOURCES = sorted(path for path in FOLDER.glob("*.py") if path.name != "cli.py")
"""The command line reads files, takes the time and draws fresh seeds; nothing else may."""
FORBIDDEN_NAMES = {"hash", "id", "float", "complex", "input", "open"}
FORBIDDEN_MODULES = {"time", "datetime", "secrets", "os", "uuid", "threading", "math"}


def test_actions_happen_by_time_and_then_in_the_order_of_planning() -> None:
    world = World(1)
    done: list[tuple[int, str]] = []

    def plan(delay: int, name: str) -> None:
        world.after(delay, lambda: done.append((world.now - EPOCH, name)))

    for delay, name in ((5, "c"), (1, "a"), (5, "d"), (1, "b")):
        plan(delay, name)
    while world.step():
        pass
    assert done == [(1, "a"), (1, "b"), (5, "c"), (5, "d")] and world.steps == 4


def test_time_never_goes_back() -> None:
    world, seen = World(1), []

    def late() -> None:
        world.at(EPOCH, lambda: seen.append(world.now))

    world.after(10, late)
    while world.step():
        pass
    assert seen == [EPOCH + 10]


def test_the_trace_depends_on_lines_and_instants() -> None:
    one, two, three = World(1), World(1), World(2)
    for world in (one, two):
        world.note("line")
    assert one.trace_hash() == two.trace_hash() != three.trace_hash()
    one.after(1, lambda: one.note("line"))
    two.after(2, lambda: two.note("line"))
    assert one.step() and two.step()
    assert one.trace_hash() != two.trace_hash()


def test_the_kept_tail_is_bounded() -> None:
    world = World(1)
    for number in range(1_000):
        world.note(str(number))
    assert len(world.tail) <= 200 and world.tail[-1].endswith(" 999")


@given(st.integers(0, 2**64), st.integers(1, 10**12))
def test_draws_are_integers_in_range_and_repeat(seed: int, limit: int) -> None:
    first, second = Draw(seed, "a"), Draw(seed, "a")
    values = [first.below(limit) for _ in range(5)]
    assert values == [second.below(limit) for _ in range(5)]
    assert all(isinstance(value, int) and 0 <= value < limit for value in values)
    assert 3 <= first.between(3, 3 + limit) <= 3 + limit
    chosen = first.sample(3, 10)
    assert len(chosen) == 3 and chosen == sorted({*chosen} & {*range(10)})


def test_purposes_have_streams_of_their_own() -> None:
    assert Draw(1, "a").below(2**64) != Draw(1, "b").below(2**64) != Draw(2, "b").below(2**64)


def test_chances_are_about_right() -> None:
    draw = Draw(1, "chance")
    hits = sum(draw.chance(250_000) for _ in range(10_000))
    assert 2_300 < hits < 2_700
    assert not draw.chance(0) and draw.chance(1_000_000)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_no_float_clock_or_hash_order_in_the_simulator(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        assert not (isinstance(node, ast.Constant) and isinstance(node.value, float)), where
        assert not isinstance(node, ast.Div) or path.name == "swarm.py", where  # there it joins paths
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in FORBIDDEN_NAMES, where
        if isinstance(node, ast.Import):
            assert not {alias.name for alias in node.names} & FORBIDDEN_MODULES, where
        if isinstance(node, ast.ImportFrom):
            assert node.module not in FORBIDDEN_MODULES, where
        if isinstance(node, (ast.For, ast.comprehension)):
            assert not isinstance(node.iter, (ast.Set, ast.SetComp)), where
            named = isinstance(node.iter, ast.Call) and isinstance(node.iter.func, ast.Name)
            assert not (named and node.iter.func.id in {"set", "frozenset"}), where  # type: ignore[attr-defined]
