# SPDX-License-Identifier: GPL-3.0-or-later
"""Each role dies after every journal record and every effect of a job, in turn, and the job is paid exactly once.

The shells, the machines and the journals are the real ones; network, chain and clock are of one process, so that every
point is visited in an ordinary run. `make kill-every-step` does the same to real processes on a real chain.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from crash_market import ROLES, CrashMarket, owed
from market_samples import NOW, ORDER, ORDER_HASH
from trio.testing import MockClock

from market import client, prover
from node import role_shell
from node.job_overview import overview
from node.journal import Journal

LIFE = ORDER.final_by - NOW + 5.0
SEEDS = 40


async def run(
    folder: Path, patch: pytest.MonkeyPatch, kills: set[tuple[str, int]], *, locks: bool
) -> CrashMarket:
    """A market of one order in which these kills happen."""
    folder.mkdir()
    market = CrashMarket(folder, locks, set(kills))
    patch.setattr(role_shell, "reached", market.reached)
    await market.run(LIFE)
    return market


def require_paid_once(market: CrashMarket) -> None:
    """Exactly one payment, no refund beside it; everybody knows, nothing is left to do."""
    assert len(market.payments) == 1 and market.refunds == 0
    assert market.payments[0][1] <= owed(market)
    assert market.roles["client"].shell.state.jobs == {} or phase(market, "client") is client.Phase.SETTLED
    assert market.roles["prover"].shell.state.jobs == {} or phase(market, "prover") is prover.Phase.DONE
    assert market.done["client KeepReceipt"] >= 1 and market.done["client EraseSecrets"] >= 1
    for role in ROLES:
        with Journal(market.folder / role) as journal:
            assert journal.pending(role) == []
        assert overview(market.folder / role) is not None


def phase(market: CrashMarket, role: str) -> object:
    return market.roles[role].shell.state.jobs[ORDER_HASH].phase


@pytest.mark.parametrize("locks", [False, True], ids=["direct", "locked"])
@pytest.mark.parametrize("role", ROLES)
async def test_killed_after_each_record_and_effect_the_job_is_paid_exactly_once(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, role: str, locks: bool
) -> None:
    quiet = await run(tmp_path / "quiet", monkeypatch, set(), locks=locks)
    require_paid_once(quiet)
    counted: Counter[str] = Counter()
    points = []
    for name in quiet.passed:
        if name.startswith(role):
            points.append((name, counted[name]))
        counted[name] += 1
    assert len(points) >= 8
    died = 0
    for number, point in enumerate(points):
        market = await run(tmp_path / str(number), monkeypatch, {point}, locks=locks)
        died += market.deaths
        try:
            require_paid_once(market)
        except AssertionError as error:
            raise AssertionError(f"killed at {point}: {market.done} {market.history}") from error
    assert died == len(points)


@pytest.mark.parametrize("locks", [False, True], ids=["direct", "locked"])
async def test_killed_again_and_again_at_random_the_job_is_paid_once_or_not_at_all(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    quiet = await run(tmp_path / "quiet", monkeypatch, set(), locks=locks)
    ends: Counter[str] = Counter()
    for seed in range(SEEDS):
        draw = random.Random(seed)
        kills = {(draw.choice(quiet.passed), draw.randrange(2)) for _ in range(draw.randint(2, 8))}
        market = await run(tmp_path / str(seed), monkeypatch, kills, locks=locks)
        assert len(market.payments) + market.refunds <= 1, (seed, kills)
        locked = any(type(event).__name__ == "ChainLocked" for event in market.history)
        assert market.payments or market.refunds or not locked, (seed, kills)
        for role in ROLES:
            with Journal(market.folder / role) as journal:
                assert journal.pending(role) == [], (seed, role)
        ends["paid" if market.payments else "refunded" if market.refunds else "nobody paid"] += 1
    assert ends["paid"] >= SEEDS * 3 // 4, ends
