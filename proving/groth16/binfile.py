# SPDX-License-Identifier: GPL-3.0-or-later
"""The container of iden3's binary files (.zkey, .ptau): magic, version, then sections with a number and a length.

Format: https://github.com/iden3/binfileutils. Files come from strangers, so the reader takes every byte into
account: sections that are named twice, unknown, missing, or run past the end of the file are refused.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from protocol.errors import KeyMaterialError

Bytes = NDArray[np.uint8]
MAX_SECTIONS = 32
_FILE_HEAD, _SECTION_HEAD = struct.Struct("<4sII"), struct.Struct("<IQ")


def read_file(path: Path, limit: int) -> memoryview:
    """Return a file's bytes, mapped into memory rather than read.

    Raises:
        KeyMaterialError: it is missing, empty, or longer than `limit` bytes.
    """
    try:
        if not 0 < (size := path.stat().st_size) <= limit:
            raise KeyMaterialError(f"A key file has {size} bytes; 1 to {limit} are taken.")
        mapped: NDArray[np.uint8] = np.memmap(path, dtype=np.uint8, mode="r")
        return mapped.data
    except (OSError, ValueError) as error:
        raise KeyMaterialError(f"A key file cannot be read ({type(error).__name__}).") from None


def read_sections(
    data: memoryview, magic: bytes, versions: Iterable[int], required: Iterable[int], optional: Iterable[int] = ()
) -> dict[int, memoryview]:
    """Return number -> body of all sections, without copying.

    Raises:
        KeyMaterialError: another magic or version, or sections other than exactly the required and optional ones.
    """
    if len(data) < _FILE_HEAD.size:
        raise KeyMaterialError("A key file is shorter than its header.")
    found, version, count = _FILE_HEAD.unpack_from(data)
    if found != magic or version not in versions or count > MAX_SECTIONS:
        raise KeyMaterialError(f"This is no {magic.decode()} file of a known version.")
    sections: dict[int, memoryview] = {}
    at = _FILE_HEAD.size
    for _ in range(count):
        if at + _SECTION_HEAD.size > len(data):
            raise KeyMaterialError("A key file ends inside a section's header.")
        kind, size = _SECTION_HEAD.unpack_from(data, at)
        at += _SECTION_HEAD.size
        if kind in sections or size > len(data) - at:
            raise KeyMaterialError(f"Section {kind} of a key file is there twice or cut off.")
        sections[kind] = data[at : at + size]
        at += size
    required = set(required)
    if at != len(data) or not required <= set(sections) <= required | set(optional):
        raise KeyMaterialError("A key file misses a section or has something besides its sections.")
    return sections


def file_bytes(magic: bytes, version: int, sections: Mapping[int, bytes | Bytes]) -> bytes:
    """Return a file of the given sections, in the order given."""
    parts: list[bytes] = [_FILE_HEAD.pack(magic, version, len(sections))]
    for kind, body in sections.items():
        raw = body if isinstance(body, bytes) else body.tobytes()
        parts += [_SECTION_HEAD.pack(kind, len(raw)), raw]
    return b"".join(parts)
