# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `proofmesh`: options that all commands share, and how errors become exit codes."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

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
from node.shutdown import only_error
from protocol.errors import FileAccessError, ProofmeshError, UsageError

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
    global _current_output
    # `--json` and its like may stand anywhere, also behind the command.
    arguments = _global_options_first(arguments)
    _current_output = Output("--json" in arguments)
    try:
        outcome = app(args=arguments, prog_name="proofmesh", standalone_mode=False)
    except typer.Exit as done:
        return done.exit_code
    except BaseException as raised:
        return _failed(only_error(raised), "--verbose" in arguments or "-v" in arguments)
    return outcome if isinstance(outcome, int) else 0


def _failed(error: BaseException, verbose: bool) -> int:
    """Print what ended a command, with code and remedy; return its exit code."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # Whoever read the output has gone. Nothing is left to say, at the end of the process neither.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return ProofmeshError.exit_code
    if isinstance(error, TyperException):
        context = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError":  # raised while the help was printed
            return UsageError.exit_code
        command = "proofmesh" if context is None else context.command_path
        error = UsageError(error.format_message(), remedy=f"See `{command} --help`.")
    elif not isinstance(error, ProofmeshError):
        if verbose or not isinstance(error, Exception):
            raise error
        error = _unforeseen(error)
    _current_output.error(error)
    return error.exit_code


def _unforeseen(error: Exception) -> ProofmeshError:
    """Return an error with a code for one that no command foresaw; its text stays away, for it may quote an input."""
    if isinstance(error, OSError) and error.filename is not None:
        return FileAccessError(f"{error.filename}: {error.strerror}.")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
        return FileAccessError(f"{error.strerror}.")
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {Path(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return ProofmeshError(f"This is a bug of proofmesh: {type(error).__name__}{where}.")


def _global_options_first(arguments: list[str]) -> list[str]:
    front = [word for word in arguments if word in ("--json", "--verbose", "-v")]
    return front + [word for word in arguments if word not in ("--json", "--verbose", "-v")]
