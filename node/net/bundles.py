# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles by content address: who asks for a bundle id gets those bytes or nothing.

`/proofmesh/1/bundle`: the client asks frame by frame, which is also the flow control (a reader that
stalls for 5 s would lose the stream).

```
request                                             answer (first byte 1), or the byte 0: not here
M bundle id                                         the manifest
L bundle id, file's SHA-256                         SHA-256 of each chunk of 1 MiB
C bundle id, file's SHA-256, index (4 bytes)        that chunk
```

The bundle id is the manifest's SHA-256, and the manifest names each file's. Chunk hashes are only the
source's word, good for refusing a bad chunk early and for resuming; the file's hash decides. All chunks
kept agree with the list of the source that finished the file, so if the file's hash is wrong that
source has lied: its data is thrown away and its score falls.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import structlog
import trio

from node.net import bundle_store as store
from node.net.bundle_store import CHUNK_BYTES, HASH_BYTES, MANIFEST_CAP_BYTES, BundleFile, FilesOf
from node.net.channel import Channel
from node.net.service import Transport
from protocol.errors import (
    BundleRefusedError,
    BundleUnavailableError,
    Misbehaviour,
    NetworkError,
    PeerRefusedError,
)

log = structlog.get_logger("proofmesh.net")

PROTOCOL = "/proofmesh/1/bundle"
MAX_BUNDLE_BYTES = 4 * 2**30
REQUEST_CAP_BYTES = 1 + 2 * HASH_BYTES + 4
IDLE_SECONDS = 60.0
FRAME_SECONDS = 30.0
LIE_WEIGHT = 50.0
ATTEMPTS_PER_SOURCE = 2

Progress = Callable[[str, int, int], None]


class _NotHere(PeerRefusedError):
    """The source does not have what was asked for."""


class BundleServer:
    """Serves the bundles of one folder, `<folder>/<bundle id in hex>/`, and nothing else."""

    def __init__(self, transport: Transport, folder: Path, files_of: FilesOf) -> None:
        self._transport = transport
        self._folder = folder
        self._files_of = files_of
        self._hashes: dict[tuple[bytes, bytes], bytes] = {}

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
        manifest = await trio.to_thread.run_sync(
            store.read_inside, folder, store.MANIFEST_NAME, 0, MANIFEST_CAP_BYTES
        )
        if manifest is None or kind == b"M":
            return manifest
        digest, index = rest[:32], int.from_bytes(rest[32:], "big")
        files = store.read_files(manifest, self._files_of, MAX_BUNDLE_BYTES)
        file = next((file for file in files if file.digest == digest), None)
        if file is None:
            return None
        if kind == b"L":
            return await self._chunk_hashes(bundle_id, folder, file)
        if index >= file.chunks:
            return None
        start, size = index * CHUNK_BYTES, file.chunk_size(index)
        return await trio.to_thread.run_sync(store.read_inside, folder, file.name, start, size)

    async def _chunk_hashes(self, bundle_id: bytes, folder: Path, file: BundleFile) -> bytes | None:
        key = (bundle_id, file.digest)
        if key not in self._hashes:
            hashes = await trio.to_thread.run_sync(store.chunk_hashes, folder, file)
            if hashes is None:
                return None
            self._hashes[key] = hashes
        return self._hashes[key]


async def pull(
    transport: Transport,
    bundle_id: bytes,
    sources: Sequence[str],
    destination: Path,
    files_of: FilesOf,
    *,
    progress: Progress | None = None,
    max_bytes: int = MAX_BUNDLE_BYTES,
) -> Path:
    """Fetch a bundle into `destination/<bundle id in hex>` and return that folder.

    Each file is under its own name only when its hash is right; what was fetched before an interruption
    is used again. `progress(file name, bytes so far, bytes in all)` is called after each chunk.

    Args:
        sources: full addresses (or known ids) of peers, tried in turn.
        files_of: reads (name, SHA-256 in hex, size) of each file out of the manifest's bytes.

    Raises:
        BundleUnavailableError: no source could give all of it.
        BundleRefusedError: the manifest is right and names unsafe files, or more than `max_bytes`.
    """
    folder = destination / bundle_id.hex()
    folder.mkdir(parents=True, exist_ok=True)
    puller = _Puller(transport, bundle_id, folder, files_of, progress, max_bytes)
    honest = list(dict.fromkeys(sources))
    reasons: list[str] = []
    for _ in range(ATTEMPTS_PER_SOURCE):
        for source in tuple(honest):
            try:
                await puller.pull_from(source)
                return folder
            except Misbehaviour as lie:
                honest.remove(source)
                reasons.append(lie.message)
                log.warning("bundle source lied", bundle=bundle_id.hex(), reason=lie.message)
            except NetworkError as error:
                if isinstance(error, BundleRefusedError):
                    raise
                reasons.append(error.message)
                log.info("bundle source failed", bundle=bundle_id.hex(), code=error.code)
    tail = " ".join(dict.fromkeys(reasons)) or "No source was named."
    raise BundleUnavailableError(f"Bundle {bundle_id.hex()} could not be fetched. {tail}")


class _Puller:
    """One pull: what is missing in `folder`, asked of one source after another."""

    def __init__(
        self,
        transport: Transport,
        bundle_id: bytes,
        folder: Path,
        files_of: FilesOf,
        progress: Progress | None,
        max_bytes: int,
    ) -> None:
        self._transport = transport
        self._bundle_id = bundle_id
        self._folder = folder
        self._files_of = files_of
        self._progress = progress
        self._max_bytes = max_bytes

    async def pull_from(self, source: str) -> None:
        """Complete the folder from one source; a lie costs it score and is raised as Misbehaviour."""
        async with self._transport.open_channel(source, PROTOCOL, FRAME_SECONDS) as channel:
            try:
                manifest = await self._manifest(channel)
                files = store.read_files(manifest, self._files_of, self._max_bytes)
                for file in files:
                    if not await trio.to_thread.run_sync(store.is_whole, self._folder / file.name, file):
                        await self._file(channel, file)
            except Misbehaviour as lie:
                self._transport.penalise(channel.peer, f"bundle: {lie.message}", lie.weight)
                raise
        await trio.to_thread.run_sync(store.write_whole, self._folder / store.MANIFEST_NAME, manifest)

    async def _manifest(self, channel: Channel) -> bytes:
        manifest = await self._ask(channel, b"M", b"", MANIFEST_CAP_BYTES)
        if hashlib.sha256(manifest).digest() != self._bundle_id:
            raise Misbehaviour("The manifest is not the one asked for.", weight=LIE_WEIGHT)
        return manifest

    async def _file(self, channel: Channel, file: BundleFile) -> None:
        part = self._folder / f"{file.name}.part"
        hashes = await self._ask(channel, b"L", file.digest, file.chunks * HASH_BYTES)
        if len(hashes) != file.chunks * HASH_BYTES:
            raise Misbehaviour(f"The chunk list of {file.name} has the wrong length.", weight=LIE_WEIGHT)
        kept = await trio.to_thread.run_sync(store.keep_verified, part, file, hashes)
        for index in range(kept, file.chunks):
            wanted = file.digest + index.to_bytes(4, "big")
            data = await self._ask(channel, b"C", wanted, file.chunk_size(index))
            if len(data) != file.chunk_size(index) or not store.chunk_matches(data, hashes, index):
                raise Misbehaviour(f"Chunk {index} of {file.name} is wrong.", weight=LIE_WEIGHT)
            await trio.to_thread.run_sync(store.append, part, data)
            if self._progress is not None:
                self._progress(file.name, index * CHUNK_BYTES + len(data), file.size)
        if not await trio.to_thread.run_sync(store.is_whole, part, file):
            with suppress(FileNotFoundError):
                part.unlink()
            raise Misbehaviour(f"{file.name} does not have the hash in the manifest.", weight=LIE_WEIGHT)
        part.replace(self._folder / file.name)

    async def _ask(self, channel: Channel, kind: bytes, rest: bytes, cap: int) -> bytes:
        await channel.send(kind + self._bundle_id + rest)
        answer = await channel.receive(cap + 1)
        if answer[:1] == b"\0":
            raise _NotHere(f"Peer {channel.peer} does not have the bundle.")
        if answer[:1] != b"\1":
            raise Misbehaviour("An answer of no known form.", weight=LIE_WEIGHT)
        return answer[1:]
