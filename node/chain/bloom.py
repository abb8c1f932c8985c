# SPDX-License-Identifier: GPL-3.0-or-later
"""The bloom filter of a block's logs: says "not there" for sure, and "there" for almost.

A header commits to the filter, so logs that an RPC leaves out or makes up can be noticed.
Source: Ethereum yellow paper, section 4.3.1 (M3:2048).
"""

from __future__ import annotations

from collections.abc import Iterable

from node.chain.records import Log
from protocol.hashing import keccak256

SIZE = 256
"""Bytes of a filter."""


def bloom_of(logs: Iterable[Log]) -> bytes:
    """Return the filter of these logs."""
    bits = 0
    for log in logs:
        for item in (log.address, *log.topics):
            bits |= _bits(item)
    return bits.to_bytes(SIZE, "big")


def may_contain(bloom: bytes, item: bytes) -> bool:
    """Return whether an address or topic can be in the block; False is certain."""
    bits = _bits(item)
    return int.from_bytes(bloom, "big") & bits == bits


def _bits(item: bytes) -> int:
    digest = keccak256(item)
    bits = 0
    for start in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[start : start + 2], "big") & 2047)
    return bits
