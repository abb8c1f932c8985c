# SPDX-License-Identifier: GPL-3.0-or-later
"""Typed values of Ethereum's JSON-RPC: what an RPC says becomes one of these, or one error.

Source: https://ethereum.github.io/execution-apis/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocol.errors import RpcMalformedError

Json = Any
"""A decoded JSON value, before it is parsed here."""


@dataclass(frozen=True)
class BlockHeader:
    """A block without its content; `timestamp` in seconds, `base_fee` in wei.

    `logs_bloom` is the filter of its logs (bloom.py), None from an RPC that does not say it.
    """

    number: int
    hash: bytes
    parent: bytes
    timestamp: int
    base_fee: int
    logs_bloom: bytes | None = None


@dataclass(frozen=True)
class Log:
    """An event of a contract."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes
    block_number: int
    block_hash: bytes
    transaction_hash: bytes
    index: int


@dataclass(frozen=True)
class Receipt:
    """The outcome of a mined transaction; `succeeded` is false when it reverted."""

    transaction_hash: bytes
    block_number: int
    block_hash: bytes
    succeeded: bool
    gas_used: int
    gas_price: int
    logs: tuple[Log, ...]


@dataclass(frozen=True)
class Call:
    """What to do on-chain: `to` is None to deploy `data`; `gas` None lets the RPC estimate it."""

    to: bytes | None
    data: bytes = b""
    value: int = 0
    gas: int | None = None


def parse_quantity(value: Json, what: str = "number") -> int:
    """Return a 0x quantity of at most 256 bits."""
    if isinstance(value, str) and value.startswith("0x") and 3 <= len(value) <= 66:
        try:
            return int(value[2:], 16)
        except ValueError:
            pass
    raise RpcMalformedError(f"The RPC's {what} is not a quantity.")


def parse_bytes(value: Json, what: str = "data", size: int | None = None) -> bytes:
    """Return 0x data, of exactly `size` bytes when given."""
    if isinstance(value, str) and value.startswith("0x"):
        try:
            raw = bytes.fromhex(value[2:])
        except ValueError:
            raw = None
        if raw is not None and (size is None or len(raw) == size):
            return raw
    raise RpcMalformedError(f"The RPC's {what} is not hexadecimal data of the right size.")


def parse_header(value: Json, *, pending: bool = False) -> BlockHeader:
    """Return the header of a block object; a pending block may lack its hash."""
    block = _object(value, "block")
    return BlockHeader(
        number=parse_quantity(block.get("number"), "block number"),
        hash=bytes(32) if pending else parse_bytes(block.get("hash"), "block hash", 32),
        parent=parse_bytes(block.get("parentHash"), "parent hash", 32),
        timestamp=parse_quantity(block.get("timestamp"), "timestamp"),
        base_fee=parse_quantity(block.get("baseFeePerGas") or "0x0", "base fee"),
        logs_bloom=None if block.get("logsBloom") is None else parse_bytes(block["logsBloom"], "logs filter", 256),
    )


def parse_log(value: Json) -> Log:
    """Return a mined log."""
    log = _object(value, "log")
    topics = log.get("topics")
    if not isinstance(topics, list) or len(topics) > 4:
        raise RpcMalformedError("The RPC's log has no list of topics.")
    return Log(
        address=parse_bytes(log.get("address"), "log address", 20),
        topics=tuple(parse_bytes(topic, "topic", 32) for topic in topics),
        data=parse_bytes(log.get("data"), "log data"),
        block_number=parse_quantity(log.get("blockNumber"), "log block"),
        block_hash=parse_bytes(log.get("blockHash"), "log block", 32),
        transaction_hash=parse_bytes(log.get("transactionHash"), "log transaction", 32),
        index=parse_quantity(log.get("logIndex"), "log index"),
    )


def parse_logs(value: Json) -> tuple[Log, ...]:
    """Return a list of mined logs."""
    if not isinstance(value, list):
        raise RpcMalformedError("The RPC's logs are not a list.")
    return tuple(parse_log(log) for log in value)


def parse_receipt(value: Json) -> Receipt:
    """Return a transaction receipt."""
    receipt = _object(value, "receipt")
    return Receipt(
        transaction_hash=parse_bytes(receipt.get("transactionHash"), "transaction hash", 32),
        block_number=parse_quantity(receipt.get("blockNumber"), "receipt block"),
        block_hash=parse_bytes(receipt.get("blockHash"), "receipt block", 32),
        succeeded=parse_quantity(receipt.get("status"), "receipt status") == 1,
        gas_used=parse_quantity(receipt.get("gasUsed"), "gas used"),
        gas_price=parse_quantity(receipt.get("effectiveGasPrice") or "0x0", "gas price"),
        logs=parse_logs(receipt.get("logs")),
    )


def hex_of(value: bytes | int) -> str:
    """Return bytes as 0x data, an integer as a 0x quantity."""
    return hex(value) if isinstance(value, int) else "0x" + value.hex()


def _object(value: Json, what: str) -> Mapping[str, Json]:
    if not isinstance(value, dict):
        raise RpcMalformedError(f"The RPC's {what} is not an object.")
    return value
