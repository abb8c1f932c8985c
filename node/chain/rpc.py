# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON-RPC over HTTP under trio: bounded answers, deadlines, retries, typed errors.

Retried are requests that never arrived, and those that may arrive twice without harm (all of `eth_`
but `eth_sendTransaction`; a raw transaction is the same transaction however often it is sent).
The RPC's address may hold an access key and is in no error.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from types import TracebackType

import httpx
import trio

from node.chain.records import Json, parse_bytes
from protocol import bounded_json
from protocol.errors import (
    ChainError,
    RevertedError,
    RpcDownError,
    RpcMalformedError,
    RpcRefusedError,
    RpcTimeoutError,
)

MAX_ANSWER_BYTES = 64 << 20
_BUSY = frozenset({429, 502, 503, 504})
_ERROR_STRING = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")

RevertDecoder = Callable[[bytes], RevertedError | None]
"""Returns the error that a contract's own revert data stand for, or None when it knows none."""


class RpcClient:
    """A connection to one RPC; use as an async context manager."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 10.0,
        attempts: int = 3,
        backoff_s: float = 0.1,
        decoder: RevertDecoder | None = None,
    ) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._backoff_s = backoff_s
        self._decoder = decoder
        # trust_env off: a proxy of the environment must not see what goes to a local chain.
        self._http = httpx.AsyncClient(timeout=None, trust_env=False)
        self._next_id = 0

    async def __aenter__(self) -> RpcClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 1.0):
            await self._http.aclose()

    async def call(self, method: str, *params: Json) -> Json:
        """Return the result of one method.

        Raises:
            RpcDownError, RpcTimeoutError, RpcMalformedError: no usable answer.
            RevertedError: a contract refused; `data` is the revert data.
            RpcRefusedError: any other error of the RPC.
        """
        return (await self.batch([(method, params)]))[0]

    async def batch(self, requests: Sequence[tuple[str, Sequence[Json]]]) -> list[Json]:
        """Return the results of several methods, in order, in one round trip; errors as in `call`."""
        if not requests:
            return []
        first = self._next_id
        self._next_id += len(requests)
        bodies = [
            {"jsonrpc": "2.0", "id": first + i, "method": method, "params": list(params)}
            for i, (method, params) in enumerate(requests)
        ]
        body = json.dumps(bodies if len(bodies) > 1 else bodies[0]).encode()
        answer = await self._post(body, repeatable=all(_repeatable(method) for method, _ in requests))
        answers = answer if isinstance(answer, list) else [answer]
        by_id = {entry.get("id"): entry for entry in answers if isinstance(entry, dict)}
        if len(bodies) > 1 and not isinstance(answer, list) and "error" in next(iter(by_id.values()), {}):
            raise self._error(next(iter(by_id.values()))["error"])
        return [self._result(by_id.get(first + i)) for i in range(len(bodies))]

    async def _post(self, body: bytes, *, repeatable: bool) -> Json:
        for attempt in range(self._attempts):
            last = attempt == self._attempts - 1
            try:
                return await self._post_once(body)
            except RpcTimeoutError:
                if last or not repeatable:
                    raise
            except _Unreached as error:
                if last or not (repeatable or error.never_sent):
                    raise RpcDownError(f"The RPC cannot be reached ({error.reason}).") from None
            await trio.sleep(self._backoff_s * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    async def _post_once(self, body: bytes) -> Json:
        raw = bytearray()
        with trio.move_on_after(self._timeout_s) as scope:
            try:
                headers = {"content-type": "application/json"}
                async with self._http.stream("POST", self._url, content=body, headers=headers) as response:
                    if response.status_code in _BUSY:
                        raise _Unreached(f"HTTP status {response.status_code}", never_sent=False)
                    async for chunk in response.aiter_bytes():
                        raw += chunk
                        if len(raw) > MAX_ANSWER_BYTES:
                            raise RpcMalformedError(f"The RPC's answer is over {MAX_ANSWER_BYTES} bytes.")
            except (httpx.ConnectError, httpx.UnsupportedProtocol) as error:
                raise _Unreached(type(error).__name__, never_sent=True) from None
            except (httpx.TransportError, httpx.InvalidURL) as error:
                raise _Unreached(type(error).__name__, never_sent=False) from None
            except httpx.HTTPError as error:
                raise RpcMalformedError(f"The RPC does not speak HTTP ({type(error).__name__}).") from None
        if scope.cancelled_caught:
            raise RpcTimeoutError(f"The RPC did not answer within {self._timeout_s:g} s.")
        try:
            return bounded_json.loads(raw)
        except (ValueError, RecursionError):
            raise RpcMalformedError("The RPC's answer is not JSON.") from None

    def _result(self, entry: Json) -> Json:
        if not isinstance(entry, dict):
            raise RpcMalformedError("The RPC's answer does not belong to the request.")
        if entry.get("error") is not None:
            raise self._error(entry["error"])
        if "result" not in entry:
            raise RpcMalformedError("The RPC's answer has neither result nor error.")
        return entry["result"]

    def _error(self, error: Json) -> ChainError:
        if not isinstance(error, dict):
            return RpcMalformedError("The RPC's error is not an object.")
        text = _printable(error.get("message"))
        if error.get("code") == 3 or "revert" in text.lower():
            data = _revert_data(error.get("data"))
            known = self._decoder(data) if self._decoder is not None and len(data) >= 4 else None
            return known or RevertedError(f"The contract refused: {describe_revert(data) or text}.", data=data)
        return RpcRefusedError(f"The RPC refused: {text}.")


def describe_revert(data: bytes) -> str:
    """Return revert data in words: Error(string), Panic(code), a selector; or ''."""
    if data[:4] == _ERROR_STRING and len(data) >= 68:
        size = int.from_bytes(data[36:68], "big")
        return _printable(data[68 : 68 + min(size, 200)].decode("utf-8", "replace"))
    if data[:4] == _PANIC and len(data) == 36:
        return f"panic 0x{int.from_bytes(data[4:], 'big'):02x}"
    return f"error 0x{data[:4].hex()}" if len(data) >= 4 else ""


class _Unreached(Exception):
    def __init__(self, reason: str, *, never_sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.never_sent = never_sent


def _repeatable(method: str) -> bool:
    return method.startswith(("eth_", "net_", "web3_")) and method != "eth_sendTransaction"


def _revert_data(value: Json) -> bytes:
    """Return revert data where geth, anvil and others put it."""
    if isinstance(value, dict):
        value = value.get("data", value.get("result"))
    try:
        return parse_bytes(value)
    except RpcMalformedError:
        return b""


def _printable(value: Json) -> str:
    """Return foreign text without control characters, at most 200 characters."""
    text = value if isinstance(value, str) else "no message"
    return "".join(c if c.isprintable() else " " for c in text[:200]).strip().rstrip(".")
