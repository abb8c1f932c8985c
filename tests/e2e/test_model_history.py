# SPDX-License-Identifier: GPL-3.0-or-later
"""A model's history as the chain tells it: who published it, and each proof that was paid."""

from __future__ import annotations

import json

import pytest
from devnet_market import account_of, chain_of, prove_one, settlements
from devnet_thread import Market

from node.cli.app import run
from node.devnet.world import World
from node.model_history import ModelHistory, history_of


async def _history(world: World) -> ModelHistory:
    async with chain_of(world) as chain:
        (published,) = await chain.models()
        return await history_of(chain, published.model_id)


def test_history_lists_the_proofs_that_were_paid(market: Market, capsys: pytest.CaptureFixture[str]) -> None:
    order_hash = market.run(prove_one)
    found = market.run(_history)
    assert found.publisher == account_of(market.world, "publisher")
    assert found.lineage == (found.model_id,) and found.advisories == ()

    async def paid(world: World) -> set[bytes]:
        async with chain_of(world) as chain:
            return set(await settlements(chain))

    assert {each.order_hash for each in found.executions} == market.run(paid)
    last = found.executions[-1]
    assert last.order_hash == order_hash and last.price > 0 and len(last.outputs) == 1

    folder = market.world.devnet.node("client").data_dir
    capsys.readouterr()
    assert run(["--data-dir", str(folder), "--json", "model", "history", "0x" + found.model_id.hex()]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [each["order_hash"] for each in said["executions"]] == ["0x" + e.order_hash.hex() for e in found.executions]
    assert said["advice"] == "none" and said["record"]["program_id"] == "0x" + found.record.program_id.hex()


def test_a_model_that_nobody_published_has_no_history(market: Market, capsys: pytest.CaptureFixture[str]) -> None:
    folder = market.world.devnet.node("client").data_dir
    capsys.readouterr()
    assert run(["--data-dir", str(folder), "--json", "model", "history", "ab" * 32]) == 4
    assert "PM-RPC-009" in "".join(capsys.readouterr())
