# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh receipt`: check a receipt, trusting nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import trio
import typer
from rich.text import Text

from node.cli.arguments import Session
from node.receipt import Check, ReceiptError, check_offline, from_json
from node.receipt_chain import check_on_chain

app = typer.Typer(no_args_is_help=True)


@app.callback()
def group() -> None:
    """Check receipts."""


@app.command()
def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The receipt, a JSON file.")],
    rpc: Annotated[str | None, typer.Option(help="Also look at the chain through this JSON-RPC.")] = None,
) -> None:
    """Check signatures, program and proof of a receipt; with --rpc, that the chain says the same."""
    session: Session = context.obj
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ReceiptError(f"{file} cannot be read ({type(error).__name__}).") from None
    receipt = from_json(text)
    checks = list(check_offline(receipt))
    if rpc:
        checks += trio.run(check_on_chain, receipt, rpc)
    session.output.table(
        f"Receipt of order 0x{receipt.order_hash.hex()}",
        ["check", "", "detail"],
        [
            [check.name, Text("yes", "green") if check.passed else Text("NO", "bold red"), check.detail]
            for check in checks
        ],
    )
    session.output.result(
        {
            "valid": all(check.passed for check in checks),
            "order_hash": receipt.order_hash,
            "outputs": [str(value) for value in receipt.outputs],
            "checks": [{"name": c.name, "passed": c.passed, "detail": c.detail} for c in checks],
        }
    )
    if not all(check.passed for check in checks):
        raise ReceiptError(f"The receipt does not hold: {_failed(checks)}.", remedy="Do not rely on it.")
    session.output.say("The receipt holds.")


def _failed(checks: list[Check]) -> str:
    return ", ".join(check.name for check in checks if not check.passed)
