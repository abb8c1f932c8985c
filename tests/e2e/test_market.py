# SPDX-License-Identifier: GPL-3.0-or-later
"""Six jobs at once between real processes: each is proved, settled and paid once, exact to the wei."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trio
from devnet_market import (
    FEE,
    SECRET,
    Balances,
    account_of,
    balances,
    bundle_folder,
    chain_of,
    client_of,
    prove_one,
    request,
    require_exact_sums,
    settlements,
    until,
)
from devnet_thread import Market

from node.chain_view import ChainView
from node.cli.app import run
from node.client_api import Client
from node.devnet.world import World
from node.receipt import Receipt, check_offline, from_json, to_json
from node.receipt_chain import check_on_chain

JOBS = 6
DEADLINE = 120.0


async def _run_jobs(client: Client, folder: Path) -> list[Receipt]:
    receipts: list[Receipt] = []

    async def one(index: int) -> None:
        values = [value - index for value in SECRET]
        order_hash = await client.submit(folder, values, request(deadline=90))
        receipts.append(await client.wait(order_hash))

    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            for index in range(JOBS):
                nursery.start_soon(one, index)
    return receipts


async def _require_paid_once(world: World, chain: ChainView, before: Balances, receipts: list[Receipt]) -> None:
    """Each receipt is one settlement, and the balances moved as the settlements say, by own arithmetic."""
    found = await settlements(chain)
    expected = dict(before)
    for receipt in receipts:
        (settled,) = found[receipt.order_hash]
        payment = settled.payment
        assert (payment.prover, payment.price) == (receipt.award.prover, receipt.award.price)
        assert payment.verifier_fee == FEE
        assert payment.royalty == payment.price * world.plan.royalty_bps // 10_000
        expected[receipt.order.client] -= payment.price + FEE
        expected[receipt.award.payout] += payment.price - payment.royalty
        expected[account_of(world, "publisher")] += payment.royalty
        expected[payment.fee_to] += FEE
    assert await balances(world, chain) == expected
    await require_exact_sums(chain)


async def _six_jobs(world: World) -> None:
    async with chain_of(world) as chain:
        before = await balances(world, chain)
        async with client_of(world) as client:
            receipts = await _run_jobs(client, bundle_folder(world))
        assert len({receipt.order_hash for receipt in receipts}) == JOBS
        await _require_paid_once(world, chain, before, receipts)
    for receipt in receipts:
        again = from_json(to_json(receipt))
        assert again == receipt
        checks = [*check_offline(again), *await check_on_chain(again, world.devnet.rpc_url)]
        assert [check.name for check in checks if not check.passed] == []


@pytest.mark.slow
def test_six_jobs_at_once_are_each_paid_once_to_the_wei(market: Market) -> None:
    market.run(_six_jobs)


@pytest.mark.slow
def test_the_command_line_tells_what_moved_deposits_and_how_a_node_is(
    market: Market, capsys: pytest.CaptureFixture[str]
) -> None:
    order_hash = market.run(prove_one)
    prover = market.world.devnet.node("prover-1")
    folder = ["--json", "--data-dir", prover.data_dir]

    def result(*words: str) -> dict[str, Any]:
        capsys.readouterr()
        assert run([*folder, *words]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    moved: Counter[str] = Counter()
    movements = result("wallet", "history", "--everyone")["movements"]
    for movement in movements:
        for _, account, change in movement["changes"]:
            moved[account] += change
    assert moved[prover.account] == int(result("wallet", "balance")["escrow_wei"])
    (settled,) = [each for each in movements if each["order_hash"] == "0x" + order_hash.hex()]
    assert settled["event"] == "Settled" and len(settled["changes"]) >= 3
    own = result("wallet", "history")["movements"]
    assert own and all(any(c[1] == prover.account for c in each["changes"]) for each in own)

    def done(status: dict[str, Any]) -> bool:
        return int(status["jobs"]["prover"].get("done", 0)) >= 1

    async def written(world: World) -> None:
        await until(lambda: done(result("status")))

    market.run(written)
    status = result("status")
    assert status["pid"] == prover.node_pid and status["tasks"] > 10 and status["peers_connected"] > 0
    assert status["running"] is True
