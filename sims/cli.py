# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh sim`: run one seed, replay a seed or a scenario file, shrink what fails, let a swarm search."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from protocol.errors import UsageError
from sims.cluster.cli import cluster
from sims.drawing import Options, draw_scenario
from sims.run import Outcome, run_scenario
from sims.scenario import Scenario, from_json, to_json
from sims.shrinking import MOST_RUNS, shrink, way_of
from sims.swarm import SeedResult, Swarm, keep
from sims.swarm import swarm as run_swarm

HELP = """The market in a simulated, faulty world.

Exit codes: 0 all held; 1 unsafe (an invariant of money, proofs or journals is broken); 6 not live (an order neither
settled nor was refunded in time); 8 the code crashed; 2 usage. See docs/SIMULATION.md.
"""
app = typer.Typer(help=HELP, no_args_is_help=True)
app.command()(cluster)
INTERRUPTED = 130
FRESH_BITS = 48
"""Size of a seed that is drawn afresh."""
PROGRESS_SECONDS = 10


def _or_of_all(context: typer.Context, given: bool) -> bool:
    """`--json` may also stand in front of the command, where `proofmesh` puts it."""
    return given or bool(context.find_root().params.get("as_json"))


Json = Annotated[bool, typer.Option("--json", help="Print the object alone.", callback=_or_of_all)]
TraceFile = Annotated[Path | None, typer.Option("--trace-file", help="Write every line of the trace there.")]


@app.callback()
def sim() -> None:
    """The market in a simulated, faulty world."""


@app.command()
def run(
    nodes: Annotated[int | None, typer.Option(help="Nodes: clients, provers and verifiers.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Orders to place.")] = None,
    seed: Annotated[int, typer.Option(help="Determines everything that is not given.")] = 7,
    latency_ms: Annotated[int | None, typer.Option(help="Mean latency of one hop.")] = None,
    loss: Annotated[int | None, typer.Option(help="Lost transmissions, in ppm.")] = None,
    prover_death: Annotated[int | None, typer.Option(help="Provers that die at the start of a proof, in ppm.")] = None,
    verifier_death: Annotated[int | None, typer.Option(help="Verifiers that die with a proof in hand, in ppm.")] = None,
    block_seconds: Annotated[int | None, typer.Option(help="Seconds between blocks.")] = None,
    byzantine: Annotated[int | None, typer.Option(help="Share of nodes that lie, in ppm.")] = None,
    as_json: Json = False,
    trace: Annotated[bool, typer.Option(help="Print the last lines of the trace.")] = False,
    trace_file: TraceFile = None,
) -> None:
    """Simulate one market; what is not given is drawn from the seed. The last line is one JSON object.

    Exit code 1: unsafe, 6: not live, 8: the code crashed.
    """
    options = Options(nodes, jobs, seed, latency_ms, loss, prover_death, verifier_death, block_seconds, byzantine)
    scenario = _drawn(options)
    outcome = _run(scenario, trace_file)
    if trace:
        for line in outcome.trace:
            typer.echo(line, err=as_json)
    _tell(outcome, as_json, options.command())


@app.command()
def replay(
    what: Annotated[str, typer.Argument(help="A scenario file, or a seed of a swarm.")],
    as_json: Json = False,
    trace_file: TraceFile = None,
) -> None:
    """Run a scenario file or a swarm's seed again: the same trace to the byte, on any machine.

    The object's `trace_hash` is SHA-256 over all lines of the trace. Exit code 1: unsafe, 6: not live, 8: crash.
    """
    outcome = _run(_scenario(what), trace_file)
    _tell(outcome, as_json, f"proofmesh sim replay {what}")


@app.command(name="shrink")
def shrink_command(
    what: Annotated[str, typer.Argument(help="A scenario file, or a seed, that fails.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the small scenario.")] = None,
    most_runs: Annotated[int, typer.Option(help="Scenarios to try at most.")] = MOST_RUNS,
) -> None:
    """Find a small scenario that fails in the same way, and write it to a file."""
    scenario = _scenario(what)
    violation = run_scenario(scenario).violation
    if violation is None:
        typer.echo(f"{what} does not fail: nothing to shrink.", err=True)
        raise typer.Exit(1)

    def progress(runs: int, small: Scenario) -> None:
        faults = len(small.crashes) + len(small.partitions) + len(small.outages) + len(small.reorgs)
        typer.echo(f"{runs} runs: {small.nodes} nodes, {len(small.orders)} orders, {faults} faults", err=True)

    small = shrink(scenario, progress, most_runs)
    path = out or Path(f"seed-{scenario.seed}-{way_of(violation).lower().replace(' ', '-')}.json")
    path.write_text(to_json(small, violation=violation.message) + "\n", "utf-8")
    typer.echo(f"{violation.message}\nwritten to {path}; run it with: proofmesh sim replay {path}")


@app.command()
def swarm(
    minutes: Annotated[int | None, typer.Option(min=1, help="How long to search.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many seeds to run.")] = None,
    first: Annotated[int | None, typer.Option(min=0, help="The first seed; drawn afresh if not given.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one for each core.")] = None,
    nodes: Annotated[int | None, typer.Option(help="Nodes of every market; drawn if not given.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Orders of every market; drawn if not given.")] = None,
    byzantine: Annotated[int | None, typer.Option(help="Share of nodes that lie, in ppm.")] = None,
    failures: Annotated[Path, typer.Option(help="Folder for the scenario files of failures.")] = Path(
        "build/sim-failures"
    ),
    as_json: Json = False,
) -> None:
    """Run many seeds of varied size on all cores; keep each failure as a scenario file.

    Fresh seeds each time. Ctrl-C ends with the summary so far. Exit code: that of the gravest failure.
    """
    if minutes is None and seeds is None:
        raise typer.BadParameter("Give --minutes or --seeds.")
    begun, start = time.monotonic(), secrets.randbits(FRESH_BITS) if first is None else first
    base = Options(nodes=nodes, jobs=jobs, byzantine_ppm=byzantine)
    typer.echo(f"swarm: seeds from {start} on", err=True)
    found, told = Swarm(), [begun]

    def enough() -> bool:
        return minutes is not None and time.monotonic() - begun >= 60 * minutes

    def progress(so_far: Swarm, result: SeedResult) -> None:
        if result.violation:
            path = keep(failures, result)
            typer.echo(f"seed {result.seed}: {result.violation}\n  replay: proofmesh sim replay {path}", err=True)
        if time.monotonic() - told[0] >= PROGRESS_SECONDS:
            told[0] = time.monotonic()
            typer.echo(f"{so_far.results} seeds, {len(so_far.failures)} failed", err=True)

    interrupted = False
    try:
        with _interruptible():
            every = _seeds(base, start, seeds)
            run_swarm(every, workers or os.cpu_count() or 1, enough, progress, into=found)
    except KeyboardInterrupt:
        interrupted = True
    _tell_swarm(found, start, int(time.monotonic() - begun), as_json)
    if found.failures or interrupted:
        raise typer.Exit(found.exit_code or INTERRUPTED)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGINT and SIGTERM end the search, also where SIGINT came ignored, as in a script's background job."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(each, signal.default_int_handler) for each in signals]
    try:
        yield
    finally:
        for each, handler in zip(signals, before, strict=True):
            signal.signal(each, handler)


def _seeds(base: Options, start: int, count: int | None) -> Iterator[Options]:
    seed = start
    while count is None or seed < start + count:
        yield replace(base, seed=seed)
        seed += 1


def _tell_swarm(found: Swarm, start: int, seconds: int, as_json: bool) -> None:
    spent = os.times()
    cpu = int(spent.user + spent.system + spent.children_user + spent.children_system)
    per_minute = found.results * 60 // max(1, cpu)
    speed = {"seconds": seconds, "cpu_seconds": cpu, "seeds_a_minute_a_core": per_minute}
    summary = {"first_seed": start, **speed, **found.summary()}
    if not as_json:
        seen = summary["coverage"]
        typer.echo(
            f"{found.results} seeds, {len(found.failures)} failed; {summary['node_hours']} node-hours simulated,"
            f" {per_minute} seeds a minute a core\n"
            f"exercised: {seen['pairs']} of {seen['pairs_of']} pairs of phase and event,"
            f" {seen['refused_pairs']} of {seen['refused_pairs_of']} refused ones,"
            f" {seen['faults']} of {seen['faults_of']} kinds of fault,"
            f" {seen['strategies']} of {seen['strategies_of']} strategies of liars"
        )
    typer.echo(json.dumps(summary))


def _scenario(what: str) -> Scenario:
    if what.isdecimal():
        return _drawn(Options(seed=int(what)))
    try:
        return from_json(Path(what).read_text("utf-8"))
    except OSError as error:
        _refuse(UsageError(f"{what} cannot be read: {error.strerror}."))
    except UsageError as error:
        _refuse(error)
    raise AssertionError("refusing ends the command")


def _drawn(options: Options) -> Scenario:
    try:
        return draw_scenario(options)
    except UsageError as error:
        _refuse(error)
    raise AssertionError("refusing ends the command")


def _refuse(error: UsageError) -> None:
    typer.echo(str(error), err=True)
    raise typer.Exit(error.exit_code) from None


def _run(scenario: Scenario, trace_file: Path | None) -> Outcome:
    if trace_file is None:
        return run_scenario(scenario)
    with trace_file.open("w", encoding="utf-8") as file:
        return run_scenario(scenario, sink=lambda line: _write(file, line))


def _write(file: object, line: str) -> None:
    print(line, file=file)  # type: ignore[call-overload]


def _tell(outcome: Outcome, as_json: bool, command: str) -> None:
    figures = dict(outcome.figures)
    if not as_json:
        _story(outcome)
    if outcome.violation is not None:
        figures["replay"] = command
        typer.echo(f"{outcome.violation}\nreplay: {command}", err=True)
    typer.echo(json.dumps(figures))
    if outcome.violation is not None:
        raise typer.Exit(outcome.violation.exit_code)


def _story(outcome: Outcome) -> None:
    f = outcome.figures
    typer.echo(
        f"{f['nodes']} nodes: {f['clients']} clients, {f['provers']} provers, {f['verifiers']} verifiers;"
        f" {f['liars']} of them lie"
    )
    typer.echo(
        f"{f['jobs']} jobs: {f['settled']} settled, {f['refunded']} refunded, {f['failed']} without a proof,"
        f" {f['cancelled']} cancelled"
    )
    typer.echo(f"order to payment: p50 {f['settle_ms_p50']} ms, p99 {f['settle_ms_p99']} ms")
    typer.echo(f"paid against the cheapest honest cost: {f['price_ratio']}")
    typer.echo(f"per job: {f['messages_per_job']} messages, {f['bytes_per_job']} bytes")
    typer.echo(f"faults: {f['faults']}, {f['deaths']} deaths, {f['slashes']} slashes, {f['reverts']} reverts")
