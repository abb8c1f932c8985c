# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain's node dies under a running one, and comes back at the same address with its state."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from anvil_process import FUNDED
from escrow_market import WITHDRAWAL_DELAY
from structlog.testing import capture_logs

from contracts.deploy import deploy
from contracts.deployment import Deployment, Terms
from market.events import JobEvent
from node.chain.rpc import RpcClient
from node.chain_view import ChainView, open_chain
from node.devnet.anvil import find_anvil, run_anvil
from node.journal import Journal
from node.settings import Settings

GUARD = 60.0


async def until(condition: Callable[[], Any]) -> None:
    with trio.fail_after(GUARD):
        while not condition():
            await trio.sleep(0.02)


@asynccontextmanager
async def chain_node(folder: Path, port: int = 0) -> AsyncIterator[str]:
    state = ["--state", str(folder / "state.json")]
    async with run_anvil(find_anvil(), log=folder / "anvil.log", port=port, arguments=state) as anvil:
        yield anvil.url


def settings_of(folder: Path, url: str, deployed: Deployment) -> Settings:
    return Settings(
        data_dir=folder,
        rpc_url=url,
        chain_id=deployed.chain_id,
        escrow=deployed.escrow,
        registry=deployed.registry,
        poll_ms=50,
        confirmations=2,
    )


async def mine(url: str, blocks: int = 1) -> None:
    async with RpcClient(url) as rpc:
        await rpc.call("anvil_mine", hex(blocks))


async def test_a_dead_rpc_is_noticed_and_survived_without_a_restart(tmp_path: Path) -> None:
    heard: list[JobEvent] = []
    async with trio.open_nursery() as nursery:
        with capture_logs() as logs:
            async with chain_node(tmp_path) as url:
                deployed = await trio.to_thread.run_sync(deploy, url, FUNDED, Terms(True, WITHDRAWAL_DELAY))
                opened = open_chain(settings_of(tmp_path, url, deployed), FUNDED, Journal(tmp_path / "journal"))
                view: ChainView = await opened.__aenter__()
                await nursery.start(view.follow, heard.append)
                nursery.start_soon(view.keep_transactions)
                await view.deposit(5, "first")
                await until(lambda: view.ledger.balance(FUNDED.address) == 5)
                async with RpcClient(url) as rpc:
                    await rpc.call("evm_setAutomine", False)
                nursery.start_soon(view.deposit, 7, "second")
                await until(lambda: view._sender is not None and view._sender._store.attempts("second"))
            # It is dead now: that is noticed, and chain time goes on all the same.
            await until(lambda: "chain not reachable, trying again" in str(logs))
            before = view.clock.now()
            await trio.sleep(0.3)
            assert view.clock.now() - before >= 0.2e9
            port = int(url.rpartition(":")[2])
            async with chain_node(tmp_path, port):
                await until(lambda: "chain reachable again" in str(logs))
                await until(lambda: view.ledger.balance(FUNDED.address) == 12)
                await mine(url, 3)
                await until(lambda: not view._sender or not view._sender._store.unfinished(FUNDED.address))
                assert await view.escrow_balance(FUNDED.address) == 12
                nursery.cancel_scope.cancel()
        noticed = [entry["event"] for entry in logs if entry["log_level"] != "debug"]
        for line in ("chain not reachable, trying again", "chain not reachable, the transaction waits"):
            assert noticed.count(line) == 1
        assert noticed.count("chain reachable again") == 1
        await opened.__aexit__(None, None, None)
