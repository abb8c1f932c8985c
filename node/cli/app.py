# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `proofmesh`: options that all commands share, and how errors become exit codes."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from node.cli import (
    account,
    backup,
    bundle_command,
    ceremony,
    daemons,
    deploy,
    devnet,
    job,
    journal,
    local,
    model,
    receipts,
    setup,
    wallet,
)
from node.cli.arguments import Session
from node.cli.output import Output
from node.log import configure_logging
from protocol.errors import ProofmeshError

INTERRUPTED = 130

app = typer.Typer(
    name="proofmesh",
    help="A decentralized market for zero-knowledge proofs of machine learning.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 configuration, 4 chain or RPC, 5 proof invalid, "
    "6 timeout, 7 funds. Every error has a code, explained in docs/ERRORS.md.",
)
app.add_typer(devnet.app, name="devnet", help="A whole market on this machine: chain, contracts, nodes.")
app.add_typer(daemons.prover, name="prover", help="Prove jobs and earn.")
app.add_typer(daemons.verifier, name="verifier", help="Check proofs, settle them, earn the fee.")
app.add_typer(daemons.publisher, name="publisher", help="Serve your models' bundles to provers.")
app.add_typer(model.app, name="model", help="Compile, audit, publish and fetch models.")
app.add_typer(bundle_command.app, name="bundle", help="What bundles take on this disk, and which stay.")
app.add_typer(ceremony.app, name="ceremony", help="Keys from several people, under which nobody can forge proofs.")
app.add_typer(job.app, name="job", help="Ask the market for a proof.")
app.add_typer(journal.app, name="journal", help="What a node remembers of its jobs.")
app.add_typer(receipts.app, name="receipt", help="Check receipts.")
app.add_typer(account.app, name="account", help="The key that signs and pays.")
app.add_typer(backup.app, name="backup", help="One file that a node can be set up from again.")
app.add_typer(wallet.app, name="wallet", help="The deposit in the Escrow.")
setup.register(app)
deploy.register(app)
local.register(app)

_current_output = Output(as_json=False)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"proofmesh {version('proofmesh')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    data_dir: Annotated[
        Path | None, typer.Option(help="Data folder of this node.", envvar="PROOFMESH_DATA_DIR")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens in detail.")] = False,
    password_file: Annotated[
        Path | None, typer.Option(help="File with the keystore's password.", envvar="PROOFMESH_PASSWORD_FILE")
    ] = None,
    rpc: Annotated[str | None, typer.Option(help="JSON-RPC of the chain.")] = None,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options that go in front of every command."""
    global _current_output
    _current_output = Output(as_json)
    flags: dict[str, object] = {"rpc_url": rpc} if rpc else {}
    if verbose:
        flags["log_level"] = "debug"
    context.obj = Session(data_dir, _current_output, password_file, flags)
    configure_logging(level="debug" if verbose else "warning", format="console")


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code."""
    # `--json` and its like may stand anywhere, also behind the command.
    arguments = _global_options_first(arguments)
    try:
        outcome = app(args=arguments, prog_name="proofmesh", standalone_mode=False)
    except ProofmeshError as error:
        _current_output.error(error)
        return error.exit_code
    except typer.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        if hasattr(error, "exit_code") and hasattr(error, "show"):
            error.show()  # click's usage errors
            return 2
        raise
    return outcome if isinstance(outcome, int) else 0


def _global_options_first(arguments: list[str]) -> list[str]:
    front = [word for word in arguments if word in ("--json", "--verbose", "-v")]
    return front + [word for word in arguments if word not in ("--json", "--verbose", "-v")]
