# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles on disk: `<store>/<bundle id in hex>/<manifest and files>`, read and written by safe names only.

Blocking; call from a thread.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import BundleRefusedError

MANIFEST_NAME = "manifest.json"
MANIFEST_CAP_BYTES = 2**20
CHUNK_BYTES = 2**20
MAX_FILES = 256
HASH_BYTES = 32

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)

FilesOf = Callable[[bytes], Iterable[tuple[str, str, int]]]


@dataclass(frozen=True)
class BundleFile:
    """One file as the manifest names it: `digest` is its SHA-256, `size` its bytes."""

    name: str
    digest: bytes
    size: int

    @property
    def chunks(self) -> int:
        return -(-self.size // CHUNK_BYTES)

    def chunk_size(self, index: int) -> int:
        return min(CHUNK_BYTES, self.size - index * CHUNK_BYTES)


def read_files(manifest: bytes, files_of: FilesOf, max_bytes: int) -> tuple[BundleFile, ...]:
    """Return the files that a manifest names, with names that are safe to create.

    Raises:
        BundleRefusedError: it cannot be read, names unsafe or repeated files, or is too large.
    """
    try:
        entries = tuple(files_of(manifest))
        files = tuple(BundleFile(name, bytes.fromhex(digest), size) for name, digest, size in entries)
    except Exception as error:  # whatever the manifest's parser raises: the manifest is foreign input
        raise BundleRefusedError(f"The bundle's manifest cannot be read ({type(error).__name__}).") from None
    names = {file.name.lower() for file in files} | {MANIFEST_NAME}
    if len(files) > MAX_FILES or len(names) != len(files) + 1:
        raise BundleRefusedError("The bundle's manifest names too many files, or one twice.")
    for file in files:
        if not _SAFE_NAME.fullmatch(file.name) or len(file.digest) != HASH_BYTES or file.size < 0:
            raise BundleRefusedError("The bundle's manifest names a file that is unsafe to create.")
    total = sum(file.size for file in files)
    if total > max_bytes:
        raise BundleRefusedError(f"The bundle has {total} bytes; the limit is {max_bytes}.")
    return files


def read_inside(folder: Path, name: str, start: int, size: int) -> bytes | None:
    """Return up to `size` bytes of a file of the store, or None; symbolic links are not followed."""
    if not _SAFE_NAME.fullmatch(name):
        return None
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        file.seek(start)
        return file.read(size)


def chunk_hashes(folder: Path, file: BundleFile) -> bytes | None:
    """Return the SHA-256 of each chunk of a file, one after another, or None if it is not there."""
    hashes = []
    for index in range(file.chunks):
        data = read_inside(folder, file.name, index * CHUNK_BYTES, file.chunk_size(index))
        if data is None or len(data) != file.chunk_size(index):
            return None
        hashes.append(hashlib.sha256(data).digest())
    return b"".join(hashes)


def keep_verified(part: Path, file: BundleFile, hashes: bytes) -> int:
    """Cut `part` behind its last leading chunk that agrees with `hashes`; return how many it keeps."""
    kept = 0
    with part.open("a+b") as stream:
        stream.seek(0)
        while kept < file.chunks:
            data = stream.read(file.chunk_size(kept))
            if len(data) < file.chunk_size(kept) or not chunk_matches(data, hashes, kept):
                break
            kept += 1
        stream.truncate(min(kept * CHUNK_BYTES, file.size))
    return kept


def chunk_matches(data: bytes, hashes: bytes, index: int) -> bool:
    return hashlib.sha256(data).digest() == hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]


def append(part: Path, data: bytes) -> None:
    with part.open("ab") as stream:
        stream.write(data)


def is_whole(path: Path, file: BundleFile) -> bool:
    """Say whether `path` holds exactly the file that the manifest names."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest() == file.digest


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
