# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh wallet`: the deposit in the Escrow."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from typing import Annotated

import typer

from node.chain_view import ChainView
from node.cli.arguments import Session, fixed_bytes, wei
from node.cli.chain_command import with_chain
from node.cli.output import ether
from node.movements import movements

app = typer.Typer(no_args_is_help=True)


@app.command()
def balance(
    context: typer.Context,
    address: Annotated[str | None, typer.Argument(help="Another account than your own.")] = None,
) -> None:
    """Show what an account holds: in its wallet, in the Escrow, and on its way out."""
    session: Session = context.obj
    account = fixed_bytes(address, 20, "an address") if address else session.address()

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
                ["Escrow, free", ether(deposit)],
                [f"Escrow, withdrawable at {ready_at}" if leaving else "Escrow, leaving", ether(leaving)],
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
    value = wei(amount)

    async def work(chain: ChainView) -> None:
        receipt = await chain.deposit(value, _key())
        _told(session, "deposited", value, receipt.transaction_hash)

    with_chain(session, work)


@app.command()
def withdraw(
    context: typer.Context,
    amount: Annotated[str | None, typer.Argument(help="How much; left out: finish a withdrawal.")] = None,
) -> None:
    """Take ETH out of the Escrow: once with an amount to ask, once without when the delay is over."""
    session: Session = context.obj

    async def work(chain: ChainView) -> None:
        if amount is not None:
            value = wei(amount)
            receipt = await chain.request_withdrawal(value, _key())
            _, ready_at = await chain.pending_withdrawal(chain.account_address)
            session.output.say(f"Asked for; run `proofmesh wallet withdraw` after second {ready_at}.")
            _told(session, "withdrawal requested", value, receipt.transaction_hash)
        else:
            value, _ = await chain.pending_withdrawal(chain.account_address)
            receipt = await chain.withdraw(_key())
            _told(session, "withdrawn", value, receipt.transaction_hash)

    with_chain(session, work)


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
            ["block", "event", "order", "account", "change"],
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


def _told(session: Session, what: str, value: int, transaction_hash: bytes) -> None:
    session.output.say(f"{ether(value)} {what} (transaction 0x{transaction_hash.hex()}).")
    session.output.result({"done": what, "amount_wei": str(value), "transaction_hash": transaction_hash})
