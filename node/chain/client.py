# SPDX-License-Identifier: GPL-3.0-or-later
"""Ethereum's methods with typed arguments and results, over one or several RPC endpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from node.chain.endpoints import Endpoints
from node.chain.logs import block_logs, past_logs
from node.chain.records import (
    BlockHeader,
    Call,
    Json,
    Log,
    Receipt,
    hex_of,
    parse_bytes,
    parse_header,
    parse_quantity,
    parse_receipt,
)
from node.chain.rpc import RpcClient
from protocol.errors import ChainError, RevertedError, RpcRefusedError, WrongChainError

_DEFAULT_TIP = 10**9


class ChainClient:
    """The chain behind its RPC endpoints. Every method may raise a `ChainError`."""

    def __init__(self, rpc: RpcClient | Endpoints) -> None:
        self.rpc = rpc if isinstance(rpc, Endpoints) else Endpoints((rpc,))

    async def require_chain(self, chain_id: int) -> None:
        """Check that the RPC serves this chain.

        Raises:
            WrongChainError: it serves another.
        """
        found = await self.chain_id()
        if found != chain_id:
            raise WrongChainError(f"The RPC serves chain {found}, not {chain_id}.")

    async def chain_id(self) -> int:
        """Return the chain's id."""
        return parse_quantity(await self.rpc.call("eth_chainId"), "chain id")

    async def header(self, block: int | str = "latest") -> BlockHeader | None:
        """Return a header by number or tag; None when there is no such block."""
        return (await self.headers([block]))[0]

    async def headers(self, blocks: Sequence[int | str]) -> list[BlockHeader | None]:
        """Return several headers, by number or tag, in one round trip; None for those that are not there."""
        tags = [hex_of(block) if isinstance(block, int) else block for block in blocks]
        found = await self.rpc.batch([("eth_getBlockByNumber", (tag, False)) for tag in tags])
        pairs = zip(tags, found, strict=True)
        return [None if block is None else parse_header(block, pending=tag == "pending") for tag, block in pairs]

    async def logs(
        self, headers: Sequence[BlockHeader], addresses: Sequence[bytes], topics: Sequence[bytes] = ()
    ) -> list[tuple[Log, ...]]:
        """Return the logs of some contracts in each block, none left out (logs.py)."""
        return await block_logs(self.rpc, headers, addresses, topics)

    async def past_logs(self, where: Mapping[str, Json], first: int) -> list[Log]:
        """Return the logs of a filter from a block to the head, in chunks that the RPC accepts."""
        head = await self.header("latest")
        return await past_logs(self.rpc, where, first, head.number if head is not None else first)

    async def call(
        self, to: bytes, data: bytes, *, sender: bytes | None = None, block: str = "latest"
    ) -> bytes:
        """Return what a read of a contract gives.

        Raises:
            RevertedError: the contract refuses.
        """
        request = {"to": hex_of(to), "data": hex_of(data)}
        if sender is not None:
            request["from"] = hex_of(sender)
        return parse_bytes(await self.rpc.call("eth_call", request, block), "call result")

    async def replay(self, sender: bytes, call: Call, block_number: int) -> RevertedError | None:
        """Run a call on the state of a block, and return how it reverts, or None."""
        try:
            await self.rpc.call("eth_call", _request(sender, call), hex_of(block_number))
        except RevertedError as error:
            return error
        except ChainError:
            return None
        return None

    async def estimate_gas(self, sender: bytes, call: Call) -> int:
        """Return the least gas with which the call does not revert now.

        Raises:
            RevertedError: it reverts with any.
        """
        return parse_quantity(await self.rpc.call("eth_estimateGas", _request(sender, call)), "gas")

    async def balance(self, account: bytes) -> int:
        """Return the account's ETH, in wei."""
        return parse_quantity(await self.rpc.call("eth_getBalance", hex_of(account), "latest"), "balance")

    async def nonce(self, account: bytes, tag: str = "latest") -> int:
        """Return how many transactions of the account are mined (or `pending`)."""
        found = await self.rpc.call("eth_getTransactionCount", hex_of(account), tag)
        return parse_quantity(found, "nonce")

    async def code(self, account: bytes) -> bytes:
        """Return the account's code; empty when it is no contract."""
        return parse_bytes(await self.rpc.call("eth_getCode", hex_of(account), "latest"), "code")

    async def receipt(self, transaction_hash: bytes) -> Receipt | None:
        """Return the receipt of a mined transaction, or None."""
        found = await self.rpc.call("eth_getTransactionReceipt", hex_of(transaction_hash))
        # Some RPCs answer for transactions that wait in the pool, without a block.
        return None if found is None or found.get("blockHash") is None else parse_receipt(found)

    async def send_raw(self, raw: bytes) -> None:
        """Broadcast a signed transaction.

        Raises:
            RpcRefusedError: the pool does not take it; its text says why.
        """
        await self.rpc.call("eth_sendRawTransaction", hex_of(raw))

    async def base_fee(self) -> int:
        """Return what a unit of gas costs at least in the next block, in wei: a rise is known one block ahead."""
        latest, pending = await self.headers(["latest", "pending"])
        known = [header.base_fee for header in (latest, pending) if header is not None]
        return max(known, default=0)

    async def tip(self) -> int:
        """Return a priority fee per gas that the RPC suggests, in wei."""
        try:
            return parse_quantity(await self.rpc.call("eth_maxPriorityFeePerGas"), "tip")
        except RpcRefusedError:
            return _DEFAULT_TIP


def _request(sender: bytes, call: Call) -> dict[str, Json]:
    request: dict[str, Json] = {
        "from": hex_of(sender),
        "data": hex_of(call.data),
        "value": hex_of(call.value),
    }
    if call.to is not None:
        request["to"] = hex_of(call.to)
    return request
