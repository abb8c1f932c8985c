# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that no honest peer sends: each with the code that must answer it. `MARKER` must never come back."""

from __future__ import annotations

import struct
from typing import Any

import msgpack
from protocol_samples import NETWORK

from protocol.codec import encode
from protocol.messages import Acknowledgement

MARKER = "s3cret-marker"
NOT_CANONICAL, TOO_LARGE, UNKNOWN = "PM-WIRE-002", "PM-WIRE-003", "PM-WIRE-004"

ACK = Acknowledgement(network=NETWORK, request_hash=MARKER.encode().ljust(32, b"!"))
_FIELDS: dict[str, Any] = {
    "kind": "acknowledgement",
    "network": {"chain_id": NETWORK.chain_id, "escrow": NETWORK.escrow},
    "request_hash": ACK.request_hash,
    "version": 1,
}
_GOOD = encode(ACK)
_KEY = b"\xa4kind"
_KIND = b"\xafacknowledgement"
_CHAIN = b"\xcdzi"  # uint16 31337


def _with(**changes: Any) -> bytes:
    fields = {**_FIELDS, **changes}
    return bytes(msgpack.packb({key: fields[key] for key in sorted(fields)}))


def _swap(old: bytes, new: bytes) -> bytes:
    assert _GOOD.count(old) == 1
    return _GOOD.replace(old, new)


def _without(name: str) -> bytes:
    return bytes(msgpack.packb({key: value for key, value in _FIELDS.items() if key != name}))


def hostile() -> dict[str, tuple[str, bytes]]:
    """Name -> (code, bytes)."""
    marked = MARKER.encode()
    short = {
        "empty": (NOT_CANONICAL, b""),
        "nil": (NOT_CANONICAL, b"\xc0"),
        "array instead of a map": (NOT_CANONICAL, b"\x90"),
        "marker alone": (NOT_CANONICAL, b"\xad" + marked),
        "reserved byte": (NOT_CANONICAL, b"\xc1" + marked),
        "trailing byte": (NOT_CANONICAL, _GOOD + b"\0"),
        "two messages": (NOT_CANONICAL, _GOOD + _GOOD),
        "last byte missing": (NOT_CANONICAL, _GOOD[:-1]),
        "map announces one more": (NOT_CANONICAL, b"\x85" + _GOOD[1:]),
        "map16 for four entries": (NOT_CANONICAL, b"\xde\0\4" + _GOOD[1:]),
        "map32 for four entries": (NOT_CANONICAL, b"\xdf\0\0\0\4" + _GOOD[1:]),
        "duplicate key": (NOT_CANONICAL, b"\x85" + _KEY + _KIND + _GOOD[1:]),
        "unsorted keys": (
            NOT_CANONICAL,
            bytes(msgpack.packb({key: _FIELDS[key] for key in sorted(_FIELDS, reverse=True)})),
        ),
        "str8 for a short key": (NOT_CANONICAL, _swap(_KEY, b"\xd9\4kind")),
        "bytes as a key": (NOT_CANONICAL, _swap(b"\xacrequest_hash", b"\xc4\x0crequest_hash")),
        "bytes as the kind's key": (UNKNOWN, _swap(_KEY, b"\xc4\4kind")),
        "integer as a key": (NOT_CANONICAL, _swap(_KEY, b"\1")),
        "nil as a key": (NOT_CANONICAL, _swap(_KEY, b"\xc0")),
        "map as a key": (NOT_CANONICAL, _swap(_KEY, b"\x80")),
        "array as a key": (NOT_CANONICAL, _swap(_KEY, b"\x91\1")),
        "uint32 for a uint16": (NOT_CANONICAL, _swap(_CHAIN, b"\xce\0\0zi")),
        "uint64 for a uint16": (NOT_CANONICAL, _swap(_CHAIN, b"\xcf" + bytes(6) + b"zi")),
        "signed int16 for a uint16": (NOT_CANONICAL, _swap(_CHAIN, b"\xd1zi")),
        "negative chain": (NOT_CANONICAL, _swap(_CHAIN, b"\xff")),
        "chain 0": (NOT_CANONICAL, _swap(_CHAIN, b"\0")),
        "chain 2^63": (NOT_CANONICAL, _swap(_CHAIN, b"\xcf" + (2**63).to_bytes(8, "big"))),
        "chain 2^64-1": (NOT_CANONICAL, _swap(_CHAIN, b"\xcf" + b"\xff" * 8)),
        "chain as a float": (NOT_CANONICAL, _swap(_CHAIN, b"\xcb" + struct.pack(">d", 31337.0))),
        "chain as a float32": (NOT_CANONICAL, _swap(_CHAIN, b"\xca" + struct.pack(">f", 31337.0))),
        "chain not a number": (NOT_CANONICAL, _swap(_CHAIN, b"\xcb" + struct.pack(">d", float("nan")))),
        "chain infinite": (NOT_CANONICAL, _swap(_CHAIN, b"\xcb" + struct.pack(">d", float("inf")))),
        "chain true": (NOT_CANONICAL, _swap(_CHAIN, b"\xc3")),
        "chain as text": (NOT_CANONICAL, _swap(_CHAIN, b"\xa531337")),
        "chain null": (NOT_CANONICAL, _swap(_CHAIN, b"\xc0")),
        "bin16 for 32 bytes": (NOT_CANONICAL, _swap(b"\xc4\x20", b"\xc5\0\x20")),
        "text for bytes": (NOT_CANONICAL, _with(request_hash=marked.decode().ljust(32, "!"))),
        "31 bytes for a hash": (NOT_CANONICAL, _with(request_hash=marked.ljust(31, b"!"))),
        "33 bytes for a hash": (NOT_CANONICAL, _with(request_hash=marked.ljust(33, b"!"))),
        "null for a hash": (NOT_CANONICAL, _with(request_hash=None)),
        "array for a hash": (NOT_CANONICAL, _with(request_hash=[marked])),
        "extension": (NOT_CANONICAL, _with(request_hash=msgpack.ExtType(5, marked))),
        "timestamp": (NOT_CANONICAL, _with(request_hash=msgpack.Timestamp(1, 2))),
        "empty extension": (NOT_CANONICAL, _with(request_hash=msgpack.ExtType(5, b""))),
        "kind not UTF-8": (NOT_CANONICAL, _swap(_KIND, b"\xa2\xff\xfe")),
        "kind a surrogate": (NOT_CANONICAL, _swap(_KIND, b"\xa3\xed\xa0\x80")),
        "kind overlong UTF-8": (NOT_CANONICAL, _swap(_KIND, b"\xa2\xc0\x80")),
        "other kind": (UNKNOWN, _with(kind=MARKER)),
        "kind in capitals": (UNKNOWN, _with(kind="ACKNOWLEDGEMENT")),
        "kind as bytes": (UNKNOWN, _with(kind=b"acknowledgement")),
        "kind null": (UNKNOWN, _with(kind=None)),
        "kind an array": (UNKNOWN, _with(kind=["acknowledgement"])),
        "kind missing": (UNKNOWN, _without("kind")),
        "kind of another message": (NOT_CANONICAL, _with(kind="award")),
        "version 0": (UNKNOWN, _with(version=0)),
        "version 2": (UNKNOWN, _with(version=2)),
        "version true": (UNKNOWN, _with(version=True)),
        "version 1.0": (UNKNOWN, _with(version=1.0)),
        "version text": (UNKNOWN, _with(version="1")),
        "version missing": (UNKNOWN, _without("version")),
        "network missing": (NOT_CANONICAL, _without("network")),
        "network null": (NOT_CANONICAL, _with(network=None)),
        "unknown field": (NOT_CANONICAL, _with(zz=marked)),
        "marker as an unknown field": (NOT_CANONICAL, _with(**{MARKER: MARKER})),
        "unknown field inside": (
            NOT_CANONICAL,
            _with(network={"chain_id": 31337, "escrow": NETWORK.escrow, MARKER: marked}),
        ),
    }
    return short | _heavy()


def _heavy() -> dict[str, tuple[str, bytes]]:
    """Small messages that ask for much memory, and large ones."""
    huge = b"\xff" * 4
    return {
        "array of 2^32-1": (NOT_CANONICAL, b"\xdd" + huge),
        "map of 2^32-1": (NOT_CANONICAL, b"\xdf" + huge),
        "text of 2^32-1": (NOT_CANONICAL, b"\xdb" + huge),
        "bytes of 2^32-1": (NOT_CANONICAL, b"\xc6" + huge),
        "extension of 2^32-1": (NOT_CANONICAL, b"\xc9" + huge + b"\5"),
        "arrays 1000 deep": (NOT_CANONICAL, b"\x91" * 1000 + b"\xc0"),
        "maps 1000 deep": (NOT_CANONICAL, b"\x81\xa1a" * 1000 + b"\xc0"),
        "arrays 5000 deep": (NOT_CANONICAL, b"\x91" * 5000 + b"\xc0"),
        "nine containers": (NOT_CANONICAL, _with(zz=[[]] * 6)),
        "array of 65": (NOT_CANONICAL, _with(zz=[0] * 65)),
        "acknowledgement over its cap": (TOO_LARGE, _with(zz=b"m" * 1024)),
    }
