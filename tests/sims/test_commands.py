# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh sim`: run, replay, shrink, swarm; their files and exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from simulated_bugs import BUGS, Dead
from typer.testing import CliRunner

from protocol.errors import UsageError
from sims import cli, coverage, run, shrinking, swarm
from sims.chain import Escrow
from sims.drawing import Options, draw_scenario
from sims.errors import CodeCrashError, LivenessViolationError, SafetyViolationError, Violation
from sims.run import Outcome, run_scenario, simulate
from sims.scenario import Scenario, from_json, to_json
from sims.shrinking import shrink, way_of
from sims.strategies import known
from sims.swarm import SeedResult, Swarm

SMALL = ["--nodes", "8", "--jobs", "20", "--seed", "1"]
RUNNER = CliRunner()


def test_the_command_ends_with_one_object_with_or_without_json() -> None:
    story, bare = RUNNER.invoke(cli.app, ["run", *SMALL]), RUNNER.invoke(cli.app, ["run", *SMALL, "--json"])
    assert story.exit_code == bare.exit_code == 0
    figures = simulate(Options(nodes=8, jobs=20, seed=1)).figures
    assert json.loads(bare.stdout) == json.loads(story.stdout.splitlines()[-1]) == figures
    assert "order to payment" in story.stdout


@pytest.mark.parametrize("words", [["--json", "sim", "run"], ["sim", "run", "--json"]])
def test_the_whole_command_line_prints_the_object_alone(words: list[str]) -> None:
    command = [sys.executable, "-m", "proofmesh.main", *words, *SMALL]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert json.loads(printed)["nodes"] == 8


@pytest.mark.parametrize(
    "arguments",
    [["--nodes", "2"], ["--jobs", "0"], ["--loss", "600000"], ["--loss", "-1"], ["--block-seconds", "0"]],
)
def test_senseless_options_are_refused_with_a_code(arguments: list[str]) -> None:
    result = RUNNER.invoke(cli.app, ["run", *arguments])
    assert result.exit_code == 2 and "[PM-USE-001]" in result.output


@pytest.mark.parametrize(
    ("violation", "exit_code"),
    [
        (SafetyViolationError("SIM-1: gone."), 1),
        (LivenessViolationError("SIM-6: stuck."), 6),
        (CodeCrashError("KeyError at market/client.py:1: 'x'."), 8),
    ],
)
def test_a_violation_sets_the_exit_code_and_says_how_to_replay(
    violation: Violation, exit_code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = simulate(Options(nodes=8, jobs=20, seed=1))
    bad = Outcome(good.scenario, good.figures, violation, good.trace, {}, {}, (), 0)
    monkeypatch.setattr(cli, "run_scenario", lambda scenario, **_: bad)
    result = RUNNER.invoke(cli.app, ["run", *SMALL, "--json"])
    replay = "replay: proofmesh sim run --nodes 8 --jobs 20 --seed 1 --json"
    assert result.exit_code == exit_code and replay in result.stderr


def test_a_scenario_survives_its_file_and_replays_to_the_byte(tmp_path: Path) -> None:
    scenario = draw_scenario(Options(seed=4))
    path, trace = tmp_path / "scenario.json", tmp_path / "trace"
    path.write_text(to_json(scenario, bug="none"), "utf-8")
    assert from_json(path.read_text("utf-8")) == scenario
    lines: list[str] = []
    figures = run_scenario(scenario, sink=lines.append).figures
    by_file = RUNNER.invoke(cli.app, ["replay", str(path), "--json", "--trace-file", str(trace)])
    by_seed = RUNNER.invoke(cli.app, ["replay", "4", "--json"])
    assert json.loads(by_file.stdout) == json.loads(by_seed.stdout) == figures
    assert trace.read_text("utf-8").splitlines() == lines


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "scenario": {"seed": 1}}'])
def test_what_is_no_scenario_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        from_json(text)
    path = tmp_path / "bad.json"
    path.write_text(text, "utf-8")
    assert RUNNER.invoke(cli.app, ["replay", str(path)]).exit_code == 2
    assert RUNNER.invoke(cli.app, ["replay", str(tmp_path / "none.json")]).exit_code == 2


def test_a_scenario_that_names_nodes_it_does_not_have_is_refused() -> None:
    text = to_json(draw_scenario(Options(seed=4)))
    value = json.loads(text)
    value["scenario"]["orders"][0]["client"] = 10_000
    with pytest.raises(UsageError, match="names a node"):
        from_json(json.dumps(value))


def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the chain settles nothing."""
    real = run.run_scenario

    def dead(scenario: Scenario, escrow: Escrow | None = None, sink: object = None) -> Outcome:
        return real(scenario, Dead())

    for module in (cli, shrinking, swarm):
        monkeypatch.setattr(module, "run_scenario", dead)


def test_shrinking_keeps_the_way_of_failing_and_takes_the_rest_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scenario = draw_scenario(Options(nodes=9, jobs=12, seed=15))
    assert shrink(scenario, lambda *_: None) is scenario, "it holds: there is nothing to shrink"
    failing(monkeypatch)
    way = way_of(run_scenario(scenario, Dead()).violation)
    assert way == BUGS["a chain that settles nothing"].way
    path, small_path = tmp_path / "big.json", tmp_path / "small.json"
    path.write_text(to_json(scenario), "utf-8")
    arguments = ["shrink", str(path), "--out", str(small_path), "--most-runs", "60"]
    result = RUNNER.invoke(cli.app, arguments)
    assert result.exit_code == 0, result.output
    small = from_json(small_path.read_text("utf-8"))
    assert len(small.orders) == 1 and not small.crashes and not small.reorgs
    assert way_of(run_scenario(small, Dead()).violation) == way


def test_a_swarm_keeps_failures_as_files_and_ends_with_the_gravest_code(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing(monkeypatch)
    arguments = ["swarm", "--seeds", "3", "--first", "15", "--workers", "1", "--nodes", "9", "--jobs", "8"]
    result = RUNNER.invoke(cli.app, [*arguments, "--failures", str(tmp_path), "--json"])
    summary = json.loads(result.stdout)
    assert result.exit_code in (1, 6) and summary["seeds"] == 3 and summary["failing_seeds"]
    for seed in summary["failing_seeds"]:
        assert from_json((tmp_path / f"seed-{seed}.json").read_text("utf-8")).seed == seed
        assert f"seed {seed}: " in result.stderr


def test_the_gravest_failure_decides() -> None:
    def failed(code: int) -> SeedResult:
        return SeedResult(1, {}, (), {}, (), 0, 3, violation="x", exit_code=code)

    for codes, gravest in (((), 0), ((6,), 6), ((6, 8), 8), ((6, 8, 1), 1)):
        found = Swarm()
        for code in codes:
            found.add(failed(code))
        assert found.exit_code == gravest


def test_a_swarm_on_fresh_seeds_holds_on_two_processes(tmp_path: Path) -> None:
    arguments = ["swarm", "--seeds", "6", "--workers", "2", "--nodes", "6", "--jobs", "4", "--json"]
    first, second = (RUNNER.invoke(cli.app, [*arguments, "--failures", str(tmp_path)]) for _ in range(2))
    assert first.exit_code == second.exit_code == 0, first.stderr + second.stderr
    objects = [json.loads(result.stdout) for result in (first, second)]
    assert objects[0]["first_seed"] != objects[1]["first_seed"], "seeds are drawn afresh"
    assert objects[0]["seeds"] == 6 and objects[0]["coverage"]["pairs"] > 20


def test_an_interrupted_swarm_says_what_it_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real, ran = swarm.run_seed, []

    def interrupted(options: Options) -> SeedResult:
        ran.append(options.seed)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return real(options)

    monkeypatch.setattr(swarm, "run_seed", interrupted)
    arguments = ["swarm", "--minutes", "5", "--workers", "1", "--nodes", "5", "--jobs", "3", "--first", "9"]
    result = RUNNER.invoke(cli.app, [*arguments, "--failures", str(tmp_path), "--json"])
    assert result.exit_code == cli.INTERRUPTED and json.loads(result.stdout)["seeds"] == 2


def test_a_swarm_needs_an_end() -> None:
    assert RUNNER.invoke(cli.app, ["swarm"]).exit_code == 2


# --- a quiet simulator cannot pass ---------------------------------------------------------


def test_a_few_dozen_worlds_exercise_most_of_what_exists() -> None:
    found = Swarm()
    for seed in range(1, 31):
        found.add(swarm.run_seed(Options(nodes=12, jobs=10, seed=seed)))
    assert not found.failures, found.failures[0].violation
    seen = found.summary()["coverage"]
    assert seen["pairs"] * 100 >= 52 * seen["pairs_of"], seen["missed_pairs"]
    assert seen["faults"] * 100 >= 90 * seen["faults_of"], seen["missed_faults"]
    assert seen["strategies"] * 100 >= 60 * seen["strategies_of"], seen["missed_strategies"]


def test_a_quiet_world_does_not_count_as_coverage() -> None:
    seen = coverage.report((), (), (), known())
    assert seen["pairs"] == seen["faults"] == seen["strategies"] == 0
    assert len(seen["missed_faults"]) == seen["faults_of"] == len(coverage.FAULTS)
