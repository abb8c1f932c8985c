# SPDX-License-Identifier: GPL-3.0-or-later
"""Real processes: anvil, publisher, three provers, two verifiers; eight jobs at once, exact to the wei."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from e2e_market import CHEAP, DEAR, FAIR, FEE, INPUTS, client_of, devnet, request, settings_of, tiny_bundle

from contracts import bindings
from contracts import events as chain_events
from node.chain.records import hex_of, parse_logs
from node.chain_view import ChainView, open_chain
from node.devnet.world import World
from node.receipt import Receipt, check_offline
from node.receipt_chain import check_on_chain

JOBS = 8


@pytest.mark.slow
async def test_eight_jobs_at_once_are_each_paid_exactly_once(tmp_path: Path) -> None:
    async with devnet(tmp_path, (CHEAP, FAIR, DEAR), verifiers=2) as world:
        accounts = {bytes.fromhex(node.account[2:]) for node in world.devnet.nodes}
        async with open_chain(settings_of(world)) as chain:
            before = {account: await chain.escrow_balance(account) for account in accounts}
        receipts = await _buy(world)
        async with open_chain(settings_of(world)) as chain:
            await _judge(chain, world, accounts, before, receipts)


async def _buy(world: World) -> list[Receipt]:
    receipts: list[Receipt] = []
    async with client_of(world) as client:
        hashes: list[bytes] = []

        async def one(number: int) -> None:
            order_hash = await client.submit(tiny_bundle(), [number, *INPUTS[1:]], request())
            hashes.append(order_hash)
            receipts.append(await client.wait(order_hash))

        with trio.fail_after(150):
            async with trio.open_nursery() as nursery:
                for number in range(JOBS):
                    nursery.start_soon(one, number)
    assert len(set(hashes)) == JOBS
    return receipts


async def _judge(
    chain: ChainView, world: World, accounts: set[bytes], before: dict[bytes, int], receipts: list[Receipt]
) -> None:
    settled = await _settlements(chain, world)
    assert sorted(event.order_hash for event in settled) == sorted(r.order_hash for r in receipts)
    expected = dict(before)
    for event in settled:
        pay = event.payment
        for account, change in (
            (event.client, -(pay.price + pay.verifier_fee)),
            (pay.payout, pay.price - pay.price * 500 // 10_000),
            (pay.publisher, pay.price * 500 // 10_000),
            (pay.fee_to, FEE),
        ):
            expected[account] += change
    assert {account: await chain.escrow_balance(account) for account in accounts} == expected
    assert sum(expected.values()) == sum(before.values())
    held = await chain.native_balance(chain.network.escrow)
    assert held == bindings.decode_number(await chain.client.call(chain.network.escrow, bindings.total()))
    for receipt in receipts:
        checks = [*check_offline(receipt), *await check_on_chain(receipt, world.devnet.rpc_url)]
        assert len(checks) == 8 and all(check.passed for check in checks)


async def _settlements(chain: ChainView, world: World) -> list[chain_events.Settled]:
    """Every settlement on the chain, asked of it anew."""
    query = {"address": world.devnet.escrow, "fromBlock": "0x0", "toBlock": "latest"}
    query["topics"] = [hex_of(chain_events.event_topic("Escrow", "Settled"))]  # type: ignore[assignment]
    logs = parse_logs(await chain.client.rpc.call("eth_getLogs", query))
    events = [chain_events.decode_event(log.topics, log.data) for log in logs]
    return [event for event in events if isinstance(event, chain_events.Settled)]
