# SPDX-License-Identifier: GPL-3.0-or-later
"""Every hostile-peer case of docs/SECURITY.md has its test, and every test of hostile peers its case."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (H\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.M)
LIVE = ("tests/net", "tests/e2e")
"""Where tests talk to hosts and daemons that run."""
ALL_CITED = (
    "net/test_hostile.py",
    "net/test_door.py",
    "net/test_hearsay.py",
    "net/test_hostile_relays.py",
    "e2e/test_hostile_market.py",
)
"""Files each of whose asynchronous or daemon tests is a case."""


def names_in(path: Path) -> dict[str, bool]:
    """The tests of a file by name, and whether each runs something live."""
    found = {}
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            arguments = {argument.arg for argument in node.args.args}
            found[node.name] = isinstance(node, ast.AsyncFunctionDef) or bool(arguments & {"market", "tmp_path"})
    return found


def cases() -> dict[str, list[str]]:
    """The tests of each case by its number."""
    text = (ROOT / "docs" / "SECURITY.md").read_text("utf-8")
    return {number: re.findall(r"`(test_\w+)`", tests) for number, _, _, tests in ROW.findall(text)}


def test_the_cases_are_numbered_without_a_gap() -> None:
    assert list(cases()) == [f"H{number}" for number in range(1, len(cases()) + 1)]
    assert len(cases()) >= 30


def test_every_case_has_a_test_against_something_that_runs() -> None:
    live = {
        name
        for folder in LIVE
        for path in (ROOT / folder).glob("test_*.py")
        for name, runs in names_in(path).items()
        if runs
    }
    missing = {number: tests for number, tests in cases().items() if not tests or not set(tests) <= live}
    assert missing == {}


def test_every_test_of_a_hostile_peer_is_a_case() -> None:
    cited = {name for tests in cases().values() for name in tests}
    live = {name for file in ALL_CITED for name, runs in names_in(ROOT / "tests" / file).items() if runs}
    assert live - cited == set()
