# SPDX-License-Identifier: GPL-3.0-or-later
"""A newcomer whose every known peer is hostile finds honest provers by the chain's directory."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from devnet_market import HANG_GUARD, PROVERS, SECRET, bundle_folder, client_of, devnet, names, request, until

from node.devnet.world import World
from node.endpoint import MarketEndpoint
from node.net import Transport
from node.net.identity import fresh
from protocol.messages import Hello, Message
from protocol.structs import Network

pytestmark = pytest.mark.slow


class Island:
    """Hostile peers that answer every hello with one another, and forward no order."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    @asynccontextmanager
    async def peer(self, network: Network) -> AsyncIterator[Transport]:
        tag = f"{network.chain_id}/{network.escrow.hex()}"
        node = Transport(fresh(), ["/ip4/127.0.0.1/tcp/0"], network_tag=tag)
        endpoint = MarketEndpoint(network, node)

        async def answer(peer: str, message: Hello) -> Message:
            changes = {"peers": tuple(self.addresses), "account": bytes(20), "signature": None, "roles": ("prover",)}
            return Hello.model_validate({**dict(message), "addresses": node.addresses, **changes})

        endpoint.on(Hello, answer)
        async with node.running():
            self.addresses.append(node.addresses[0])
            yield node


async def test_a_newcomer_among_liars_finds_the_provers_by_the_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prover = replace(PROVERS[0], extra={"PROOFMESH_DIRECTORY": "announce"})
    async with devnet(tmp_path, provers=[prover]) as world:
        with trio.fail_after(5 * HANG_GUARD):
            announced = [await _announced(world, name) for name in names(world, "prover")]
            assert announced == [True]
            island = Island()
            network = Network(chain_id=world.devnet.chain_id, escrow=bytes.fromhex(world.devnet.escrow[2:]))
            async with island.peer(network), island.peer(network):
                monkeypatch.setenv("PROOFMESH_BOOTSTRAP", ",".join(island.addresses))
                async with client_of(world) as client:
                    bootstrap = {address.rsplit("/", 1)[1] for address in island.addresses}
                    contacts = client.node.context.transport.book.contacts()
                    assert {contact.peer for contact in contacts if contact.configured} == bootstrap
                    order_hash = await client.submit(bundle_folder(world), SECRET, request(window=5))
                    assert (await client.wait(order_hash)).award.order_hash == order_hash


async def _announced(world: World, name: str) -> bool:
    log = Path(world.devnet.node(name).log)
    await until(lambda: "announced in the chain's directory" in log.read_text())
    return True
