# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole simulations: same seed, same object; invariants that hold, and that notice when they do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from protocol.errors import UsageError
from protocol.structs import Order
from sims import campaign, chain, cli
from sims.chain import Escrow, Paid, Reverted, Settlement
from sims.errors import LivenessViolationError, SafetyViolationError
from sims.run import Options, Outcome, decimal_ratio, percentile, simulate
from sims.tokens import hash_of

ROOT = Path(__file__).resolve().parents[2]
SMALL = Options(nodes=8, jobs=20, seed=1)
KEYS = {
    *("seed", "nodes", "jobs", "settled", "refunded", "settle_ms_p50", "settle_ms_p99", "price_ratio"),
    *("messages_per_job", "bytes_per_job", "trace_hash"),
}


def in_a_process(hash_seed: int, *arguments: str) -> str:
    """Run the command in a fresh interpreter; returns its last line."""
    command = [sys.executable, "-c", "from sims.cli import app; app()", "run", *arguments, "--json"]
    env = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_the_object_has_what_it_must_and_integers_alone() -> None:
    figures = simulate(SMALL).figures
    assert set(figures) >= KEYS
    assert all(type(value) in (int, str) for value in figures.values())
    ended = sum(int(figures[key]) for key in ("settled", "refunded", "failed", "cancelled"))
    assert ended == figures["jobs"] == 20
    whole, _, cut = str(figures["price_ratio"]).partition(".")
    assert int(whole) >= 1 and len(cut) == 4


def test_the_same_seed_gives_the_same_object_another_a_different_one() -> None:
    assert simulate(SMALL).figures == simulate(SMALL).figures
    assert simulate(SMALL).figures["trace_hash"] != simulate(replace(SMALL, seed=2)).figures["trace_hash"]


def test_the_same_seed_gives_the_same_object_in_processes_with_other_hash_seeds() -> None:
    small = ["--nodes", "8", "--jobs", "20", "--seed", "3"]
    here = json.dumps(simulate(replace(SMALL, seed=3)).figures)
    assert in_a_process(1, *small) == in_a_process(2, *small) == here


def test_thirty_nodes_and_five_hundred_jobs_run_twice_alike() -> None:
    first = in_a_process(1, "--nodes", "30", "--jobs", "500", "--seed", "7")
    assert first == in_a_process(2, "--nodes", "30", "--jobs", "500", "--seed", "7")
    figures = json.loads(first)
    assert figures["jobs"] == 500 and figures["settled"] > 400


def test_faults_happen_and_are_survived() -> None:
    outcomes = [simulate(replace(SMALL, seed=seed, jobs=30)) for seed in range(1, 31)]
    assert [o.violation for o in outcomes] == [None] * 30
    for key in ("refunded", "failed", "cancelled", "reauctions", "slashes", "reverts", "deaths"):
        assert sum(int(o.figures[key]) for o in outcomes) > 0, key


@pytest.mark.parametrize(
    "changes",
    [
        {"loss_ppm": 0, "prover_death_ppm": 0, "verifier_death_ppm": 0},
        {"loss_ppm": 200_000},
        {"latency_ms": 800},
        {"latency_ms": 0},
        {"prover_death_ppm": 300_000, "verifier_death_ppm": 300_000},
        {"block_seconds": 12},
        {"nodes": 3, "jobs": 10},
        {"nodes": 60, "jobs": 40},
        {"jobs": 1},
    ],
    ids=str,
)
def test_invariants_hold_in_other_worlds(changes: dict[str, Any]) -> None:
    for seed in (1, 2, 3):
        outcome = simulate(replace(SMALL, seed=seed, **changes))
        assert outcome.violation is None, outcome.figures["replay"]


# --- the invariants can fail: a broken chain is found out ---------------------------------


class Forgetful(Escrow):
    """Pays as often as it is asked."""

    def settle(self, now: int, sender: bytes, s: Settlement) -> Paid:
        self.finished.pop(hash_of(s.order), None)
        return super().settle(now, sender, s)


class Credulous(Escrow):
    """Takes every proof."""

    def settle(self, now: int, sender: bytes, s: Settlement) -> Paid:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(chain, "proof_is_valid", lambda *_: True)
            return super().settle(now, sender, s)


class Leaky(Escrow):
    """Loses a wei with each settlement."""

    def settle(self, now: int, sender: bytes, s: Settlement) -> Paid:
        paid = super().settle(now, sender, s)
        self.balances[s.award.payout] -= 1
        return paid


class Greedy(Escrow):
    """Slashes whoever locked, in time or not."""

    def settle(self, now: int, sender: bytes, s: Settlement) -> Paid:
        lock = self.locks.get(hash_of(s.order))
        if lock is not None and hash_of(s.award) == lock.award_hash:
            now = max(now, s.award.promise_at + 1)
        return super().settle(now, sender, s)


class Stuck(Escrow):
    """Never refunds."""

    def expire(self, now: int, order: Order) -> None:
        raise Reverted("Never")


class Dead(Escrow):
    """Settles nothing."""

    def settle(self, now: int, sender: bytes, s: Settlement) -> Paid:
        raise Reverted("Never")


def found(broken: type[Escrow]) -> Outcome:
    """The first of a few seeds that finds the broken chain out."""
    for seed in range(1, 40):
        outcome = simulate(Options(nodes=8, jobs=30, seed=seed), broken())
        if outcome.violation is not None:
            return outcome
    pytest.fail(f"nobody noticed {broken.__name__}")


@pytest.mark.parametrize(
    ("broken", "invariant"),
    [(Forgetful, "SIM-2"), (Credulous, "SIM-3"), (Leaky, "SIM-1"), (Greedy, "SIM-5")],
)
def test_an_unsafe_chain_is_found_out(broken: type[Escrow], invariant: str) -> None:
    violation = found(broken).violation
    assert isinstance(violation, SafetyViolationError) and invariant in str(violation)


@pytest.mark.parametrize("broken", [Stuck, Dead])
def test_a_chain_that_stands_still_is_found_out(broken: type[Escrow]) -> None:
    outcome = found(broken)
    assert isinstance(outcome.violation, LivenessViolationError)
    assert outcome.figures["replay"] == Options(nodes=8, jobs=30, seed=int(outcome.figures["seed"])).command()


# --- the commands -------------------------------------------------------------------------


def test_the_command_ends_with_one_object_with_or_without_json() -> None:
    runner = CliRunner()
    arguments = ["run", "--nodes", "8", "--jobs", "20", "--seed", "1"]
    story, bare = runner.invoke(cli.app, arguments), runner.invoke(cli.app, [*arguments, "--json"])
    assert story.exit_code == bare.exit_code == 0
    assert json.loads(bare.stdout) == json.loads(story.stdout.splitlines()[-1]) == simulate(SMALL).figures
    assert "order to payment" in story.stdout


@pytest.mark.parametrize(
    "arguments",
    [["--nodes", "2"], ["--jobs", "0"], ["--loss", "600000"], ["--loss", "-1"], ["--block-seconds", "0"]],
)
def test_senseless_options_are_refused_with_a_code(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli.app, ["run", *arguments])
    assert result.exit_code == 2 and "[PM-USE-001]" in result.output


@pytest.mark.parametrize(
    ("violation", "exit_code"),
    [(SafetyViolationError("SIM-1: gone."), 1), (LivenessViolationError("SIM-6: stuck."), 6)],
)
def test_a_violation_sets_the_exit_code_and_says_how_to_replay(
    violation: SafetyViolationError, exit_code: int, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    good = simulate(SMALL)
    bad = Outcome({**good.figures, "violation": str(violation)}, violation, good.trace)
    monkeypatch.setattr(cli, "simulate", lambda options: bad)
    result = CliRunner().invoke(cli.app, ["run", "--nodes", "8", "--jobs", "20", "--seed", "1", "--json"])
    assert result.exit_code == exit_code and f"replay: {SMALL.command()}" in result.stderr
    monkeypatch.setattr(campaign, "simulate", lambda options: bad if options.seed == 2 else good)
    assert campaign.main(["--seeds", "3"]) == exit_code
    out = capsys.readouterr().out
    assert "seed 2" in out and json.loads(out.splitlines()[-1])["failing_seeds"] == [1]


def test_a_replay_command_is_understood_and_gives_the_same_object() -> None:
    options = replace(SMALL, seed=9, loss_ppm=30_000, prover_death_ppm=90_000)
    words = options.command().split()[3:]
    result = CliRunner().invoke(cli.app, ["run", *words])
    assert json.loads(result.stdout.splitlines()[-1]) == simulate(options).figures


def test_a_campaign_over_many_seeds_holds() -> None:
    assert campaign.main(["--seeds", "25", "--first", "1000"]) == 0


def test_options_out_of_range_are_a_usage_error() -> None:
    with pytest.raises(UsageError):
        simulate(replace(SMALL, nodes=1))


def test_figures_are_computed_in_integers() -> None:
    assert [percentile(list(range(1, 101)), p) for p in (50, 99)] == [50, 99]
    assert percentile([], 50) == 0 and percentile([7], 99) == 7
    ratios = [decimal_ratio(3, 2), decimal_ratio(1, 3), decimal_ratio(1, 0)]
    assert ratios == ["1.5000", "0.3333", "0.0000"]
