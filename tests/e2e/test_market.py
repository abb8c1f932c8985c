# SPDX-License-Identifier: GPL-3.0-or-later
"""Six jobs at once between real processes: each is proved, settled and paid once, exact to the wei."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from devnet_market import (
    FEE,
    PROVERS,
    SECRET,
    account_of,
    bundle_folder,
    chain_of,
    client_of,
    devnet,
    names,
    request,
    require_exact_sums,
    settlements,
)

from node.chain_view import ChainView
from node.client_api import Client
from node.devnet.world import ETHER, World
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


async def _require_paid_once(world: World, chain: ChainView, receipts: list[Receipt]) -> None:
    """Each receipt is one settlement, and the balances are what the settlements leave, by own arithmetic."""
    found = await settlements(chain)
    assert {receipt.order_hash for receipt in receipts} == set(found)
    assert len(receipts) == len(found) == JOBS
    expected = {account_of(world, name): 2 * ETHER for name in names(world, "prover")}
    expected |= {account_of(world, name): 0 for name in [*names(world, "verifier"), "publisher"]}
    expected[account_of(world, "client")] = 5 * ETHER
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
    assert {account: await chain.escrow_balance(account) for account in expected} == expected
    await require_exact_sums(chain)


@pytest.mark.slow
async def test_six_jobs_at_once_are_each_paid_once_to_the_wei(tmp_path: Path) -> None:
    async with devnet(tmp_path, provers=PROVERS, verifiers=2) as world:
        async with client_of(world) as client:
            receipts = await _run_jobs(client, bundle_folder(world))
        async with chain_of(world) as chain:
            await _require_paid_once(world, chain, receipts)
        for receipt in receipts:
            again = from_json(to_json(receipt))
            assert again == receipt
            checks = [*check_offline(again), *await check_on_chain(again, world.devnet.rpc_url)]
            assert [check.name for check in checks if not check.passed] == []
