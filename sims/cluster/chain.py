# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster's own eyes and hands on its chain: plain JSON-RPC to anvil, past every fault and past the node's code."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from protocol.errors import RpcMalformedError
from protocol.hashing import keccak256
from sims.cluster.options import BLOCK_SECONDS

REQUEST_SECONDS = 60.0


@dataclass
class Flow:
    """What transactions did to one wallet, in wei: value and gas that left it, value that came."""

    spent: int = 0
    received: int = 0
    gas: int = 0
    sent: int = 0
    failed: int = 0


@dataclass
class Chain:
    """A connection to anvil."""

    url: str
    http: httpx.AsyncClient = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.AsyncClient(timeout=REQUEST_SECONDS, trust_env=False)

    async def call(self, method: str, *parameters: object) -> Any:
        """Return the result of one request; raises RpcMalformedError when there is none."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
        answer = (await self.http.post(self.url, json=request)).json()
        if "result" not in answer:
            raise RpcMalformedError(f"{method} failed: {answer.get('error')}")
        return answer["result"]

    async def number(self, method: str, *parameters: object) -> int:
        """Return a result that is a number."""
        return int(await self.call(method, *parameters), 16)

    async def height(self) -> int:
        """Return the number of the newest block."""
        return await self.number("eth_blockNumber")

    async def balance(self, account: str, block: int | None = None) -> int:
        """Return the wei in a wallet, at a block or now."""
        return await self.number("eth_getBalance", account, "latest" if block is None else hex(block))

    async def view(self, contract: str, function: str, *words: str) -> int:
        """Return the number that a view of a contract answers; `words` are addresses."""
        data = keccak256(function.encode())[:4].hex() + "".join(word[2:].rjust(64, "0") for word in words)
        return int(await self.call("eth_call", {"to": contract, "data": "0x" + data}, "latest"), 16)

    async def fund(self, account: str, wei: int) -> None:
        """Set the wei of a wallet; a power that only a development chain has."""
        await self.call("anvil_setBalance", account, hex(wei))

    async def deposit_for(self, escrow: str, account: str, wei: int) -> str:
        """Pay into the Escrow for an account, from anvil's own first account; return the transaction's hash."""
        (payer, *_) = await self.call("eth_accounts")
        data = "0x" + keccak256(b"depositFor(address)")[:4].hex() + account[2:].rjust(64, "0")
        request = {"from": payer, "to": escrow, "data": data, "value": hex(wei), "gas": hex(200_000)}
        return str(await self.call("eth_sendTransaction", request))

    async def mine(self) -> None:
        """Mine a block now."""
        await self.call("anvil_mine", hex(1))

    async def reorg(self, depth: int) -> None:
        """Replace the last blocks by empty ones; their transactions are gone, as if never heard of.

        The clock's mining rests meanwhile: a block that anvil mines during a reorg leaves a number without a block.
        """
        await self.call("evm_setIntervalMining", 0)
        try:
            await self.call("anvil_reorg", depth, [])
        finally:
            await self.call("evm_setIntervalMining", BLOCK_SECONDS)

    async def flows(self, first: int, last: int, accounts: Iterable[str]) -> dict[str, Flow]:
        """Return what the transactions of blocks `first` to `last` did to wallets, from the receipts."""
        wanted = {account.lower() for account in accounts}
        flows: defaultdict[str, Flow] = defaultdict(Flow)
        # From the last block back by the parent's hash: what is counted is one chain, whatever was replaced.
        block = await self.call("eth_getBlockByNumber", hex(last), True)
        while int(block["number"], 16) >= first:
            for transaction in block["transactions"]:
                receipt = await self.call("eth_getTransactionReceipt", transaction["hash"])
                _add(flows, wanted, transaction, receipt)
            block = await self.call("eth_getBlockByHash", block["parentHash"], True)
        return dict(flows)


def _add(flows: dict[str, Flow], wanted: set[str], transaction: dict[str, Any], receipt: dict[str, Any]) -> None:
    sender, receiver = transaction["from"].lower(), (transaction["to"] or "").lower()
    succeeded = receipt["status"] == "0x1"
    value = int(transaction["value"], 16) if succeeded else 0
    if sender in wanted:
        flow = flows[sender]
        flow.gas += int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)
        flow.spent += value
        flow.sent += 1
        flow.failed += not succeeded
    if receiver in wanted:
        flows[receiver].received += value
