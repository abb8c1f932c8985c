# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles on disk: `<store>/<bundle id in hex>/<manifest and files>`, read and written by safe names only.

A file that is not whole yet is a `.part` of its full length with holes; which of its chunks are there is found by
their hashes, so that nothing has to be remembered and no torn write is believed. Blocking; call from a thread.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from protocol.chunks import CHUNK_BYTES, HASH_BYTES, chunk_count
from protocol.errors import BundleRefusedError

MANIFEST_NAME = "manifest.json"
MANIFEST_CAP_BYTES = 2**20
MAX_FILES = 256
PART = ".part"

_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)

FilesOf = Callable[[bytes], Iterable[tuple[str, str, str, int]]]
"""Reads (name, SHA-256 in hex, root of the chunks in hex, size) of each file out of a manifest's bytes."""


@dataclass(frozen=True)
class BundleFile:
    """One file as the manifest names it: `digest` is its SHA-256, `root` that of its chunks, `size` its bytes."""

    name: str
    digest: bytes
    root: bytes
    size: int

    @property
    def chunks(self) -> int:
        return chunk_count(self.size)

    def chunk_size(self, index: int) -> int:
        return min(CHUNK_BYTES, self.size - index * CHUNK_BYTES)


def read_files(manifest: bytes, files_of: FilesOf, max_bytes: int) -> tuple[BundleFile, ...]:
    """Return the files that a manifest names, with names that are safe to create.

    Raises:
        BundleRefusedError: it cannot be read, names unsafe or repeated files, or is too large.
    """
    try:
        entries = tuple(files_of(manifest))
        files = tuple(
            BundleFile(name, bytes.fromhex(digest), bytes.fromhex(root), size) for name, digest, root, size in entries
        )
    except Exception as error:  # whatever the manifest's parser raises: the manifest is foreign input
        raise BundleRefusedError(f"The bundle's manifest cannot be read ({type(error).__name__}).") from None
    names = {file.name.lower() for file in files} | {MANIFEST_NAME}
    if len(files) > MAX_FILES or len(names) != len(files) + 1:
        raise BundleRefusedError("The bundle's manifest names too many files, or one twice.")
    for file in files:
        hashes = {len(file.digest), len(file.root)}
        if not _SAFE_NAME.fullmatch(file.name) or hashes != {HASH_BYTES} or file.size < 0:
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
    try:
        return os.pread(descriptor, size, start)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def chunk_hashes(folder: Path, file: BundleFile) -> bytes | None:
    """Return the SHA-256 of each chunk of a file, one after another, or None if it is not there."""
    hashes = []
    for index in range(file.chunks):
        data = read_inside(folder, file.name, index * CHUNK_BYTES, file.chunk_size(index))
        if data is None or len(data) != file.chunk_size(index):
            return None
        hashes.append(hashlib.sha256(data).digest())
    return b"".join(hashes)


def missing_chunks(part: Path, file: BundleFile, hashes: bytes) -> list[int]:
    """Give `part` the file's full length and return which chunks are not in it yet, by their hashes."""
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, file.size)
        missing, data_from = [], 0
        for index in range(file.chunks):
            start, size = index * CHUNK_BYTES, file.chunk_size(index)
            if data_from < start + size:
                data_from = max(data_from, _next_data(descriptor, start))
            hole = data_from >= start + size
            if hole or not chunk_matches(os.pread(descriptor, size, start), hashes, index):
                missing.append(index)
        return missing
    finally:
        os.close(descriptor)


def _next_data(descriptor: int, start: int) -> int:
    """Return where the next bytes that are no hole may begin; the end of time when none follow."""
    try:
        return os.lseek(descriptor, start, os.SEEK_DATA)
    except OSError:
        return 1 << 62


def chunk_matches(data: bytes, hashes: bytes, index: int) -> bool:
    return hashlib.sha256(data).digest() == hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES]


def keep_chunk(part: Path, file: BundleFile, index: int, data: bytes, hashes: bytes) -> bool:
    """Write a chunk to its place if it is the right one; say whether it is."""
    if len(data) != file.chunk_size(index) or not chunk_matches(data, hashes, index):
        return False
    descriptor = os.open(part, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        view, at = memoryview(data), index * CHUNK_BYTES
        while view:
            written = os.pwrite(descriptor, view, at)
            view, at = view[written:], at + written
    finally:
        os.close(descriptor)
    return True


def is_whole(path: Path, file: BundleFile) -> bool:
    """Say whether `path` holds exactly the file that the manifest names."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest() == file.digest


def finish(part: Path, file: BundleFile) -> bool:
    """Give a complete file its own name, on disk; False, and it is gone, if its SHA-256 is another."""
    if not is_whole(part, file):
        part.unlink(missing_ok=True)
        return False
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    part.replace(part.with_name(file.name))
    return True


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    temporary = path.with_name(path.name + PART)
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
