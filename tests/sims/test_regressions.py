# SPDX-License-Identifier: GPL-3.0-or-later
"""Every scenario that once showed a bug (tests/regressions) holds now, and still fails when its bug is back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from simulated_bugs import OLD_BUGS

from sims.run import run_scenario
from sims.scenario import from_json

FOLDER = Path(__file__).resolve().parents[1] / "regressions"
FILES = sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_scenario_that_once_failed_holds(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(json.loads(text)["bug"]) > 20, "a line names the bug"
    outcome = run_scenario(from_json(text))
    assert outcome.violation is None, str(outcome.violation)


@pytest.mark.parametrize("name", OLD_BUGS)
def test_a_bug_that_comes_back_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    OLD_BUGS[name](monkeypatch)
    assert run_scenario(from_json((FOLDER / f"{name}.json").read_text("utf-8"))).violation is not None


def test_there_are_regressions() -> None:
    assert {path.stem for path in FILES} >= set(OLD_BUGS) and FILES
