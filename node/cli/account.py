# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh account`: the key that signs and pays; how it comes, goes and changes its password."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from node.cli.arguments import Session
from node.keystore import change_password, load_keystore, read_password, store_keystore
from protocol.errors import ConfigError

app = typer.Typer(no_args_is_help=True)
NewPasswordOption = Annotated[
    Path | None, typer.Option(help="File with the new keystore's password; asked for when left out.")
]


@app.callback()
def group() -> None:
    """The account's key: Web3 Secret Storage v3, which other wallets read and write too."""


@app.command()
def show(context: typer.Context) -> None:
    """Show the account's address; needs no password."""
    session: Session = context.obj
    address = session.address()
    session.output.say(f"0x{address.hex()}")
    session.output.result({"account": address})


@app.command("import")
def import_key(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A v3 keystore, of another data folder or another wallet.")],
    new_password_file: NewPasswordOption = None,
) -> None:
    """Take over an account: its keystore is opened with --password-file and stored in this data folder.

    Use an account in one node only: two would sign with one nonce and answer with two memories.
    """
    session: Session = context.obj
    folder = session.folder_for_init()
    if folder.keystore.exists():
        raise ConfigError(f"{folder.path} has a keystore already.", remedy="Choose another --data-dir.")
    account = load_keystore(file, session.password())
    with folder.locked():
        store_keystore(folder.keystore, account, _new_password(new_password_file))
    session.output.say(f"Account 0x{account.address.hex()} is in {folder.path}.")
    session.output.result({"account": account.address, "data_dir": str(folder.path)})


@app.command()
def export(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Where the copy goes; it must not exist.")],
    new_password_file: NewPasswordOption = None,
) -> None:
    """Write a copy of the key, under a password of its own. The key itself is never shown."""
    session: Session = context.obj
    account = session.account()
    store_keystore(file, account, _new_password(new_password_file))
    session.output.say(f"The key of 0x{account.address.hex()} is in {file}, encrypted.")
    session.output.result({"account": account.address, "file": str(file)})


@app.command()
def password(context: typer.Context, new_password_file: NewPasswordOption = None) -> None:
    """Change the keystore's password. Copies made before keep the old one."""
    session: Session = context.obj
    folder = session.folder()
    account = session.account()
    with folder.locked():
        change_password(folder.keystore, account, _new_password(new_password_file))
    session.output.say("The password is changed.")
    session.output.result({"account": account.address})


def _new_password(file: Path | None) -> str:
    def ask() -> str:
        return str(typer.prompt("New password", hide_input=True, confirmation_prompt=True))

    # An empty environment: what it says is the old password.
    return read_password(file, {}, ask if sys.stdin.isatty() else None)
