# SPDX-License-Identifier: GPL-3.0-or-later
"""The RPC client against a server that misbehaves, and against anvil."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import tiny_contract
import trio
from anvil_process import tiny_chain
from hypothesis import given
from hypothesis import strategies as st

from node.chain.client import ChainClient
from node.chain.records import Json, parse_header, parse_logs, parse_receipt
from node.chain.rpc import RpcClient, describe_revert
from protocol.errors import (
    ChainError,
    RevertedError,
    RpcDownError,
    RpcMalformedError,
    RpcRefusedError,
    RpcTimeoutError,
)

Answer = Callable[[int, dict[str, Json]], bytes | None]


def ok(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[str]:
    """Serve raw HTTP answers; None keeps the connection open in silence."""
    count = 0

    async def serve(stream: trio.SocketStream) -> None:
        nonlocal count
        raw = b""
        while b"\r\n\r\n" not in raw or not raw.rstrip().endswith((b"}", b"]")):
            raw += await stream.receive_some(65536)
        count += 1
        body = answer(count, json.loads(raw.partition(b"\r\n\r\n")[2]))
        if body is None:
            await trio.sleep_forever()
        else:
            await stream.send_all(body)
            await stream.aclose()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/s3cret"
        nursery.cancel_scope.cancel()


async def ask(url: str, method: str = "eth_chainId") -> Json:
    async with RpcClient(url, timeout_s=0.3, attempts=3, backoff_s=0.01) as rpc:
        return await rpc.call(method)


def result(value: Json) -> Answer:
    return lambda _, request: ok(json.dumps({"id": request["id"], "result": value}).encode())


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (ok(b"not json"), RpcMalformedError),
        (ok(b"[" * 100_000), RpcMalformedError),
        (ok(b"[]"), RpcMalformedError),
        (ok(b"3"), RpcMalformedError),
        (ok(b'{"id": 99, "result": "0x1"}'), RpcMalformedError),
        (ok(b'{"id": 0}'), RpcMalformedError),
        (ok(b'{"id": 0, "error": 3}'), RpcMalformedError),
        (ok(b'{"id": 0, "error": {"code": -1, "message": "bad\\u001b[31m"}}'), RpcRefusedError),
        (ok(b'{"id": 0, "error": {"code": 3, "message": "x", "data": "zz"}}'), RevertedError),
        (ok(b"", "503 Busy"), RpcDownError),
        (b"", RpcDownError),
        (b"garbage\r\n\r\n", RpcDownError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{", RpcDownError),
        (None, RpcTimeoutError),
    ],
)
async def test_a_server_that_misbehaves_is_one_typed_error(
    body: bytes | None, error: type[ChainError]
) -> None:
    async with server(lambda _, request: body) as url:
        with pytest.raises(error) as caught:
            await ask(url)
        assert "s3cret" not in str(caught.value) and "\x1b" not in str(caught.value)
        assert caught.value.exit_code == 4


async def test_nobody_listening_is_down_and_a_bad_address_too() -> None:
    for url in ("http://127.0.0.1:9", "http://", "nonsense://x"):
        with pytest.raises(RpcDownError):
            await ask(url)


async def test_what_may_be_asked_twice_is_asked_again_and_nothing_else() -> None:
    seen: list[str] = []

    def busy_once(count: int, request: dict[str, Json]) -> bytes:
        seen.append(request["method"])
        body = json.dumps({"id": request["id"], "result": "0x1"}).encode()
        return ok(b"", "503 Busy") if count == 1 else ok(body)

    async with server(busy_once) as url:
        assert await ask(url) == "0x1"
    async with server(busy_once) as url:
        with pytest.raises(RpcDownError):
            await ask(url, "anvil_mine")
    assert seen == ["eth_chainId", "eth_chainId", "anvil_mine"]


async def test_a_request_can_be_cancelled() -> None:
    async with server(lambda _, request: None) as url:
        async with RpcClient(url, timeout_s=1000) as rpc:
            with trio.move_on_after(0.05) as scope:
                await rpc.call("eth_chainId")
            assert scope.cancelled_caught


@pytest.mark.parametrize("value", [None, 7, "7", "0x", "0xzz", "0x" + "f" * 65, [], {}, True])
async def test_a_malformed_quantity_is_refused(value: Json) -> None:
    async with server(result(value)) as url:
        async with RpcClient(url) as rpc:
            with pytest.raises(RpcMalformedError):
                await ChainClient(rpc).chain_id()


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("0x1"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["number", "hash", "topics", "data", "address", "status", "logs"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(value=JSON_VALUES)
def test_no_json_crashes_the_parsers(value: Json) -> None:
    for parse in (parse_header, parse_logs, parse_receipt):
        try:
            parse(value)
        except RpcMalformedError:
            continue


@given(data=st.binary(max_size=120))
def test_no_revert_data_crashes_the_description(data: bytes) -> None:
    for prefix in (b"", bytes.fromhex("08c379a0"), bytes.fromhex("4e487b71")):
        assert describe_revert(prefix + data).isprintable()


async def test_against_anvil_reads_batches_and_named_reverts(tmp_path: Path) -> None:
    async with tiny_chain(tmp_path) as chain:
        assert await chain.client.code(chain.contract) == tiny_contract.RUNTIME
        chain_id, block = await chain.client.rpc.batch([("eth_chainId", ()), ("eth_blockNumber", ())])
        assert (chain_id, block) == ("0x7a69", "0x1")
        assert await chain.client.receipt(bytes(32)) is None and await chain.client.header(99) is None
        async with RpcClient(chain.url, decoder=lambda data: RevertedError(f"Named({data.hex()})", data=data)) as rpc:
            with pytest.raises(RevertedError, match=r"Named\(deadbeef\)") as caught:
                await ChainClient(rpc).call(chain.contract, b"")
            assert caught.value.data == tiny_contract.REFUSAL
