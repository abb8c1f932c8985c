# SPDX-License-Identifier: GPL-3.0-or-later
"""30% of provers and one verifier of three lie: what became of honest clients' jobs and of honest parties' money.

`python benchmarks/byzantine.py [--markets 40]` prints one JSON object for two worlds: with all faults until it heals,
and with all but those that keep a node from the chain (its death, its RPC, censorship, gas spikes). Liars never heal.
Money is compared at the end: what clients lost beyond payments for settled orders, and which honest provers lost
collateral. In the first world SIM-5 excuses those that could not reach the chain while a lock ran; in the second
nobody may lose any.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

from market import client
from sims.chain import Escrow
from sims.drawing import Options, draw_scenario
from sims.invariants import REFUND_SLACK
from sims.run import Market, build, finish
from sims.scenario import Scenario, VerifierSpec
from sims.strategies import PROVERS, VERIFIERS

PROVER_COUNT, LIARS = 10, 3
SECOND = 10**9


def main() -> None:
    """Run the markets in both worlds and print the object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markets", type=int, default=40, help="how many markets, one seed each")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    asked = parser.parse_args()
    sums: dict[str, dict[str, int]] = {"all_faults": {}, "everyone_reaches_the_chain": {}}
    for seed in range(asked.first, asked.first + asked.markets):
        scenario = with_liars(seed)
        for world, played in zip(sums, (scenario, reachable(scenario)), strict=True):
            market = build(played, Escrow())
            finish(market)
            for key, value in figures(market).items():
                sums[world][key] = sums[world].get(key, 0) + value
    print(json.dumps({"markets": asked.markets, "provers": PROVER_COUNT, "lying_provers": LIARS, **sums}))


def reachable(scenario: Scenario) -> Scenario:
    """Return the same market without what keeps a node from the chain: the network stays as bad, liars lie."""
    rates = replace(scenario.rates, prover_death=0, verifier_death=0)
    return replace(scenario, rates=rates, crashes=(), outages=(), censorships=(), gas_spikes=())


def with_liars(seed: int) -> Scenario:
    """Return a market of 10 provers, 3 verifiers and honest clients in which 3 provers and 1 verifier lie."""
    scenario = draw_scenario(Options(nodes=24, jobs=20, seed=seed, byzantine_ppm=0))
    lies, lie = tuple(PROVERS)[1:], tuple(VERIFIERS)[1:]
    honest = scenario.provers[:PROVER_COUNT]
    liars = tuple(
        replace(spec, strategy=lies[(seed * LIARS + index) % len(lies)], wei_per_ms=1, margin_bps=0)
        for index, spec in enumerate(honest[:LIARS])
    )
    verifiers = (VerifierSpec(strategy=lie[seed % len(lie)]), *scenario.verifiers[:2])
    nodes = len(scenario.clients) + PROVER_COUNT + len(verifiers)
    return replace(
        scenario,
        provers=(*liars, *honest[LIARS:]),
        verifiers=verifiers,
        orders=tuple(replace(order, allowed=None) for order in scenario.orders),
        crashes=tuple(one for one in scenario.crashes if one.node < nodes),
        outages=tuple(one for one in scenario.outages if one.node < nodes),
        censorships=tuple(one for one in scenario.censorships if one.node < nodes),
        partitions=tuple(
            replace(one, nodes=tuple(node for node in one.nodes if node < nodes)) for one in scenario.partitions
        ),
    )


def figures(market: Market) -> dict[str, int]:
    """Return what honest parties got and lost in one market."""
    escrow = market.around.chain.escrow
    placed = [(node, entry) for node in market.clients for entry in node.placed.values()]
    ends = [entry.ended_at <= entry.plan.order.final_by * SECOND + REFUND_SLACK for _, entry in placed]
    spent = sum(
        spec.deposit - escrow.balance(node.account)
        for node, spec in zip(market.clients, market.scenario.clients, strict=True)
    )
    paid = sum(entry.paid for _, entry in placed if entry.outcome is client.Phase.SETTLED)
    lost = [
        max(0, spec.deposit - escrow.balance(node.account))
        for node, spec in zip(market.provers, market.scenario.provers, strict=True)
        if node.honest
    ]
    return {
        "jobs": len(placed),
        "ended_by_deadline": sum(ends),
        "settled": sum(entry.outcome is client.Phase.SETTLED for _, entry in placed),
        "refunded_or_nothing_reserved": sum(entry.outcome is not client.Phase.SETTLED for _, entry in placed),
        "wei_clients_lost_beyond_payments": spent - paid,
        "honest_provers_that_lost_collateral": sum(amount > 0 for amount in lost),
    }


if __name__ == "__main__":
    main()
