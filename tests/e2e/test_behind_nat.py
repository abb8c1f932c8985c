# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that listen on nothing: they are reached over the connections that they opened themselves, or by a relay."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from devnet_market import HANG_GUARD, SECRET, account_of, bundle_folder, client_of, log_of, request, until
from devnet_thread import Market

from node.devnet.world import World

pytestmark = pytest.mark.slow


def test_a_client_behind_a_nat_gets_bids_proof_and_receipt(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROOFMESH_LISTEN", "")

    async def scenario(world: World) -> None:
        with trio.fail_after(3 * HANG_GUARD):
            async with client_of(world) as client:
                transport = client.node.context.transport
                assert transport.addresses == (f"/p2p/{transport.peer_id}",)
                order_hash = await client.submit(bundle_folder(world), SECRET, request())
                receipt = await client.wait(order_hash)
                assert receipt.award.order_hash == order_hash
                assert transport.door.seated == 0  # nobody could dial it

    market.run(scenario)


def test_a_prover_and_a_client_that_nobody_can_dial_settle_a_job_by_a_relay(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROOFMESH_LISTEN", "")

    async def scenario(world: World) -> None:
        relay = world.devnet.node("verifier-2").addresses[0]
        carrier = relay.rsplit("/", 1)[1]
        with trio.fail_after(5 * HANG_GUARD):
            await world.stop("verifier-2")
            await world.spawn("verifier-2", ["verifier", "run"], {"PROOFMESH_RELAY_SERVE": "true"})
            async with _behind_a_nat(world, "prover-3", relay) as prover, client_of(world) as client:
                transport = client.node.context.transport
                await until(lambda: {p.peer: p.relay for p in transport.peers()}.get(prover) == carrier)
                account = account_of(world, "prover-3")
                order_hash = await client.submit(bundle_folder(world), SECRET, request(allowed=(account,)))
                receipt = await client.wait(order_hash)
                assert receipt.award.prover == account
                assert transport.door.seated == 0

    market.run(scenario)


@asynccontextmanager
async def _behind_a_nat(world: World, name: str, relay: str) -> AsyncIterator[str]:
    """Within the block a prover listens on nothing, and is reached by a relay; the peer id of the prover."""
    record = world.devnet.node(name)
    listening = record.addresses
    said = len(log_of(world, name))
    await world.stop(name)
    record.addresses = []
    await world.start_prover(name, {"PROOFMESH_LISTEN": "", "PROOFMESH_RELAY_THROUGH": relay})
    try:
        await until(lambda: "p2p-circuit" in log_of(world, name)[said:])
        yield listening[0].rsplit("/", 1)[1]
    finally:
        await world.stop(name)
        record.addresses = listening
        await world.start_prover(name)
