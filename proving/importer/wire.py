# SPDX-License-Identifier: GPL-3.0-or-later
"""A count of a protobuf message's fields before it is parsed.

A parser spends some hundred bytes on a message that takes two in the file, so a small file can ask for
gigabytes. This walk allocates nothing and stops at its limits. Wire format:
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Any

from protocol.errors import MalformedModelError, ModelTooLargeError

MAX_FIELDS = 1 << 21
MAX_DEPTH = 24
MAX_VARINT_BYTES = 10
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


def check_fields(data: bytes, descriptor: Any) -> None:
    """Walk all fields of a message of the type that a protobuf descriptor names.

    Raises:
        MalformedModelError: the bytes are not in wire format.
        ModelTooLargeError: there are more than 2^21 fields, or messages nested more than 24 deep.
    """
    pending: list[tuple[int, int, Any, int]] = [(0, len(data), descriptor, 0)]
    fields = 0
    while pending:
        position, end, message, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ModelTooLargeError(f"The model nests messages more than {MAX_DEPTH} deep.")
        while position < end:
            fields += 1
            if fields > MAX_FIELDS:
                raise ModelTooLargeError(f"The model has more than {MAX_FIELDS} fields.")
            tag, position = _varint(data, position, end)
            start, position = _skip(data, position, end, tag & 7)
            field = message.fields_by_number.get(tag >> 3)
            if field is not None and field.message_type is not None and tag & 7 == LENGTH:
                pending.append((start, position, field.message_type, depth + 1))


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = 0
    for index in range(MAX_VARINT_BYTES):
        if position + index >= end:
            break
        byte = data[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise MalformedModelError("The file is not an ONNX model: it cannot be parsed.")


def _skip(data: bytes, position: int, end: int, kind: int) -> tuple[int, int]:
    """Return where a field's content starts and where it ends."""
    if kind == VARINT:
        return position, _varint(data, position, end)[1]
    if kind == LENGTH:
        length, position = _varint(data, position, end)
    elif kind in (FIXED64, FIXED32):
        length = 8 if kind == FIXED64 else 4
    else:
        raise MalformedModelError("The file is not an ONNX model: it cannot be parsed.")
    if length > end - position:
        raise MalformedModelError("The file is not an ONNX model: it is cut off.")
    return position, position + length
