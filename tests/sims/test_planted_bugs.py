# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of the test: a bug planted for each invariant is found within a stated number of seeds."""

from __future__ import annotations

import pytest
from simulated_bugs import BUGS, Bug

from sims import invariants
from sims.drawing import Options, draw_scenario
from sims.errors import CodeCrashError, LivenessViolationError, SafetyViolationError
from sims.run import run_scenario
from sims.shrinking import way_of

MOST_SEEDS = 40
"""Within so many small worlds every planted bug is found."""


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bug = BUGS[name]
    bug.plant(monkeypatch)
    assert any(found(bug, seed) for seed in range(1, MOST_SEEDS + 1)), f"nobody noticed {name}"


def found(bug: Bug, seed: int) -> bool:
    scenario = draw_scenario(Options(nodes=bug.nodes, jobs=bug.jobs, seed=seed, byzantine_ppm=bug.liars_ppm))
    violation = run_scenario(scenario, bug.escrow()).violation
    if violation is None or not way_of(violation).startswith(bug.way):
        return False
    kinds: dict[str, type[Exception]] = {"SIM-6": LivenessViolationError, "SIM-7": LivenessViolationError}
    kinds |= {"SIM-13": LivenessViolationError, "SIM-14": LivenessViolationError, "KeyError": CodeCrashError}
    assert isinstance(violation, kinds.get(bug.way, SafetyViolationError))
    return True


def test_each_invariant_has_a_planted_bug() -> None:
    documented = {
        line.split(":")[0].removeprefix("| ") for line in (invariants.__doc__ or "").splitlines() if "| SIM-" in line
    }
    assert documented == {bug.way for bug in BUGS.values() if bug.way.startswith("SIM-")}
