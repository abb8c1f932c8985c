# SPDX-License-Identifier: GPL-3.0-or-later
"""Replaced blocks around locks and payments cost no honest party anything, and the storms would notice if they did."""

from __future__ import annotations

import pytest
from reorg_storms import storm
from simulated_bugs import OLD_BUGS

from sims.run import run_scenario

STORMS = 150
"""A storm takes about 10 ms."""


def test_no_storm_of_reorganisations_breaks_an_invariant() -> None:
    failed = {seed: str(violation) for seed in range(STORMS) if (violation := run_scenario(storm(seed)).violation)}
    assert not failed


@pytest.mark.parametrize(
    "name",
    [
        "reorg-of-a-confirmed-settlement",
        "lock-that-failed-and-landed",
        "lock-that-lost-and-was-mined-after-a-reorg",
        "lock-that-lost-to-a-settlement-and-was-mined-after-a-reorg",
    ],
)
def test_the_storms_find_what_a_swarm_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    OLD_BUGS[name](monkeypatch)
    assert any(run_scenario(storm(seed)).violation for seed in range(STORMS)), f"nobody noticed: {name}"
