# SPDX-License-Identifier: GPL-3.0-or-later
"""A JSON-RPC proxy in front of a real chain that lags, lies, drops logs, stalls or answers garbage."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from node.chain.rpc import RpcClient
from protocol.errors import ChainError, RevertedError

Json = Any
Forward = Callable[[str, list[Json]], Awaitable[Json]]
Fault = Callable[[str, list[Json], Forward], Awaitable[Json]]
"""Answers a method in its own way; `Forward` asks the real chain."""


class Refuse(Exception):
    """Answer with a JSON-RPC error of this text."""


class Proxy:
    """A running proxy. Set `fault` for single answers; `cut`, `silent` or `garbage` for whole ones."""

    def __init__(self, upstream: RpcClient) -> None:
        self._upstream = upstream
        self.url = ""
        self.fault: Fault | None = None
        self.cut = False
        """Close the connection half-way through the answer."""
        self.silent = False
        self.garbage = False
        self.asked: list[str] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        raw = b""
        while b"\r\n\r\n" not in raw:
            if not (more := await stream.receive_some(65536)):
                return
            raw += more
        head, _, body = raw.partition(b"\r\n\r\n")
        size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < size:
            body += await stream.receive_some(65536)
        if self.silent:
            await trio.sleep_forever()
        answer = b"\x00nonsense" if self.garbage else json.dumps(await self._answer(json.loads(body))).encode()
        sent = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(answer), answer)
        try:
            await stream.send_all(sent[: len(sent) // 2] if self.cut else sent)
            await stream.aclose()
        except trio.BrokenResourceError:
            return  # the client has left

    async def _answer(self, request: Json) -> Json:
        if isinstance(request, list):
            return [await self._one(each) for each in request]
        return await self._one(request)

    async def _one(self, request: Json) -> Json:
        method, params = request["method"], request["params"]
        self.asked.append(method)
        try:
            result = await (self.fault or _honest)(method, params, self._forward)
        except RevertedError as error:
            said = {"code": 3, "message": "execution reverted", "data": "0x" + error.data.hex()}
        except (Refuse, ChainError) as error:
            said = {"code": -32000, "message": str(error)}
        else:
            return {"jsonrpc": "2.0", "id": request["id"], "result": result}
        return {"jsonrpc": "2.0", "id": request["id"], "error": said}

    async def _forward(self, method: str, params: list[Json]) -> Json:
        return await self._upstream.call(method, *params)


@asynccontextmanager
async def proxy(upstream_url: str) -> AsyncIterator[Proxy]:
    """Serve on a free port until the block is left."""
    async with RpcClient(upstream_url, attempts=1) as upstream, trio.open_nursery() as nursery:
        running = Proxy(upstream)
        listeners = await nursery.start(partial(trio.serve_tcp, running.serve, 0, host="127.0.0.1"))
        running.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/s3cret"
        yield running
        nursery.cancel_scope.cancel()


async def _honest(method: str, params: list[Json], forward: Forward) -> Json:
    return await forward(method, params)


def lagging(blocks: int) -> Fault:
    """An RPC that is some blocks behind."""

    async def answer(method: str, params: list[Json], forward: Forward) -> Json:
        if method != "eth_getBlockByNumber":
            return await forward(method, params)
        last = int(await forward("eth_blockNumber", []), 16) - blocks
        tag = params[0]
        if not tag.startswith("0x"):
            return await forward(method, [hex(max(0, last)), False])
        return None if int(tag, 16) > last else await forward(method, params)

    return answer


def claiming(blocks: int) -> Fault:
    """An RPC that claims a head some blocks further, and makes up what lies between."""

    async def answer(method: str, params: list[Json], forward: Forward) -> Json:
        found = await forward(method, params)
        if method == "eth_getBlockByNumber":
            last = int(await forward("eth_blockNumber", []), 16)
            number = last + blocks if params[0] == "latest" else int(params[0], 16) if params[0] != "pending" else last
            if last < number <= last + blocks:
                found = {**await forward(method, ["latest", False]), **_made_up(number, last)}
        return found

    def _made_up(number: int, last: int) -> dict[str, str]:
        def named(of: int) -> str:
            return "0x" + of.to_bytes(32, "big").hex()

        parent = {} if number == last + 1 else {"parentHash": named(number - 1)}
        return {"number": hex(number), "hash": named(number), **parent}

    return answer


def forking(since: int) -> Fault:
    """An RPC on another fork: from block `since` on its hashes differ."""

    async def answer(method: str, params: list[Json], forward: Forward) -> Json:
        found = await forward(method, params)
        if method == "eth_getBlockByNumber" and found and params[0] != "pending" and int(found["number"], 16) >= since:
            found = {**found, "hash": "0xf0" + found["hash"][4:]}
        return found

    return answer


def without_logs(*, receipts: bool = True) -> Fault:
    """An RPC that leaves logs out; with `receipts` false it also refuses to give a block's receipts."""

    async def answer(method: str, params: list[Json], forward: Forward) -> Json:
        if method == "eth_getLogs":
            return []
        if method == "eth_getBlockReceipts" and not receipts:
            raise Refuse("the method eth_getBlockReceipts does not exist")
        return await forward(method, params)

    return answer


def made_up_logs() -> Fault:
    """An RPC that adds a log that the chain does not have."""

    async def answer(method: str, params: list[Json], forward: Forward) -> Json:
        found = await forward(method, params)
        if method != "eth_getLogs" or "blockHash" not in params[0]:
            return found
        block = await forward("eth_getBlockByHash", [params[0]["blockHash"], False])
        return [*found, {
            "address": params[0]["address"][0], "topics": ["0x" + "77" * 32], "data": "0x", "logIndex": "0x9",
            "blockNumber": block["number"], "blockHash": block["hash"], "transactionHash": "0x" + "11" * 32,
        }]  # fmt: skip

    return answer


def other_chain(chain_id: int) -> Fault:
    """An RPC of another chain."""

    async def answer(method: str, params: list[Json], forward: Forward) -> Json:
        return hex(chain_id) if method == "eth_chainId" else await forward(method, params)

    return answer


def narrow(blocks: int) -> Fault:
    """An RPC that refuses logs of more than so many blocks at once."""

    async def answer(method: str, params: list[Json], forward: Forward) -> Json:
        ranged = method == "eth_getLogs" and "fromBlock" in params[0]
        if ranged and int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) >= blocks:
            raise Refuse("query exceeds the range")
        return await forward(method, params)

    return answer
