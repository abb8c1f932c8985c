# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole simulations: same seed, same object; invariants that hold in many worlds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.errors import UsageError
from sims.drawing import Options, draw_scenario
from sims.figures import decimal_ratio, percentile
from sims.run import run_scenario, simulate

ROOT = Path(__file__).resolve().parents[2]
SMALL = Options(nodes=8, jobs=20, seed=1)
KEYS = {
    *("seed", "nodes", "jobs", "settled", "refunded", "settle_ms_p50", "settle_ms_p99", "price_ratio"),
    *("messages_per_job", "bytes_per_job", "trace_hash"),
}


def in_a_process(hash_seed: int, *arguments: str) -> str:
    """Run the command in a fresh interpreter; returns its last line."""
    command = [sys.executable, "-c", "from sims.cli import app; app()", *arguments, "--json"]
    env = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_the_object_has_what_it_must_and_integers_alone() -> None:
    figures = simulate(SMALL).figures
    assert set(figures) >= KEYS
    assert all(type(value) in (int, str) for value in figures.values())
    ended = sum(int(figures[key]) for key in ("settled", "refunded", "failed", "cancelled"))
    assert ended == figures["jobs"] == 20
    whole, _, cut = str(figures["price_ratio"]).partition(".")
    assert whole.isdecimal() and len(cut) == 4


def test_the_same_seed_gives_the_same_object_another_a_different_one() -> None:
    first = simulate(SMALL).figures
    assert simulate(SMALL).figures == first
    assert first["trace_hash"] != simulate(replace(SMALL, seed=2)).figures["trace_hash"]


@pytest.mark.parametrize("seed", [3, 11])
def test_the_same_seed_gives_the_same_trace_in_processes_with_other_hash_seeds(seed: int, tmp_path: Path) -> None:
    traces = []
    for hash_seed in (1, 2):
        path = tmp_path / f"{hash_seed}.trace"
        in_a_process(hash_seed, "replay", str(seed), "--trace-file", str(path))
        traces.append(path.read_bytes())
    assert traces[0] == traces[1] and len(traces[0]) > 1_000


def test_thirty_nodes_and_five_hundred_jobs_run() -> None:
    arguments = ["run", "--nodes", "30", "--jobs", "500", "--seed", "7"]
    figures = json.loads(in_a_process(1, *arguments))
    assert figures["jobs"] == 500 and figures["settled"] > 300


@pytest.mark.parametrize(
    "changes",
    [
        {"loss_ppm": 200_000},
        {"latency_ms": 800},
        {"latency_ms": 0},
        {"prover_death_ppm": 300_000, "verifier_death_ppm": 300_000},
        {"block_seconds": 12},
        {"nodes": 3, "jobs": 10},
        {"nodes": 120, "jobs": 5},
        {"jobs": 1},
        {"byzantine_ppm": 800_000},
        {"byzantine_ppm": 0},
    ],
    ids=str,
)
def test_invariants_hold_in_other_worlds(changes: dict[str, Any]) -> None:
    for seed in (1, 2):
        outcome = simulate(replace(Options(nodes=8, jobs=10), seed=seed, **changes))
        assert outcome.violation is None, (seed, str(outcome.violation))


def test_a_quiet_world_settles_all_that_is_fair() -> None:
    scenario = draw_scenario(Options(nodes=12, jobs=15, seed=5, byzantine_ppm=0))
    quiet = replace(
        scenario,
        rates=replace(scenario.rates, **{name: 0 for name in vars_of(scenario.rates)}),
        crashes=(),
        partitions=(),
        outages=(),
        reorgs=(),
        gas_spikes=(),
        censorships=(),
    )
    outcome = run_scenario(quiet)
    fair = sum(order.must_settle for order in quiet.orders)
    assert outcome.violation is None and int(outcome.figures["settled"]) >= fair
    assert outcome.figures["deaths"] == 0 and not set(outcome.faults) - {"clock off"}


def vars_of(record: object) -> list[str]:
    return list(type(record).__dataclass_fields__)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "changes", [{"nodes": 1}, {"jobs": 0}, {"loss_ppm": 600_000}, {"byzantine_ppm": -1}, {"latency_ms": -1}]
)
def test_options_out_of_range_are_a_usage_error(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        simulate(replace(SMALL, **changes))


def test_figures_are_computed_in_integers() -> None:
    assert [percentile(list(range(1, 101)), p) for p in (50, 99)] == [50, 99]
    assert percentile([], 50) == 0 and percentile([7], 99) == 7
    ratios = [decimal_ratio(3, 2), decimal_ratio(1, 3), decimal_ratio(1, 0)]
    assert ratios == ["1.5000", "0.3333", "0.0000"]
