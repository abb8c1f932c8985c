# SPDX-License-Identifier: GPL-3.0-or-later
"""Tiny markets in which every block around locks and payments may be replaced: a hundred of them run in a second.

The worlds that a seed draws are broad; these are narrow, and find within seconds of CPU what a swarm finds in a
thousand seeds. Most clients award an order to everyone, so locks and payments of one order race.
"""

from __future__ import annotations

from sims.scenario import (
    ClientSpec,
    Crash,
    OrderSpec,
    Outage,
    ProverSpec,
    Rates,
    Reorg,
    Scenario,
    VerifierSpec,
)
from sims.world import MILLION, Draw

SHORT_PROGRAMS = 4
"""Of the registry: those that are proved within a second."""


def storm(seed: int) -> Scenario:
    """Return the storm of a seed."""
    draw = Draw(seed, "reorg storm")
    confirmations = draw.between(1, 4)
    provers = tuple(_prover(draw) for _ in range(draw.between(2, 4)))
    verifiers = (VerifierSpec(),) * draw.below(2)
    nodes = 1 + len(provers) + len(verifiers)
    troubled = draw.chance(MILLION // 2)
    return Scenario(
        seed=seed,
        clients=(ClientSpec("honest" if draw.chance(MILLION // 3) else "awards all"),),
        provers=provers,
        verifiers=verifiers,
        orders=tuple(_order(draw, number) for number in range(draw.between(1, 3))),
        crashes=tuple(_crash(draw, nodes) for _ in range(draw.below(3))),
        outages=tuple(_outage(draw, nodes) for _ in range(draw.below(2))),
        reorgs=tuple(_reorg(draw, confirmations) for _ in range(draw.between(1, 6))),
        rates=Rates(false_failure=200_000, proof_failure=200_000, dropped=100_000) if troubled else Rates(),
        block_seconds=2,
        confirmations=confirmations,
        heal_ms=340_000 if draw.chance(MILLION // 2) else 100_000,
    )


def _prover(draw: Draw) -> ProverSpec:
    """Half of them trust nobody, and so lock."""
    locks = draw.chance(MILLION // 2)
    return ProverSpec(
        slowness_percent=draw.between(100, 400),
        wei_per_ms=draw.between(1, 3) * 10**9,
        exposure_cap=1_000 if locks else 10**18,
    )


def _order(draw: Draw, number: int) -> OrderSpec:
    return OrderSpec(
        at_ms=draw.between(8_000, 14_000),
        number=number,
        client=0,
        program=draw.below(SHORT_PROGRAMS),
        price_cap=10**15,
        verifier_fee=8 * 10**12,
        collateral=4 * 10**12,
        promise_by_s=draw.between(60, 230),
        final_by_s=draw.between(240, 315),
    )


def _crash(draw: Draw, nodes: int) -> Crash:
    return Crash(node=draw.below(nodes), step=draw.between(1, 120), down_ms=draw.between(500, 20_000))


def _outage(draw: Draw, nodes: int) -> Outage:
    start = draw.between(10_000, 60_000)
    return Outage(node=draw.below(nodes), from_ms=start, to_ms=start + draw.between(500, 300_000))


def _reorg(draw: Draw, confirmations: int) -> Reorg:
    """Deeper than what is confirmed, in the seconds in which locks and payments are mined."""
    return Reorg(
        at_ms=draw.between(12_000, 26_000 + confirmations * 2_000),
        depth=draw.between(confirmations, confirmations + 3),
        forgets_ppm=(0, 200_000, MILLION)[draw.below(3)],
    )
