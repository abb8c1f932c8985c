# SPDX-License-Identifier: GPL-3.0-or-later
"""A role dies after a journal record or an effect, comes back, and its job ends paid once or refunded.

`make kill-every-step` kills at every point and writes build/kill-every-step.json; an ordinary run takes three.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import trio
from devnet_thread import Market
from kill_steps import (
    CLIENT,
    DIRECT,
    SCENARIOS,
    Outcome,
    Point,
    kill_at,
    points_of,
    report,
    require,
    require_nothing_left,
    stage,
    staged_on,
)

from node.devnet.world import World

pytestmark = pytest.mark.slow

SAMPLE = (
    Point("direct", DIRECT, "prover effect StartProof", 1),
    Point("direct", DIRECT, "prover record ProofReady", 1),
    Point("client", CLIENT, "client effect SendAward", 1),
)
"""Where most is at stake: a proof that is not stored, one that is not sent, an award that is sent and not known."""


def test_a_role_killed_at_a_step_and_restarted_is_paid_once(market: Market, tmp_path: Path) -> None:
    async def scenario(world: World) -> list[Outcome]:
        async with staged_on(world, tmp_path, (DIRECT,)) as staged:
            return [await kill_at(staged, point) for point in SAMPLE]

    for outcome in market.run(scenario):
        assert outcome.died
        require(outcome)


WANTED = os.environ.get("KILL_EVERY_STEP", "")
"""`1` for all scenarios, or their names."""


@pytest.mark.skipif(not WANTED, reason="make kill-every-step: half an hour")
async def test_each_role_killed_at_every_step_is_paid_once_or_refunds(tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    async with stage(tmp_path) as staged:
        for scenario in SCENARIOS if WANTED == "1" else WANTED.split(","):
            for point in await points_of(staged, scenario):
                outcomes.append(await kill_at(staged, point))
                _write(outcomes)
        await trio.sleep(2)
        await require_nothing_left(staged)
    for outcome in outcomes:
        require(outcome)
    assert WANTED != "1" or {outcome.point.scenario for outcome in outcomes if outcome.died} == set(SCENARIOS)
    assert sum(outcome.died for outcome in outcomes) >= len(outcomes) * 3 // 4


def _write(outcomes: list[Outcome]) -> None:
    """Keep what is known so far, and say the latest."""
    folder = Path("build")
    folder.mkdir(exist_ok=True)
    found = report(outcomes)
    (folder / "kill-every-step.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["outcomes"][-1]), flush=True)
