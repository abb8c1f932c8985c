# SPDX-License-Identifier: GPL-3.0-or-later
"""A client that listens on nothing: everything reaches it over the connections that it opened itself."""

from __future__ import annotations

import pytest
import trio
from devnet_market import HANG_GUARD, SECRET, bundle_folder, client_of, request
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
