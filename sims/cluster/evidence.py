# SPDX-License-Identifier: GPL-3.0-or-later
"""Gathers what the audit looks at: from the chain itself, from the command line, from the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sims.cluster.audit import ETH, Evidence, Move, Order, Wallet
from sims.cluster.chain import Flow
from sims.cluster.commands import ClusterError, run
from sims.cluster.growth import Sample, growth
from sims.cluster.options import FEE_WEI
from sims.cluster.processes import session_of
from sims.cluster.setup import DEPOSIT_WEI, Market

BURNED = "0x000000000000000000000000000000000000dead"


async def moves_of(market: Market) -> tuple[Move, ...]:
    """Return every event of the Escrow with the balances it moves (of ETH: orders here are in ETH)."""
    reader = market.customers[0]
    told = await run(reader.data_dir, market.password_file, ["wallet", "history", "--everyone"])
    return tuple(
        Move(
            event=each["event"],
            order_hash=each["order_hash"],
            changes=tuple((account, int(change)) for token, account, change in each["changes"] if token == ETH),
        )
        for each in told["movements"]
    )


async def orders_of(market: Market) -> tuple[Order, ...]:
    """Return every order, as its client's folder tells it."""
    found = []
    for customer in market.customers:
        for job in await customer.listed():
            most = int(job["price_cap_wei"]) + int(job["verifier_fee_wei"])
            found.append(Order(job["order_hash"], customer.account, job["phase"], int(job["paid_wei"]), most))
    return tuple(found)


async def gather(market: Market, orders: tuple[Order, ...], series: dict[str, list[Sample]]) -> Evidence:
    """Return the evidence, once all daemons have stopped and the chain is quiet."""
    chain, escrow = market.chain, market.devnet["escrow"]
    moves = await moves_of(market)
    accounts = sorted({account for move in moves for account, _ in move.changes} | set(market.accounts))
    liars = {daemon.account for daemon in market.daemons if not daemon.honest}
    jobs = sum(1 for order in orders if order.phase == "settled")
    steady = not market.options.chaos
    return Evidence(
        orders=orders,
        moves=moves,
        balances={account: await chain.view(escrow, "balanceOf(address)", account) for account in accounts},
        owed=await chain.view(escrow, "total()"),
        held=await chain.balance(escrow),
        wallets=await _wallets(market),
        deposits={party.account: DEPOSIT_WEI[party.role] for party in market.parties if party.account not in liars},
        provers_keep=not market.options.chaos,
        receipts=await _bad_receipts(market, orders),
        ended=tuple(text for daemon in market.daemons if daemon.honest for text in daemon.ended),
        tracebacks=tuple(text for daemon in market.daemons if daemon.honest for text in daemon.tracebacks()),
        orphans=_orphans(market),
        growth=tuple(text for name, looks in series.items() for text in growth(name, looks, jobs, steady=steady)),
        provers=frozenset(daemon.account for daemon in market.daemons if daemon.role == "prover"),
    )


async def _bad_receipts(market: Market, orders: tuple[Order, ...]) -> tuple[str, ...]:
    """Check one receipt of each client as anybody could: offline, then against the chain."""
    bad = []
    for customer in market.customers:
        settled = [order for order in orders if order.client == customer.account and order.phase == "settled"]
        for order in settled[-1:]:
            path = customer.data_dir / "receipts" / f"{order.order_hash.removeprefix('0x')}.json"
            words = ["receipt", "verify", str(path), "--rpc", market.devnet["rpc_url"]]
            try:
                await run(market.options.folder.resolve() / "stranger", market.password_file, words)
            except ClusterError as error:
                bad.append(f"The receipt of order {order.order_hash} is not valid: {error.message}")
    return tuple(bad)


async def _wallets(market: Market) -> tuple[Wallet, ...]:
    last = await market.chain.height()
    flows = await market.chain.flows(market.first_block + 1, last, market.accounts)
    wallets = []
    for account, before in market.wallets_before.items():
        flow = flows.get(account.lower(), Flow())
        after = await market.chain.balance(account, last)
        wallets.append(Wallet(account, before, after, flow.spent, flow.gas, flow.received))
    return tuple(wallets)


def _orphans(market: Market) -> tuple[str, ...]:
    leaders = [leader for party in market.parties for leader in party.leaders]
    return tuple(f"Process {pid} outlived its node: {command}" for pid, command in session_of(leaders).items())


def figures(evidence: Evidence, market: Market, seconds: Sequence[float]) -> dict[str, Any]:
    """Return counts of what happened, for the report."""
    events = Counter(move.event for move in evidence.moves)
    ascending = sorted(seconds)
    burned = sum(change for move in evidence.moves for account, change in move.changes if account == BURNED)
    return {
        "orders": len(evidence.orders),
        "phases": dict(Counter(order.phase for order in evidence.orders)),
        "events": dict(events),
        "paid_wei": str(sum(order.paid for order in evidence.orders)),
        "fee_wei": str(FEE_WEI),
        "burned_wei": str(burned),
        "gas_wei": str(sum(wallet.gas for wallet in evidence.wallets)),
        "job_seconds_p50": round(ascending[len(ascending) // 2], 1) if ascending else None,
        "job_seconds_p90": round(ascending[len(ascending) * 9 // 10], 1) if ascending else None,
        "daemon_starts": sum(daemon.starts for daemon in market.daemons),
        "refused_starts": sum(daemon.refused_starts for daemon in market.daemons),
        "client_kills": sum(customer.kills for customer in market.customers),
        "client_processes": sum(len(customer.leaders) for customer in market.customers),
        "client_errors": dict(Counter(e for c in market.customers for job in c.jobs for e in job.errors)),
    }
