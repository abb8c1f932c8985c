# SPDX-License-Identifier: GPL-3.0-or-later
"""Many seeds on all cores: what failed is kept as scenario files, what was exercised is counted.

`proofmesh sim swarm` and `python -m sims.swarm` run it. Fresh seeds come from outside (the command line draws them
from the machine's entropy); everything after that is determined.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sims.coverage import Pair, report
from sims.drawing import Options, draw_scenario
from sims.errors import CodeCrashError, SafetyViolationError, Violation
from sims.run import run_scenario
from sims.scenario import to_json
from sims.strategies import known

SUMS = (
    "jobs",
    "settled",
    "refunded",
    "failed",
    "cancelled",
    "reauctions",
    "slashes",
    "reverts",
    "deaths",
    "events",
    "liars",
)
"""Figures of a run that a swarm adds up."""


@dataclass(frozen=True, slots=True)
class SeedResult:
    """One seed's run, as it comes back from a worker."""

    seed: int
    sums: dict[str, int]
    pairs: tuple[Pair, ...]
    faults: dict[str, int]
    strategies: tuple[str, ...]
    virtual_seconds: int
    nodes: int
    violation: str = ""
    exit_code: int = 0
    scenario: str = ""
    """The scenario's JSON, of a run that failed."""


@dataclass(slots=True)
class Swarm:
    """What a swarm found so far."""

    results: int = 0
    sums: dict[str, int] = field(default_factory=dict)
    pairs: set[Pair] = field(default_factory=set)
    faults: dict[str, int] = field(default_factory=dict)
    strategies: set[str] = field(default_factory=set)
    virtual_seconds: int = 0
    most_nodes: int = 0
    failures: list[SeedResult] = field(default_factory=list)

    def add(self, result: SeedResult) -> None:
        """Count one run."""
        self.results += 1
        for key, value in result.sums.items():
            self.sums[key] = self.sums.get(key, 0) + value
        self.pairs.update(result.pairs)
        for key, value in result.faults.items():
            self.faults[key] = self.faults.get(key, 0) + value
        self.strategies.update(result.strategies)
        self.virtual_seconds += result.virtual_seconds
        self.most_nodes = max(self.most_nodes, result.nodes)
        if result.violation:
            self.failures.append(result)

    @property
    def exit_code(self) -> int:
        """Return the gravest failure's code: unsafe, then a crash of the code, then not live; 0 if all held."""
        codes = {failure.exit_code for failure in self.failures}
        order = (SafetyViolationError.exit_code, CodeCrashError.exit_code)
        return next((code for code in order if code in codes), min(codes, default=0))

    def summary(self) -> dict[str, Any]:
        """Return the object that a swarm prints."""
        return {
            "seeds": self.results,
            "failing_seeds": [failure.seed for failure in self.failures],
            "violations": {str(failure.seed): failure.violation for failure in self.failures},
            "node_hours": self.virtual_seconds // 3600,
            "most_nodes": self.most_nodes,
            **dict(sorted(self.sums.items())),
            "fault_counts": dict(sorted(self.faults.items())),
            "coverage": report(self.pairs, self.faults, self.strategies, known()),
        }


def run_seed(options: Options) -> SeedResult:
    """Run one seed; in a worker."""
    scenario = draw_scenario(options)
    outcome = run_scenario(scenario)
    violation = outcome.violation
    return SeedResult(
        seed=options.seed,
        sums={key: int(outcome.figures[key]) for key in SUMS},
        pairs=tuple(outcome.pairs),
        faults=outcome.faults,
        strategies=outcome.strategies,
        virtual_seconds=outcome.virtual_seconds,
        nodes=scenario.nodes,
        violation="" if violation is None else violation.message,
        exit_code=0 if violation is None else violation.exit_code,
        scenario="" if violation is None else scenario_file(scenario, violation),
    )


def scenario_file(scenario: Any, violation: Violation) -> str:
    """Return the text of a file that keeps a failure."""
    return to_json(scenario, violation=violation.message)


def swarm(
    every: Iterable[Options],
    workers: int,
    enough: Callable[[], bool],
    progress: Callable[[Swarm, SeedResult], None],
    *,
    into: Swarm | None = None,
) -> Swarm:
    """Run seeds until they end or `enough` says so; one that comes late is not waited for.

    Args:
        every: the seeds, and what is fixed beside them.
        workers: processes; one runs in this process.
        progress: called after each run.
        into: what is filled; the caller keeps it when this is interrupted.
    """
    found = into if into is not None else Swarm()
    for result in _results(every, workers, enough):
        found.add(result)
        progress(found, result)
    return found


def _results(every: Iterable[Options], workers: int, enough: Callable[[], bool]) -> Iterator[SeedResult]:
    def wanted() -> Iterator[Options]:
        for options in every:
            if enough():
                return
            yield options

    if workers == 1:
        yield from map(run_seed, wanted())
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from _bounded(pool, wanted(), 2 * workers)


def _bounded(pool: Any, wanted: Iterator[Options], most: int) -> Iterator[SeedResult]:
    """A pool's own imap would read an endless iterator to its end."""
    running: list[Any] = []
    for options in wanted:
        running.append(pool.apply_async(run_seed, (options,)))
        if len(running) >= most:
            yield running.pop(0).get()
    for result in running:
        yield result.get()


def keep(folder: Path, result: SeedResult) -> Path:
    """Write a failure's scenario file and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"seed-{result.seed}.json"
    path.write_text(result.scenario + "\n", "utf-8")
    return path
