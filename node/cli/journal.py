# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh journal`: what a node remembers of its jobs, and what a damaged journal still says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from market.instants import SECOND
from node.cli.arguments import Session
from node.cli.output import ether, instant
from node.job_overview import Shown, overview
from node.journal_rescue import plain, records
from protocol.errors import JournalError

app = typer.Typer(no_args_is_help=True)


@app.callback()
def journal_group() -> None:
    """What a node remembers: every job's state, and what a damaged journal still says."""


@app.command()
def show(context: typer.Context) -> None:
    """Show every job of every role, and what is still to be done for it. The node may be running."""
    session: Session = context.obj
    path = session.folder().journal
    if not path.exists():
        raise JournalError(f"There is no journal {path}.", remedy="Start a node, or choose another --data-dir.")
    jobs = overview(path)
    session.output.table(
        "Jobs",
        ["role", "order", "phase", "until", "price", "locked", "to do"],
        [
            [
                job.role,
                f"0x{job.order_hash.hex()}",
                f"{job.phase} ({job.outcome})" if job.outcome else job.phase,
                instant(job.waits_until // SECOND),
                "-" if job.price is None else ether(job.price),
                "yes" if job.locked else "",
                ", ".join(job.effects),
            ]
            for job in jobs
        ],
    )
    session.output.result({"jobs": [_fields(job) for job in jobs]})


@app.command()
def export(
    context: typer.Context,
    file: Annotated[Path | None, typer.Option(help="Write to this file, mode 0600; default: standard output.")] = None,
    journal: Annotated[Path | None, typer.Option(help="Another journal than the data folder's.")] = None,
) -> None:
    """Write every record that can be read as JSON lines, also of a damaged journal; the journal is not changed.

    Each line says its table and whether it is `intact`. No secrets: inputs are never in a journal, and signed
    transactions are named by their hashes.
    """
    session: Session = context.obj
    found = records(journal or session.folder().journal)
    if file is None:
        for record in found:
            sys.stdout.write(json.dumps(record, sort_keys=True) + "\n")
        return
    total = damaged = 0
    file.touch(mode=0o600)
    with file.open("w") as target:
        for record in found:
            total, damaged = total + 1, damaged + (not record["intact"])
            target.write(json.dumps(record, sort_keys=True) + "\n")
    session.output.say(f"{total} records in {file}, {damaged} of them damaged.")
    session.output.result({"records": total, "damaged": damaged, "file": str(file)})


def _fields(job: Shown) -> dict[str, object]:
    return {
        "role": job.role,
        "order_hash": plain(job.order_hash),
        "phase": job.phase,
        "outcome": job.outcome,
        "waits_until": job.waits_until // 10**9,
        "locked": job.locked,
        "client": plain(job.client),
        "prover": plain(job.prover),
        "price_wei": None if job.price is None else str(job.price),
        "effects": list(job.effects),
    }
