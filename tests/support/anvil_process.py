# SPDX-License-Identifier: GPL-3.0-or-later
"""A real anvil with a funded account and a tiny contract, for tests of the chain client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import tiny_contract
import trio

from node.chain.client import ChainClient
from node.chain.endpoints import Endpoints
from node.chain.records import Json, hex_of, parse_bytes
from node.chain.rpc import RpcClient
from node.chain.store import TransactionStore
from node.chain.transactions import SendingPolicy, TransactionSender
from node.devnet.anvil import find_anvil, run_anvil
from node.journal import Journal
from protocol.signing import Account

# anvil's first default account; its key is public knowledge.
FUNDED = Account(bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"))
QUICK = SendingPolicy(poll_s=0.02, rebroadcast_s=0.2, stuck_s=30.0, timeout_s=20.0)


@dataclass(frozen=True)
class Chain:
    """A running chain: its client, the contract's address, the RPC's address."""

    client: ChainClient
    contract: bytes
    url: str

    async def mine(self, blocks: int = 1) -> None:
        await self.client.rpc.call("anvil_mine", hex(blocks))

    def sender(self, folder: Path, policy: SendingPolicy = QUICK) -> TransactionSender:
        """A sender as a freshly started process would make it."""
        store = TransactionStore(Journal(folder / "journal"))
        return TransactionSender(self.client, FUNDED, 31337, store, policy)


@asynccontextmanager
async def tiny_chain(folder: Path, *, port: int = 0) -> AsyncIterator[Chain]:
    async with run_anvil(find_anvil(), log=folder / "anvil.log", port=port) as anvil:
        async with RpcClient(anvil.url, attempts=2, backoff_s=0.02) as rpc:
            request = {"from": hex_of(FUNDED.address), "data": hex_of(tiny_contract.DEPLOYMENT)}
            receipt = await transact(rpc, request)
            yield Chain(ChainClient(rpc), parse_bytes(receipt["contractAddress"], size=20), anvil.url)


async def transact(rpc: RpcClient | Endpoints, request: dict[str, Json]) -> dict[str, Json]:
    """Let anvil sign and send a transaction; return its receipt (mining takes a moment)."""
    done = await rpc.call("eth_sendTransaction", request)
    with trio.fail_after(10):
        while (receipt := await rpc.call("eth_getTransactionReceipt", done)) is None:
            await trio.sleep(0.005)
    return dict(receipt)
