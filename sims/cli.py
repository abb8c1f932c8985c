# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh sim run`: one simulation, from the command line."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from protocol.errors import UsageError
from sims.cluster.cli import cluster
from sims.run import Options, Outcome, simulate

app = typer.Typer(help="The market in a simulated, faulty world.", no_args_is_help=True)
app.command()(cluster)
DEFAULT = Options()


@app.callback()
def sim() -> None:
    """The market in a simulated, faulty world."""


@app.command()
def run(
    nodes: Annotated[int, typer.Option(help="Nodes: clients, provers and verifiers.")] = DEFAULT.nodes,
    jobs: Annotated[int, typer.Option(help="Orders to place.")] = DEFAULT.jobs,
    seed: Annotated[int, typer.Option(help="Determines everything.")] = DEFAULT.seed,
    latency_ms: Annotated[int, typer.Option(help="Mean latency of one hop.")] = DEFAULT.latency_ms,
    loss: Annotated[int, typer.Option(help="Lost transmissions, in ppm.")] = DEFAULT.loss_ppm,
    prover_death: Annotated[
        int, typer.Option(help="Provers that die at the start of a proof, in ppm.")
    ] = DEFAULT.prover_death_ppm,
    verifier_death: Annotated[
        int, typer.Option(help="Verifiers that die with a proof in hand, in ppm.")
    ] = DEFAULT.verifier_death_ppm,
    block_seconds: Annotated[int, typer.Option(help="Seconds between blocks.")] = DEFAULT.block_seconds,
    as_json: Annotated[bool, typer.Option("--json", help="Print the object alone.")] = False,
    trace: Annotated[bool, typer.Option(help="Print the last lines of the trace.")] = False,
) -> None:
    """Simulate a market; the last line is one JSON object. Exit code 1: unsafe, 6: not live."""
    options = Options(nodes, jobs, seed, latency_ms, loss, prover_death, verifier_death, block_seconds)
    try:
        outcome = simulate(options)
    except UsageError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    if trace:
        for line in outcome.trace:
            typer.echo(line, err=as_json)
    if not as_json:
        _story(outcome)
    if outcome.violation is not None:
        typer.echo(f"{outcome.violation}\nreplay: {options.command()}", err=True)
    typer.echo(json.dumps(outcome.figures))
    if outcome.violation is not None:
        raise typer.Exit(outcome.violation.exit_code)


def _story(outcome: Outcome) -> None:
    f = outcome.figures
    typer.echo(
        f"{f['nodes']} nodes: {f['clients']} clients, {f['provers']} provers, {f['verifiers']} verifiers"
    )
    typer.echo(
        f"{f['jobs']} jobs: {f['settled']} settled, {f['refunded']} refunded, {f['failed']} without a proof,"
        f" {f['cancelled']} cancelled"
    )
    typer.echo(f"order to payment: p50 {f['settle_ms_p50']} ms, p99 {f['settle_ms_p99']} ms")
    typer.echo(f"paid against the cheapest honest cost: {f['price_ratio']}")
    typer.echo(f"per job: {f['messages_per_job']} messages, {f['bytes_per_job']} bytes")
    typer.echo(f"faults: {f['deaths']} deaths, {f['slashes']} slashes, {f['reverts']} reverted transactions")
