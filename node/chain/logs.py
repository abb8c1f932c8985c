# SPDX-License-Identifier: GPL-3.0-or-later
"""Logs that nobody left out: an RPC's answer is held against the bloom filter of the block's header.

A block that should have logs of ours and shows none, or shows some that its filter excludes, is looked at
again: all receipts of the block are whole when their filter is the header's. Where no endpoint gives
receipts, two endpoints must say the same; a single one is believed, but for what the filter excludes.

Ranges of blocks are asked for in bounded chunks that are halved when the RPC refuses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from node.chain.bloom import bloom_of, may_contain
from node.chain.endpoints import Endpoints
from node.chain.records import BlockHeader, Json, Log, hex_of, parse_logs
from node.chain.rpc import RpcClient
from protocol.errors import ChainError, RpcMalformedError, RpcRefusedError, RpcTimeoutError

CHUNK = 10_000
"""Blocks of a range that are asked for at once."""

log = structlog.get_logger("proofmesh.chain")


async def block_logs(
    endpoints: Endpoints,
    headers: Sequence[BlockHeader],
    addresses: Sequence[bytes],
    topics: Sequence[bytes] = (),
) -> list[tuple[Log, ...]]:
    """Return the logs of some contracts in each block; `topics` are the first topics of their events, () any.

    Raises:
        RpcMalformedError: no endpoint gives logs that fit the block.
    """
    queries = [_by_hash(header, addresses) for header in headers]
    found = [parse_logs(answer) for answer in await endpoints.batch(queries)]
    for place, header in enumerate(headers):
        if not _fits(header, found[place], addresses, topics):
            found[place] = await _second_opinion(endpoints, header, found[place], addresses)
    return found


async def past_logs(endpoints: Endpoints, where: Mapping[str, Json], first: int, last: int) -> list[Log]:
    """Return the logs of a filter from block `first` to `last`, in chunks that the RPC accepts.

    Raises:
        RpcRefusedError, RpcTimeoutError, RpcMalformedError: it accepts not even a single block.
    """
    found: list[Log] = []
    size = CHUNK
    while first <= last:
        until = min(last, first + size - 1)
        query = {**where, "fromBlock": hex_of(first), "toBlock": hex_of(until)}
        try:
            found += parse_logs(await endpoints.call("eth_getLogs", query))
        except (RpcRefusedError, RpcTimeoutError, RpcMalformedError):
            if until == first:
                raise
            size = (until - first + 1) // 2
            continue
        first, size = until + 1, min(CHUNK, 2 * size)
    return found


def _fits(header: BlockHeader, logs: Sequence[Log], addresses: Sequence[bytes], topics: Sequence[bytes]) -> bool:
    """Whether the filter allows these logs and asks for no others."""
    if not _allowed(header, logs, addresses):
        return False
    if header.logs_bloom is None:
        return True
    shown = {log.topics[0] for log in logs if log.topics}
    bloom = header.logs_bloom
    if not any(may_contain(bloom, address) for address in addresses):
        return True
    if not topics:
        return bool(logs)
    return all(topic in shown for topic in topics if may_contain(bloom, topic))


def _allowed(header: BlockHeader, logs: Sequence[Log], addresses: Sequence[bytes]) -> bool:
    if any(log.block_hash != header.hash or log.address not in addresses for log in logs):
        return False
    bloom = header.logs_bloom
    return bloom is None or all(may_contain(bloom, item) for log in logs for item in (log.address, *log.topics))


async def _second_opinion(
    endpoints: Endpoints, header: BlockHeader, first: tuple[Log, ...], addresses: Sequence[bytes]
) -> tuple[Log, ...]:
    answers = [first]
    for endpoint in endpoints.usable():
        if (whole := await _from_receipts(endpoint.rpc, header, addresses)) is not None:
            if whole != first:
                log.error("an RPC left out or made up logs of a block", block=header.number, logs=len(whole))
            return whole
    for endpoint in endpoints.usable()[1:]:
        try:
            answers.append(parse_logs((await endpoint.rpc.batch([_by_hash(header, addresses)]))[0]))
        except ChainError:
            continue
    answers = [answer for answer in answers if _allowed(header, answer, addresses)]
    for answer in answers:
        if answers.count(answer) > len(answers) // 2:
            return answer
    raise RpcMalformedError(f"No RPC gives logs of block {header.number} that fit its header.")


async def _from_receipts(rpc: RpcClient, header: BlockHeader, addresses: Sequence[bytes]) -> tuple[Log, ...] | None:
    """The block's logs by its receipts, if the endpoint has them and they are all of them."""
    try:
        receipts = await rpc.call("eth_getBlockReceipts", hex_of(header.hash))
        if not isinstance(receipts, list):
            return None
        logs = [entry for receipt in receipts for entry in parse_logs(dict(receipt).get("logs"))]
    except (ChainError, TypeError, ValueError):
        return None
    whole = bloom_of(logs) == header.logs_bloom and all(entry.block_hash == header.hash for entry in logs)
    return tuple(entry for entry in logs if entry.address in addresses) if whole else None


def _by_hash(header: BlockHeader, addresses: Sequence[bytes]) -> tuple[str, tuple[dict[str, Json]]]:
    where: dict[str, Json] = {
        "blockHash": hex_of(header.hash),
        "address": [hex_of(address) for address in addresses],
    }
    return "eth_getLogs", (where,)
