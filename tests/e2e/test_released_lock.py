# SPDX-License-Identifier: GPL-3.0-or-later
"""A prover that cannot prove under its lock gives it up before its promise: an eighth of its collateral is lost."""

from __future__ import annotations

import os
import signal

import pytest
import trio
from devnet_market import (
    HANG_GUARD,
    SECRET,
    account_of,
    bundle_folder,
    chain_of,
    client_of,
    escrow_events,
    prove_one,
    request,
    require_exact_sums,
    session_processes,
)
from devnet_thread import Market

from contracts.events import Locked, Released
from market.effects import Report
from node.chain_view import ChainView
from node.client_api import JobFailedError
from node.devnet.world import World

pytestmark = pytest.mark.slow

CHEAPEST = "prover-1"
COLLATERAL = 10**17
LOCKING = {
    "PROOFMESH_PROVER_LOCK_ABOVE_MS": "0",
    # It looks at the chain every three seconds only: time enough to stop its workers between lock and proof.
    "PROOFMESH_POLL_MS": "3000",
}


async def _restart(world: World, extra: dict[str, str]) -> None:
    process = world.processes.pop(CHEAPEST)
    os.kill(world.devnet.node(CHEAPEST).node_pid, signal.SIGTERM)
    with trio.fail_after(HANG_GUARD):
        await process.wait()
    await world.start_prover(CHEAPEST, extra)


async def _stop_workers_when_locked(world: World, chain: ChainView, stopped: list[int], before: int) -> None:
    cheapest = account_of(world, CHEAPEST)
    while await chain.escrow_balance(cheapest) == before:
        await trio.sleep(0.02)
    own = {world.processes[CHEAPEST].pid, world.devnet.node(CHEAPEST).node_pid}
    stopped += [pid for pid in session_processes([world.processes[CHEAPEST].pid]) if pid not in own]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)


def test_a_lock_without_a_proof_is_given_up_before_its_promise(market: Market) -> None:
    async def scenario(world: World) -> None:
        cheapest, heard, stopped = account_of(world, CHEAPEST), list[Report](), list[int]()
        await _restart(world, LOCKING)
        await prove_one(world, allowed=(cheapest,), collateral=COLLATERAL)  # its workers exist now
        async with chain_of(world) as chain, client_of(world) as client, trio.open_nursery() as nursery:
            own, others = await chain.escrow_balance(cheapest), await chain.escrow_balance(client.account)
            nursery.start_soon(_stop_workers_when_locked, world, chain, stopped, own)
            client.on_report = heard.append
            terms = request(deadline=25, collateral=COLLATERAL, allowed=(cheapest,))
            order_hash = await client.submit(bundle_folder(world), SECRET, terms)
            with trio.fail_after(HANG_GUARD), pytest.raises(JobFailedError):
                await client.wait(order_hash)
            events = [event for event in await escrow_events(chain) if getattr(event, "order_hash", b"") == order_hash]
            assert [type(event) for event in events] == [Locked, Released]
            assert "lock-released" in [report.topic for report in heard]
            assert await chain.escrow_balance(cheapest) == own - COLLATERAL // 8
            assert await chain.escrow_balance(client.account) == others
            await require_exact_sums(chain)
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        await _restart(world, {})
        await prove_one(world, allowed=(cheapest,))

    market.run(scenario)
