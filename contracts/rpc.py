# SPDX-License-Identifier: GPL-3.0-or-later
"""A small synchronous JSON-RPC client, for deployment and tests; the node has its own, under trio."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx
from eth_account import Account as EthAccount

from contracts.reverts import contract_error
from protocol import bounded_json
from protocol.errors import DeploymentError, RpcDownError, RpcMalformedError, RpcRefusedError, RpcTimeoutError
from protocol.signing import Account

_REQUEST_SECONDS = 30.0
_RECEIPT_SECONDS = 180.0
_POLL_SECONDS = 0.02


class Rpc:
    """One connection to an Ethereum JSON-RPC endpoint."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=_REQUEST_SECONDS, trust_env=False)
        self._next_id = 0

    def __enter__(self) -> Rpc:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def call(self, method: str, *parameters: object) -> Any:
        """Return the result of one request.

        Raises:
            ContractRefusal: a contract reverted; the subclass says why.
            RpcDownError, RpcTimeoutError, RpcMalformedError, RpcRefusedError: no result.
        """
        self._next_id += 1
        request = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": parameters}
        try:
            answer = bounded_json.loads(self._http.post("", json=request).content)
        except httpx.TimeoutException as error:
            raise RpcTimeoutError(f"{method} was not answered in {_REQUEST_SECONDS:.0f} s.") from error
        except httpx.HTTPError as error:
            raise RpcDownError(f"Nobody answers at the RPC's address ({type(error).__name__}).") from error
        except ValueError as error:
            raise RpcMalformedError(f"The answer to {method} is not JSON, or nests without end.") from error
        if not isinstance(answer, Mapping) or ("result" not in answer and "error" not in answer):
            raise RpcMalformedError(f"The answer to {method} is not JSON-RPC.")
        if "error" in answer:
            raise _refusal(answer["error"])
        return answer["result"]

    def quantity(self, method: str, *parameters: object) -> int:
        """Return a result that is a number."""
        result = self.call(method, *parameters)
        try:
            return int(result, 16)
        except (TypeError, ValueError) as error:
            raise RpcMalformedError(f"The answer to {method} is not a number.") from error

    def data(self, method: str, *parameters: object) -> bytes:
        """Return a result that is binary."""
        result = self.call(method, *parameters)
        try:
            return bytes.fromhex(result.removeprefix("0x"))
        except (AttributeError, ValueError) as error:
            raise RpcMalformedError(f"The answer to {method} is not hexadecimal.") from error

    def eth_call(self, to: bytes, data: bytes, sender: bytes | None = None) -> bytes:
        """Return what a call of a contract answers at the latest block."""
        request = {"to": _hex(to), "data": _hex(data)}
        if sender is not None:
            request["from"] = _hex(sender)
        return self.data("eth_call", request, "latest")

    def transact(self, account: Account, to: bytes | None, data: bytes, value: int = 0) -> dict[str, Any]:
        """Sign and send a transaction, wait until it is mined, and return its receipt.

        Raises:
            ContractRefusal: a contract reverts; nothing was sent.
        """
        sender = _hex(account.address)
        request: dict[str, object] = {"from": sender, "data": _hex(data), "value": hex(value)}
        if to is not None:
            request["to"] = _hex(to)
        gas = self.quantity("eth_estimateGas", request)
        base_fee = int(self.call("eth_getBlockByNumber", "latest", False).get("baseFeePerGas", "0x0"), 16)
        tip = self.quantity("eth_maxPriorityFeePerGas")
        signed = EthAccount.sign_transaction(
            {
                "type": 2,
                "chainId": self.quantity("eth_chainId"),
                "nonce": self.quantity("eth_getTransactionCount", sender, "pending"),
                "to": to if to is not None else b"",
                "data": data,
                "value": value,
                # Storage may have changed when it is mined: an estimate is of one state only.
                "gas": gas + gas // 4,
                "maxFeePerGas": 2 * base_fee + tip,
                "maxPriorityFeePerGas": tip,
            },
            account.secret(),
        )
        return self.receipt(self.call("eth_sendRawTransaction", _hex(bytes(signed.raw_transaction))))

    def receipt(self, transaction_hash: str) -> dict[str, Any]:
        """Wait for the receipt of a transaction.

        Raises:
            DeploymentError: it was mined and failed, or was not mined in time.
        """
        give_up = time.monotonic() + _RECEIPT_SECONDS
        while time.monotonic() < give_up:
            receipt = self.call("eth_getTransactionReceipt", transaction_hash)
            if receipt is not None:
                if receipt["status"] != "0x1":
                    raise DeploymentError(f"Transaction {transaction_hash} was mined and failed.")
                return dict(receipt)
            time.sleep(_POLL_SECONDS)
        raise DeploymentError(f"Transaction {transaction_hash} was not mined in {_RECEIPT_SECONDS:.0f} s.")


def _refusal(error: Any) -> Exception:
    data = error.get("data") if isinstance(error, Mapping) else None
    if isinstance(data, str) and data.startswith("0x") and len(data) >= 10:
        return contract_error(bytes.fromhex(data[2:]))
    return RpcRefusedError(f"The RPC says: {error.get('message') if isinstance(error, Mapping) else error}.")


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
