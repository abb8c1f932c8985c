# SPDX-License-Identifier: GPL-3.0-or-later
"""How a file is cut for transfer: chunks of 1 MiB, each with its SHA-256, and one root over all of them.

A manifest names each file's root. So a list of chunk hashes is checked before it is believed, and after that every
chunk by itself, whoever sent it.
"""

from __future__ import annotations

import hashlib

CHUNK_BYTES = 1 << 20
HASH_BYTES = 32


def chunk_count(size: int) -> int:
    """Return how many chunks a file of `size` bytes has; an empty one has none."""
    return -(-size // CHUNK_BYTES)


def root_of(hashes: bytes) -> bytes:
    """Return the root of a file: SHA-256 over the SHA-256 of its chunks, one after another."""
    return hashlib.sha256(hashes).digest()
