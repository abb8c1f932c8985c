# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated node dies at every step of journal, apply and act, one run for each; the job ends all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sims.drawing import Options, draw_scenario
from sims.run import run_scenario
from sims.scenario import Crash, Rates, Scenario

FIRST_STEPS = 60
"""Steps of each node that are died at; a job takes fewer."""


def calm(*, locks: bool) -> Scenario:
    """One client, one prover, one verifier, one order; nothing goes wrong by chance."""
    drawn = draw_scenario(Options(nodes=3, jobs=1, seed=3, byzantine_ppm=0, block_seconds=2, latency_ms=40))
    order = replace(drawn.orders[0], at_ms=1_000, program=3, collateral=10**13, price_cap=10**15, must_settle=False)
    provers = tuple(replace(spec, exposure_cap=1 if locks else 10**17) for spec in drawn.provers)
    return replace(
        drawn,
        provers=provers,
        orders=(order,),
        heal_ms=200_000,
        rates=Rates(),
        crashes=(),
        partitions=(),
        outages=(),
        reorgs=(),
        gas_spikes=(),
        censorships=(),
    )


@pytest.mark.parametrize("locks", [False, True])
@pytest.mark.parametrize("node", [0, 1, 2])
def test_a_node_can_die_at_every_step(node: int, locks: bool) -> None:
    scenario, where = calm(locks=locks), set()
    assert run_scenario(scenario).figures["settled"] == 1
    for step in range(1, FIRST_STEPS + 1):
        outcome = run_scenario(replace(scenario, crashes=(Crash(node, step, 4_000),)))
        assert outcome.violation is None, (step, str(outcome.violation))
        where |= {fault for fault in outcome.faults if fault.startswith("crash")}
    assert len(where) >= (5 if node else 6), where


def test_dying_again_and_again_loses_nothing() -> None:
    scenario = calm(locks=True)
    crashes = tuple(Crash(node, step, 1_500) for node in range(3) for step in range(5, 60, 7))
    outcome = run_scenario(replace(scenario, crashes=crashes))
    assert outcome.violation is None and int(outcome.figures["deaths"]) >= 10
