# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh sim cluster`: real daemons on a real chain, broken on purpose, healed and audited."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Annotated

import trio
import typer

from protocol.errors import ProofmeshError
from sims.cluster.audit import Severity
from sims.cluster.options import DEFAULT_FOLDER, Options
from sims.cluster.processes import ROOT
from sims.cluster.run import Note, Report, progress, run_cluster

DEFAULT = Options()
EXIT_CODES = {Severity.SAFETY: 1, Severity.LIVENESS: 6, Severity.CRASH: 8, Severity.RESOURCES: 9}
"""By the worst finding. 2 is usage, as everywhere; 130 an interrupt."""
INTERRUPTED = 130
CHECKOUT_LIAR = ROOT / "tests" / "support" / "byzantine_node.py"


def cluster(
    provers: Annotated[int, typer.Option(help="Prover daemons.")] = DEFAULT.provers,
    verifiers: Annotated[int, typer.Option(help="Verifier daemons.")] = DEFAULT.verifiers,
    clients: Annotated[int, typer.Option(help="Clients; each job is a process of its own.")] = DEFAULT.clients,
    minutes: Annotated[float, typer.Option(help="How long clients place jobs.")] = DEFAULT.minutes,
    chaos: Annotated[bool, typer.Option(help="Break things: kill, pause, cut, stall, reorg, RPC.")] = False,
    seed: Annotated[int, typer.Option(help="Determines model, inputs and the plan of faults.")] = DEFAULT.seed,
    pace: Annotated[float, typer.Option(help="Seconds that a client waits after a job.")] = DEFAULT.pace_seconds,
    byzantine: Annotated[int, typer.Option(help="Percent of provers that lie, and a verifier of three.")] = 0,
    byzantine_program: Annotated[
        Path | None, typer.Option(help="Python program of the liars; default: the checkout's.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="Data folders and logs; emptied first.")] = DEFAULT_FOLDER,
    report: Annotated[Path | None, typer.Option(help="Whole report, as JSON.")] = None,
) -> None:
    """Run real nodes on a real chain, break them, heal, audit every order and every wei.

    The last line is one JSON object. Exit code 0: all is well; 1: money is wrong; 6: an order did not end;
    8: a daemon ended by itself or logged a traceback; 9: something grew or was left behind.
    """
    options = Options(
        provers=provers,
        verifiers=verifiers,
        clients=clients,
        minutes=minutes,
        chaos=chaos,
        seed=seed,
        pace_seconds=pace,
        byzantine_percent=byzantine,
        byzantine_program=byzantine_program or CHECKOUT_LIAR,
        folder=folder,
    )
    found = _run(options)
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.write_text(found.to_json())
    typer.echo(json.dumps(found.summary(), sort_keys=True))
    for finding in found.findings:
        typer.echo(f"{finding.severity}: {finding.text}", err=True)
    if found.findings:
        raise typer.Exit(EXIT_CODES[found.findings[0].severity])


def _run(options: Options) -> Report:
    note = progress(lambda text: typer.echo(text, err=True))
    try:
        report = trio.run(_until_signal, options.checked(), note)
    except BaseException as error:
        if isinstance(failure := _only(error), ProofmeshError):
            typer.echo(str(failure), err=True)
            raise typer.Exit(failure.exit_code) from None
        raise
    if report is None:
        typer.echo("Stopped; every process has ended.", err=True)
        raise typer.Exit(INTERRUPTED)
    return report


async def _until_signal(options: Options, note: Note) -> Report | None:
    """Run the cluster; None when SIGINT or SIGTERM came first. Then, too, everything that was started has ended."""
    report = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                async for number in signals:
                    note(f"{signal.Signals(number).name}: stopping")
                    nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            report = await run_cluster(options, note)
            nursery.cancel_scope.cancel()
    return report


def _only(error: BaseException) -> BaseException:
    """Return the one error in nested groups, or the group when there are several."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
