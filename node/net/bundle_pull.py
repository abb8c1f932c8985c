# SPDX-License-Identifier: GPL-3.0-or-later
"""A bundle from several peers at once: each gives chunks of what is missing, each chunk is checked before it is kept.

All sources take pieces (a file and the index of a chunk) from one queue, a few at a time, so that a fast one gives
more. What a source had on the way when it lied, failed or left goes back to the queue; when nothing is left to begin,
who is free asks again for what another has had on the way for long. So a stalled source costs its peers nothing
but the few chunks it sat on, and a liar costs one chunk and its score.
"""

from __future__ import annotations

import errno
import hashlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog
import trio

from node.net import bundle_store as store
from node.net.bundle_store import MANIFEST_CAP_BYTES, BundleFile, FilesOf
from node.net.bundles import FRAME_SECONDS, MAX_BUNDLE_BYTES, PROTOCOL
from node.net.channel import Channel
from node.net.service import Transport
from protocol.chunks import HASH_BYTES, root_of
from protocol.errors import (
    BundleDiskError,
    BundleRefusedError,
    BundleUnavailableError,
    Misbehaviour,
    NetworkError,
    PeerRefusedError,
    ProofmeshError,
)

log = structlog.get_logger("proofmesh.net")

LIE_WEIGHT = 50.0
ATTEMPTS_PER_SOURCE = 3
"""How often in a row a source may fail without having given a chunk."""
FIRST_WAIT = 0.2
SOURCES_AT_ONCE = 8
PIECES_ON_THE_WAY = 4
"""Chunks that one source is asked for ahead: a stream is never idle, and memory is bounded."""
OVERDUE_SECONDS = 2.0
"""After so long on the way a piece may be asked of a second source, when none is left to begin."""

Progress = Callable[[str, int, int], None]
Piece = tuple[BundleFile, int]


class _NotHere(PeerRefusedError):
    """The source does not have what was asked for."""


async def pull(
    transport: Transport,
    bundle_id: bytes,
    sources: Sequence[str],
    destination: Path,
    files_of: FilesOf,
    *,
    progress: Progress | None = None,
    max_bytes: int = MAX_BUNDLE_BYTES,
    make_room: Callable[[int], Awaitable[None]] | None = None,
) -> Path:
    """Fetch a bundle into `destination/<bundle id in hex>` and return that folder.

    Each file is under its own name only when it is whole, the manifest only when all are; chunks that were fetched
    before an interruption of any kind are used again.

    Args:
        sources: full addresses (or known ids) of peers; up to `SOURCES_AT_ONCE` are asked at once.
        files_of: see bundle_store.FilesOf.
        progress: called after each chunk with a file's name, how many of its bytes are there, and its size.
        make_room: awaited with the bytes still to come, before the first is fetched.

    Raises:
        BundleUnavailableError: the sources could not give all of it.
        BundleRefusedError: the manifest is right and names unsafe files, more than `max_bytes`, or contradicts itself.
        BundleDiskError: the disk is full or refuses; what was fetched is kept. Or what `make_room` raises.
    """
    folder = destination / bundle_id.hex()
    puller = _Puller(transport, bundle_id, folder, files_of, progress, max_bytes, make_room)
    limit = trio.CapacityLimiter(SOURCES_AT_ONCE)
    async with trio.open_nursery() as nursery:
        puller.scope = nursery.cancel_scope
        for source in {source.rpartition("/p2p/")[2]: source for source in sources}.values():
            nursery.start_soon(puller.draw_from, source, limit)
    if puller.failure is not None:
        raise puller.failure
    if not puller.done:
        tail = " ".join(dict.fromkeys(puller.reasons)) or "No source was named."
        raise BundleUnavailableError(f"Bundle {bundle_id.hex()} could not be fetched. {tail}")
    return folder


@dataclass
class _Plan:
    """What there is to fetch: the manifest, the chunk hashes and bytes kept of each file, pieces not begun."""

    manifest: bytes
    hashes: dict[BundleFile, bytes]
    kept: dict[BundleFile, int] = field(default_factory=dict)
    missing: dict[BundleFile, set[int]] = field(default_factory=dict)
    writing: Counter[BundleFile] = field(default_factory=Counter)
    whole: set[BundleFile] = field(default_factory=set)
    finishing: set[BundleFile] = field(default_factory=set)
    concluding: bool = False
    waiting: deque[Piece] = field(default_factory=deque)
    on_the_way: dict[Piece, dict[str, float]] = field(default_factory=dict)
    """Who was asked for a piece, and when."""


class _Puller:
    """One pull: the state that its sources share."""

    def __init__(
        self,
        transport: Transport,
        bundle_id: bytes,
        folder: Path,
        files_of: FilesOf,
        progress: Progress | None,
        max_bytes: int,
        make_room: Callable[[int], Awaitable[None]] | None,
    ) -> None:
        self._transport = transport
        self._bundle_id = bundle_id
        self._folder = folder
        self._files_of = files_of
        self._progress = progress
        self._max_bytes = max_bytes
        self._make_room = make_room
        self._planning = trio.Lock()
        self._plan: _Plan | None = None
        self._changed = trio.Event()
        self.scope = trio.CancelScope()
        self.reasons: list[str] = []
        self.failure: ProofmeshError | None = None
        self.done = False

    async def draw_from(self, source: str, limit: trio.CapacityLimiter) -> None:
        """Take from one source until the bundle is whole, the source lies, or it fails too often in a row."""
        failures = 0
        while failures < ATTEMPTS_PER_SOURCE and not self.done:
            gave = [0]
            try:
                async with limit:
                    await self._session(source, gave)
                return
            except Misbehaviour as lie:
                self.reasons.append(lie.message)
                log.warning("bundle source lied", bundle=self._bundle_id.hex(), reason=lie.message)
                return
            except (BundleRefusedError, BundleDiskError) as error:
                self._fail(error)
            except OSError as error:
                self._fail(_disk_error(error))
            except _NotHere as error:
                self.reasons.append(error.message)
                return
            except NetworkError as error:
                self.reasons.append(error.message)
                log.info("bundle source failed", bundle=self._bundle_id.hex(), code=error.code)
            failures = 1 if gave[0] else failures + 1
            if failures < ATTEMPTS_PER_SOURCE:
                await trio.sleep(FIRST_WAIT * 2**failures)

    def _fail(self, error: ProofmeshError) -> None:
        self.failure = self.failure or error
        self.scope.cancel()

    async def _session(self, source: str, gave: list[int]) -> None:
        async with self._transport.open_channel(source, PROTOCOL, FRAME_SECONDS) as channel:
            try:
                plan = await self._planned(channel)
                await self._pieces(channel, plan, gave)
            except Misbehaviour as lie:
                self._transport.penalise(channel.peer, f"bundle: {lie.message}", lie.weight)
                raise

    # --- plan ----------------------------------------------------------------------------

    async def _planned(self, channel: Channel) -> _Plan:
        """Return the plan, made from this source's manifest and lists when there is none; both are checked."""
        if self._plan is not None:
            return self._plan
        manifest = await self._ask(channel, b"M", b"", MANIFEST_CAP_BYTES)
        if hashlib.sha256(manifest).digest() != self._bundle_id:
            raise Misbehaviour("The manifest is not the one asked for.", weight=LIE_WEIGHT)
        files = store.read_files(manifest, self._files_of, self._max_bytes)
        hashes: dict[BundleFile, bytes] = {}
        for file in files:
            hashes[file] = await self._ask(channel, b"L", file.digest, file.chunks * HASH_BYTES)
            if len(hashes[file]) != file.chunks * HASH_BYTES or root_of(hashes[file]) != file.root:
                raise Misbehaviour(f"The chunk list of {file.name} is not that of the manifest.", weight=LIE_WEIGHT)
        async with self._planning:
            if self._plan is None:
                self._plan = await self._begin(_Plan(manifest, hashes))
        return self._plan

    async def _begin(self, plan: _Plan) -> _Plan:
        """Find out what an earlier pull left, and see that there is room for the rest."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for file, hashes in plan.hashes.items():
            plan.missing[file] = set()
            plan.kept[file] = file.size
            if await trio.to_thread.run_sync(store.is_whole, self._folder / file.name, file):
                plan.whole.add(file)
                continue
            missing = await trio.to_thread.run_sync(store.missing_chunks, self._part(file), file, hashes)
            plan.missing[file] = set(missing)
            plan.kept[file] -= sum(file.chunk_size(index) for index in missing)
            plan.waiting.extend((file, index) for index in missing)
        if self._make_room is not None:
            room = sum(file.chunk_size(index) for file, index in plan.waiting)
            await self._make_room(room)
        for file in plan.hashes:
            await self._finish_if_complete(plan, file)
        await self._conclude_if_whole(plan)
        return plan

    # --- pieces --------------------------------------------------------------------------

    async def _pieces(self, channel: Channel, plan: _Plan, gave: list[int]) -> None:
        asked: deque[Piece] = deque()
        try:
            while not self.done:
                while len(asked) < PIECES_ON_THE_WAY and (piece := self._take(plan, channel.peer)) is not None:
                    asked.append(piece)
                    file, index = piece
                    await channel.send(b"C" + self._bundle_id + file.digest + index.to_bytes(4, "big"))
                if not asked:
                    with trio.move_on_after(OVERDUE_SECONDS / 2):
                        await self._changed.wait()
                    continue
                file, index = asked[0]
                data = await self._answer(channel, file.chunk_size(index))
                if await self._keep(plan, file, index, data):
                    gave[0] += 1
                asked.popleft()
        finally:
            for piece in asked:
                self._give_back(plan, piece, channel.peer)

    def _take(self, plan: _Plan, peer: str) -> Piece | None:
        """Return a piece that `peer` is to be asked for: the next one, or one that is overdue elsewhere."""
        now = trio.current_time()
        if plan.waiting:
            piece = plan.waiting.popleft()
        else:
            overdue = (
                piece
                for piece, asked in plan.on_the_way.items()
                if len(asked) == 1 and peer not in asked and now - max(asked.values()) > OVERDUE_SECONDS
            )
            found = next(overdue, None)
            if found is None:
                return None
            piece = found
        plan.on_the_way.setdefault(piece, {})[peer] = now
        return piece

    def _give_back(self, plan: _Plan, piece: Piece, peer: str) -> None:
        asked = plan.on_the_way.get(piece, {})
        asked.pop(peer, None)
        file, index = piece
        if not asked and index in plan.missing[file]:
            plan.on_the_way.pop(piece, None)
            plan.waiting.append(piece)
        self._wake()

    async def _keep(self, plan: _Plan, file: BundleFile, index: int, data: bytes) -> bool:
        """Keep a chunk that is right; False when another source was faster."""
        missing = plan.missing[file]
        if index not in missing:
            return False
        plan.writing[file] += 1
        with trio.CancelScope(shield=True):  # the file gets its name only when nobody writes to it
            try:
                keep = partial(store.keep_chunk, self._part(file), file, index, data, plan.hashes[file])
                right = await trio.to_thread.run_sync(keep)
            finally:
                plan.writing[file] -= 1
            fresh = right and index in missing
            if fresh:
                missing.remove(index)
                plan.on_the_way.pop((file, index), None)
                plan.kept[file] += file.chunk_size(index)
            await self._finish_if_complete(plan, file)
            await self._conclude_if_whole(plan)
        if not right:
            raise Misbehaviour(f"Chunk {index} of {file.name} is wrong.", weight=LIE_WEIGHT)
        if fresh and self._progress is not None:
            self._progress(file.name, plan.kept[file], file.size)
        return fresh

    async def _finish_if_complete(self, plan: _Plan, file: BundleFile) -> None:
        if plan.missing[file] or plan.writing[file] or file in plan.whole | plan.finishing:
            return
        plan.finishing.add(file)
        if not await trio.to_thread.run_sync(store.finish, self._part(file), file):
            raise BundleRefusedError(f"The manifest names chunks of {file.name} that do not have its SHA-256.")
        plan.whole.add(file)

    async def _conclude_if_whole(self, plan: _Plan) -> None:
        """Write the manifest when all files are there: from then on the bundle is."""
        if len(plan.whole) < len(plan.hashes) or plan.concluding:
            return
        plan.concluding = True
        await trio.to_thread.run_sync(store.write_whole, self._folder / store.MANIFEST_NAME, plan.manifest)
        self.done = True
        self.scope.cancel()  # who still waits for an answer waits in vain

    def _wake(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    def _part(self, file: BundleFile) -> Path:
        return self._folder / (file.name + store.PART)

    async def _ask(self, channel: Channel, kind: bytes, rest: bytes, cap: int) -> bytes:
        await channel.send(kind + self._bundle_id + rest)
        return await self._answer(channel, cap)

    async def _answer(self, channel: Channel, cap: int) -> bytes:
        answer = await channel.receive(cap + 1)
        if answer[:1] == b"\0":
            raise _NotHere(f"Peer {channel.peer} does not have the bundle.")
        if answer[:1] != b"\1":
            raise Misbehaviour("An answer of no known form.", weight=LIE_WEIGHT)
        return answer[1:]


def _disk_error(error: OSError) -> BundleDiskError:
    reason = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
    return BundleDiskError(f"The bundle cannot be written: {reason}. What was fetched so far is kept.")
