# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles by content address: who asks for a bundle id gets those bytes or nothing. The serving side.

`/proofmesh/1/bundle`: the asker sends requests, each a frame, and gets the answers in their order. It may have a few
on the way, so that the stream is never idle (bundle_pull.py).

```
request                                             answer (first byte 1), or the byte 0: not here
M bundle id                                         the manifest
L bundle id, file's SHA-256                         SHA-256 of each chunk of 1 MiB
C bundle id, file's SHA-256, index (4 bytes)        that chunk
```

The bundle id is the manifest's SHA-256. The manifest names each file's SHA-256 and the root of its chunk hashes
(protocol/chunks.py): a list is checked against the root, a chunk against the list, whoever sent either.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

import trio

from node.net import bundle_store as store
from node.net.bundle_store import MANIFEST_CAP_BYTES, BundleFile, FilesOf
from node.net.channel import Channel
from node.net.service import Transport
from protocol.chunks import CHUNK_BYTES, HASH_BYTES
from protocol.errors import Misbehaviour

PROTOCOL = "/proofmesh/1/bundle"
MAX_BUNDLE_BYTES = 4 * 2**30
REQUEST_CAP_BYTES = 1 + 2 * HASH_BYTES + 4
IDLE_SECONDS = 60.0
FRAME_SECONDS = 30.0
REMEMBERED_BUNDLES = 32
"""Bundles whose manifest stays parsed, and whose chunk hashes stay computed; the longest unasked is forgotten."""


@dataclass
class _Known:
    """A bundle that was asked for: its files by SHA-256, and their chunk hashes once asked for."""

    files: dict[bytes, BundleFile]
    hashes: dict[bytes, bytes] = field(default_factory=dict)
    hashing: trio.Lock = field(default_factory=trio.Lock)


class BundleServer:
    """Serves the bundles of one folder, `<folder>/<bundle id in hex>/`, and nothing else."""

    def __init__(self, transport: Transport, folder: Path, files_of: FilesOf) -> None:
        self._transport = transport
        self._folder = folder
        self._files_of = files_of
        self._known: OrderedDict[bytes, _Known] = OrderedDict()

    def start(self) -> None:
        """Answer from now on."""
        self._transport.add_stream_handler(PROTOCOL, self._serve, FRAME_SECONDS)

    async def _serve(self, channel: Channel) -> None:
        bucket = self._transport.standings.of(channel.peer).served_bytes
        while True:
            request = await channel.receive(REQUEST_CAP_BYTES, IDLE_SECONDS)
            answer = await self._answer(request)
            await trio.sleep(bucket.owe(trio.current_time(), len(answer or b"")))
            await channel.send(b"\0" if answer is None else b"\1" + answer)

    async def _answer(self, request: bytes) -> bytes | None:
        kind, bundle_id, rest = request[:1], request[1:33], request[33:]
        if (kind, len(bundle_id), len(rest)) not in ((b"M", 32, 0), (b"L", 32, 32), (b"C", 32, 36)):
            raise Misbehaviour("A bundle request of no known form.")
        folder = self._folder / bundle_id.hex()
        if kind == b"M":
            return await _read(folder, store.MANIFEST_NAME, 0, MANIFEST_CAP_BYTES)
        known = await self._look_up(bundle_id, folder)
        digest, index = rest[:32], int.from_bytes(rest[32:], "big")
        file = None if known is None else known.files.get(digest)
        if known is None or file is None:
            return None
        if kind == b"L":
            return await self._chunk_hashes(known, folder, file)
        if index >= file.chunks:
            return None
        return await _read(folder, file.name, index * CHUNK_BYTES, file.chunk_size(index))

    async def _look_up(self, bundle_id: bytes, folder: Path) -> _Known | None:
        if bundle_id not in self._known:
            manifest = await _read(folder, store.MANIFEST_NAME, 0, MANIFEST_CAP_BYTES)
            if manifest is None:
                return None
            files = await trio.to_thread.run_sync(store.read_files, manifest, self._files_of, MAX_BUNDLE_BYTES)
            self._known[bundle_id] = _Known({file.digest: file for file in files})
            while len(self._known) > REMEMBERED_BUNDLES:
                self._known.popitem(last=False)
        self._known.move_to_end(bundle_id)
        return self._known[bundle_id]

    @staticmethod
    async def _chunk_hashes(known: _Known, folder: Path, file: BundleFile) -> bytes | None:
        async with known.hashing:  # however many ask at once, a file is read once
            if file.digest not in known.hashes:
                hashes = await trio.to_thread.run_sync(store.chunk_hashes, folder, file)
                if hashes is None:
                    return None
                known.hashes[file.digest] = hashes
        return known.hashes[file.digest]


async def _read(folder: Path, name: str, start: int, size: int) -> bytes | None:
    return await trio.to_thread.run_sync(store.read_inside, folder, name, start, size)
