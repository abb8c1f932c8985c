# SPDX-License-Identifier: GPL-3.0-or-later
"""The object that a run prints: integers, and exact decimals as strings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from market import client
from sims.errors import Violation
from sims.orders import cheapest_cost

if TYPE_CHECKING:
    from sims.run import Market


def figures_of(market: Market, violation: Violation | None) -> dict[str, int | str]:
    """Return the run's object."""
    scenario, around = market.scenario, market.around
    placed = [entry for node in market.clients for entry in node.placed.values()]
    settled = [entry for entry in placed if entry.outcome is client.Phase.SETTLED]
    took = sorted((entry.ended_at - entry.plan.at) // 10**6 for entry in settled)
    paid = sum(entry.paid for entry in settled)
    least = sum(cheapest_cost(entry.plan.order, scenario) for entry in settled)
    jobs = max(1, len(placed))
    figures: dict[str, int | str] = {
        "seed": scenario.seed,
        "nodes": scenario.nodes,
        "clients": len(market.clients),
        "provers": len(market.provers),
        "verifiers": len(market.verifiers),
        "liars": sum(1 for node in market.nodes if not node.honest),
        "jobs": len(placed),
        "settled": len(settled),
        **{
            phase.value: sum(1 for entry in placed if entry.outcome is phase)
            for phase in (client.Phase.REFUNDED, client.Phase.FAILED, client.Phase.CANCELLED)
        },
        "settle_ms_p50": percentile(took, 50),
        "settle_ms_p99": percentile(took, 99),
        "price_ratio": decimal_ratio(paid, least),
        "messages_per_job": around.network.messages // jobs,
        "bytes_per_job": around.network.bytes // jobs,
        "reauctions": sum(entry.rounds - 1 for entry in placed),
        "slashes": len(around.chain.slashes),
        "reverts": sum(around.chain.reverts.values()),
        "deaths": sum(len(node.downs) for node in market.nodes),
        "faults": sum(around.world.faults.values()),
        "receipts": sum(node.receipts for node in market.clients),
        "events": around.world.steps,
        "simulated_ms": (around.world.now - around.world.began) // 10**6,
        "trace_hash": around.world.trace_hash(),
    }
    if violation is not None:
        figures["violation"] = str(violation)
    return figures


def percentile(ascending: list[int], percent: int) -> int:
    """Return the nearest-rank percentile, 0 of nothing."""
    if not ascending:
        return 0
    return ascending[max(0, -(-len(ascending) * percent // 100) - 1)]


def decimal_ratio(numerator: int, denominator: int) -> str:
    """Return a quotient cut to four decimals, as text; "0.0000" when there is nothing to divide by."""
    units = numerator * 10_000 // denominator if denominator else 0
    return f"{units // 10_000}.{units % 10_000:04d}"
