# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh backup`: one file that a node can be set up from again."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from node.backup import Backup, read_backup, restore_backup, write_backup
from node.cli.arguments import Session

app = typer.Typer(no_args_is_help=True)
FileArgument = Annotated[Path, typer.Argument(help="The backup, one file.")]
JournalOption = Annotated[
    bool, typer.Option("--journal/--no-journal", help="With the journal, for the jobs under way.")
]


@app.callback()
def group() -> None:
    """Back up a data folder, look into a backup, restore one."""


@app.command()
def create(context: typer.Context, file: FileArgument, journal: JournalOption = True) -> None:
    """Write keystore, settings, network key, journal, jobs and receipts into one file (mode 0600).

    Never the vault: private inputs are erased when a job ends. Bundles are fetched again; copy your own models'
    ONNX files, keys and BUNDLE.weights.json by yourself. With the journal the node must be stopped.
    """
    session: Session = context.obj
    folder = session.folder()
    with folder.locked() if journal else nullcontext():
        _tell(session, "Written", file, write_backup(folder, file, journal=journal))


@app.command()
def check(context: typer.Context, file: FileArgument) -> None:
    """Read a backup to its end and compare every hash; needs no password."""
    session: Session = context.obj
    _tell(session, "Whole", file, read_backup(file))


@app.command()
def restore(context: typer.Context, file: FileArgument, journal: JournalOption = True) -> None:
    """Put a backup into the --data-dir, which must have no keystore.

    Take the journal only if no node has run on this account since the backup was made: an old one does not know
    what was promised after it. Without it nothing on-chain is lost, only the work under way.
    """
    session: Session = context.obj
    folder = session.folder_for_init()
    with folder.locked():
        _tell(session, "Restored", file, restore_backup(file, folder, journal=journal))
    session.output.say("Next: `proofmesh doctor`.")


def _tell(session: Session, what: str, file: Path, backup: Backup) -> None:
    journal = "with" if backup.with_journal else "without"
    session.output.say(
        f"{what}: account 0x{backup.account.hex()}, {backup.jobs} jobs, {backup.receipts} receipts, {journal} journal."
    )
    session.output.result(
        {
            "file": str(file),
            "account": backup.account,
            "jobs": backup.jobs,
            "receipts": backup.receipts,
            "journal": backup.with_journal,
        }
    )
