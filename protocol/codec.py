# SPDX-License-Identifier: GPL-3.0-or-later
"""Canonical msgpack: one message has one encoding, everything else is refused.

Maps have sorted string keys, integers and strings their shortest form, no floats, extensions or
duplicates; null is written, never left out. Decoding validates and then encodes again: what does not
give the same bytes was not canonical. That one comparison stops every laxness of a msgpack reader.
"""

from __future__ import annotations

from typing import Any

import msgpack
from pydantic import ValidationError

from protocol.errors import FrameTooLargeError, NotCanonicalError, UnknownMessageError
from protocol.messages import MESSAGE_KINDS, SIZE_CAPS, Message
from protocol.scalars import Record

LARGEST_MESSAGE = max(SIZE_CAPS.values())
MOST_CONTAINERS = 8
"""Maps and arrays in one message; proof and hello have the most, five."""
LONGEST_CONTAINER = 64
"""Entries of one map or array: the outputs of a proof, the peers of a hello."""


def encode(message: Message) -> bytes:
    """Return the canonical bytes of a message.

    Raises:
        FrameTooLargeError: the message is larger than its kind may be.
    """
    data = pack(plain(message))
    if len(data) > SIZE_CAPS[message.kind]:
        raise FrameTooLargeError(f"A message of kind {message.kind} has {len(data)} bytes.")
    return data


def decode(data: bytes) -> Message:
    """Return the message that these bytes encode.

    Raises:
        FrameTooLargeError: more bytes than any message, or than this kind, may have.
        UnknownMessageError: a kind or version that this node does not speak.
        NotCanonicalError: anything else that `encode` would not have written.
    """
    if len(data) > LARGEST_MESSAGE:
        raise FrameTooLargeError(f"A message has {len(data)} bytes; the most is {LARGEST_MESSAGE}.")
    fields = unpack(data, containers=MOST_CONTAINERS, entries=LONGEST_CONTAINER)
    if not isinstance(fields, dict):
        raise NotCanonicalError("A message is not a map.")
    kind, version = fields.get("kind"), fields.get("version")
    model = MESSAGE_KINDS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise UnknownMessageError("The kind of a message is unknown.")
    if type(version) is not int or version != 1:
        raise UnknownMessageError(f"A message of kind {kind} has a version other than 1.")
    if len(data) > SIZE_CAPS[str(kind)]:
        raise FrameTooLargeError(f"A message of kind {kind} has {len(data)} bytes.")
    try:
        message = model.model_validate(fields)
    except (ValidationError, RecursionError):
        # No cause: pydantic names unknown fields, and a sender could write anything there.
        raise NotCanonicalError(f"A message of kind {kind} has fields that are not valid.") from None
    if pack(plain(message)) != data:
        raise NotCanonicalError(f"A message of kind {kind} is not in its canonical form.")
    return message


def plain(value: Any) -> Any:
    """Return a record as maps with sorted keys, lists and scalars, ready for `pack`."""
    dumped = value.model_dump() if isinstance(value, Record) else value
    return _sorted(dumped)


def pack(value: Any) -> bytes:
    """Return msgpack in its shortest form; `value` has sorted maps already."""
    return bytes(msgpack.packb(value, use_bin_type=True))


def unpack(data: bytes, *, containers: int | None = None, entries: int | None = None) -> Any:
    """Return what msgpack bytes hold, as tuples, maps with string keys and scalars.

    Foreign bytes need both bounds: 8 MiB of empty maps would else become 700 MB and seconds of work.

    Args:
        containers: the most maps and arrays in all; None for bytes that this node wrote.
        entries: the most entries of one map or array; None for no bound but the bytes.

    Raises:
        NotCanonicalError: not one complete msgpack value within the bounds.
    """
    left = len(data) if containers is None else containers
    longest = len(data) if entries is None else entries

    def counted(container: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError("too many containers")
        return container

    try:
        return msgpack.unpackb(
            data,
            use_list=False,
            raw=False,
            strict_map_key=True,
            max_array_len=longest,
            max_map_len=longest,
            max_ext_len=0,
            list_hook=counted,
            object_hook=counted,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        # No cause: msgpack's errors carry the bytes, or what was read of them.
        raise NotCanonicalError("A message is not valid msgpack.") from None


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, (list, tuple)):
        return [_sorted(item) for item in value]
    return value
