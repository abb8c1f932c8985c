# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh wallet`: the deposit in the Escrow."""

from __future__ import annotations

import secrets
import time
from dataclasses import asdict
from typing import Annotated

import typer

from node.chain_view import ChainView
from node.cli.arguments import Session, address_bytes, wei
from node.cli.chain_command import with_chain
from node.cli.output import ether, instant
from node.movements import movements
from protocol.errors import DeadlineRefusal, UsageError

app = typer.Typer(no_args_is_help=True)


@app.command()
def balance(
    context: typer.Context,
    address: Annotated[str | None, typer.Argument(help="Another account than your own.")] = None,
) -> None:
    """Show what an account holds: in its wallet, in the Escrow, and on its way out."""
    session: Session = context.obj
    account = address_bytes(address) if address else session.address()

    async def work(chain: ChainView) -> None:
        wallet = await chain.native_balance(account)
        deposit = await chain.escrow_balance(account)
        leaving, ready_at = await chain.pending_withdrawal(account)
        output = session.output
        output.table(
            f"0x{account.hex()}",
            ["where", "amount"],
            [
                ["wallet", ether(wallet)],
                ["Escrow", ether(deposit)],
                [f"of it withdrawable from {instant(ready_at)}" if leaving else "of it leaving", ether(leaving)],
            ],
        )
        output.result(
            {
                "account": account,
                "wallet_wei": str(wallet),
                "escrow_wei": str(deposit),
                "withdrawing_wei": str(leaving),
                "withdrawable_at": ready_at,
            }
        )

    with_chain(session, work, sign=False)


@app.command()
def deposit(
    context: typer.Context, amount: Annotated[str, typer.Argument(help="For example 0.5eth.")]
) -> None:
    """Pay ETH from your wallet into the Escrow, for orders or as collateral."""
    session: Session = context.obj
    value = _some(wei(amount))

    async def work(chain: ChainView) -> None:
        receipt = await chain.deposit(value, _key())
        _told(session, "deposited", value, receipt.transaction_hash)

    with_chain(session, work)


@app.command()
def withdraw(
    context: typer.Context,
    amount: Annotated[str | None, typer.Argument(help="How much; left out: finish a withdrawal.")] = None,
) -> None:
    """Take ETH out of the Escrow: once with an amount to ask, once without when the delay is over.

    Asking again replaces what was asked for before, and the delay begins anew.
    """
    session: Session = context.obj
    asked = None if amount is None else _some(wei(amount))

    async def ask(chain: ChainView) -> None:
        assert asked is not None
        receipt = await chain.request_withdrawal(asked, _key())
        _, ready_at = await chain.pending_withdrawal(chain.account_address)
        session.output.say(f"Asked for; run `proofmesh wallet withdraw` after {instant(ready_at)}.")
        _told(session, "withdrawal requested", asked, receipt.transaction_hash, withdrawable_at=ready_at)

    async def finish(chain: ChainView) -> None:
        value, ready_at = await chain.pending_withdrawal(chain.account_address)
        if value == 0:
            raise UsageError("No withdrawal was asked for.", remedy="Ask with an amount, such as 0.5eth.")
        head = await chain.client.header("latest")
        if head is not None and head.timestamp < ready_at and int(time.time()) < ready_at:
            raise DeadlineRefusal(
                f"{ether(value)} can be taken from {instant(ready_at)} on.", remedy="Run the same command again then."
            )
        receipt = await chain.withdraw(_key())
        _told(session, "withdrawn", value, receipt.transaction_hash)

    with_chain(session, finish if asked is None else ask)


@app.command()
def history(
    context: typer.Context,
    everyone: Annotated[bool, typer.Option(help="All accounts, not yours alone.")] = False,
) -> None:
    """Show what moved your deposit, from the Escrow's events: deposits, locks, settlements, refunds."""
    session: Session = context.obj

    async def work(chain: ChainView) -> None:
        own = None if everyone else session.address()
        moves = await movements(chain, own)
        session.output.table(
            "Movements",
            ["block", "event", "order", "account", "change (wei)"],
            [
                [m.block, m.event, m.order_hash.hex()[:12] if m.order_hash else "-", "0x" + account.hex()[:10], change]
                for m in moves
                for _, account, change in m.changes
                if own is None or account == own
            ],
        )
        session.output.result({"movements": [asdict(m) for m in moves]})

    with_chain(session, work, sign=False)


def _key() -> str:
    """Return a fresh name: each command is a transaction of its own."""
    return f"wallet-{secrets.token_hex(8)}"


def _some(value: int) -> int:
    if value == 0:
        raise UsageError("Nothing is no amount to move.", remedy="Write it like 0.5eth.")
    return value


def _told(session: Session, what: str, value: int, transaction_hash: bytes, **more: int) -> None:
    session.output.say(f"{ether(value)} {what} (transaction 0x{transaction_hash.hex()}).")
    session.output.result({"done": what, "amount_wei": str(value), "transaction_hash": transaction_hash, **more})
