# SPDX-License-Identifier: GPL-3.0-or-later
"""Room for bundles: a quota, and which of them go when it is full, the least recently used first.

Never one that a job of this node needs now, that its operator named or pinned, that was made here, or that is being
fetched. Choosing and saying so is one step of the node's own thread; only then are files touched.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
import trio

from node.bundle_index import BundleIndex, Entry
from protocol.errors import BundleDiskError, UsageError
from proving.private_weights import weights_path

log = structlog.get_logger("proofmesh.bundles")

LEFTOVER = ".evicted-"


class BundleKeptError(UsageError):
    """The bundle may not be evicted."""

    code = "PM-BND-021"
    remedy = "Take away what keeps it: `proofmesh bundle unpin`, `prover.bundles`, or the job that needs it."


@dataclass(frozen=True, slots=True)
class Held:
    """A bundle on disk: its bytes, whether it is whole, what the index says, and why it stays (empty: it may go)."""

    bundle_id: bytes
    size: int
    whole: bool
    entry: Entry
    kept_because: str


class BundleQuota:
    """The room that one store's bundles may take; a `quota` of 0 is no limit but the disk's.

    `named` are the bundles that the operator asked for. `needed` give the ids that jobs need now. `leaving` are told
    of a bundle that goes, before it does.
    """

    def __init__(self, folder: Path, index: BundleIndex, quota: int = 0, least_free: int = 0) -> None:
        self._folder = folder
        self._index = index
        self._quota = quota
        self._least_free = least_free
        self._lock = trio.Lock()
        self.named: set[bytes] = set()
        self.fetching: set[bytes] = set()
        self.needed: list[Callable[[], Iterable[bytes]]] = []
        self.leaving: list[Callable[[bytes], None]] = []

    @property
    def quota(self) -> int:
        """Bytes that all bundles may take; 0 for no limit."""
        return self._quota

    def held(self) -> tuple[Held, ...]:
        """Return the bundles on disk, the least recently used first. Blocking."""
        return self._judge(_sizes(self._folder), self._index.entries())

    async def make_room(self, bytes_to_come: int) -> None:
        """Evict until so many bytes more fit.

        Raises:
            BundleDiskError: they do not, or the disk has less.
        """
        async with self._lock:
            sizes = await trio.to_thread.run_sync(_sizes, self._folder)
            taken = sum(size for size, _ in sizes.values())
            excess = taken + bytes_to_come - self._quota if self._quota else 0
            excess = max(excess, bytes_to_come + self._least_free - shutil.disk_usage(self._folder).free)
            chosen = self._choose(self._judge(sizes, self._index.entries()), excess)
            if chosen is None:
                raise BundleDiskError(
                    f"The bundle needs {bytes_to_come} bytes more. Bundles take {taken} bytes of a quota of "
                    f"{self._quota or 'no limit'}, and no more of them may go."
                )
            await self._remove(chosen)

    async def evict(self, bundle_id: bytes) -> int:
        """Remove one bundle, and return how many bytes that freed.

        Raises:
            BundleKeptError: it is needed, named, pinned, made here, or not here.
        """
        async with self._lock:
            found = next((each for each in self.held() if each.bundle_id == bundle_id), None)
            if found is None or found.kept_because:
                reason = "it is not here" if found is None else found.kept_because
                raise BundleKeptError(f"Bundle {bundle_id.hex()} is not evicted: {reason}.")
            await self._remove([bundle_id])
        return found.size

    def _judge(self, sizes: dict[bytes, tuple[int, bool]], entries: dict[bytes, Entry]) -> tuple[Held, ...]:
        needed = {identity for give in self.needed for identity in give()}
        held = []
        for bundle_id, (size, whole) in sizes.items():
            entry = entries.get(bundle_id, Entry())
            held.append(Held(bundle_id, size, whole, entry, self._reason_to_keep(bundle_id, entry, needed)))
        return tuple(sorted(held, key=lambda each: (each.whole, each.entry.used_at, each.bundle_id)))

    def _reason_to_keep(self, bundle_id: bytes, entry: Entry, needed: set[bytes]) -> str:
        reasons = {
            "a job needs it": bundle_id in needed,
            "it is being fetched": bundle_id in self.fetching,
            "its operator named it": bundle_id in self.named,
            "it is pinned": entry.pinned,
            "it was made here": not entry.fetched or weights_path(self._folder / bundle_id.hex()).exists(),
        }
        return next((reason for reason, holds in reasons.items() if holds), "")

    @staticmethod
    def _choose(held: Sequence[Held], excess: int) -> list[bytes] | None:
        """Return what has to go to free `excess` bytes, None if all that may go is not enough."""
        chosen = []
        for each in held:
            if excess <= 0:
                break
            if not each.kept_because:
                chosen.append(each.bundle_id)
                excess -= each.size
        return chosen if excess <= 0 else None

    async def _remove(self, chosen: Sequence[bytes]) -> None:
        for bundle_id in chosen:  # no other task runs in between: no job begins to need one of them
            for tell in self.leaving:
                tell(bundle_id)
            (self._folder / bundle_id.hex()).rename(self._folder / f"{LEFTOVER}{bundle_id.hex()}-{time.time_ns()}")
            self._index.forget(bundle_id)
            log.info("bundle evicted", bundle=bundle_id.hex()[:16])
        await trio.to_thread.run_sync(_sweep, self._folder)


def _sweep(folder: Path) -> None:
    """Remove what was evicted, also what a killed process had begun to."""
    for left in folder.glob(f"{LEFTOVER}*"):
        shutil.rmtree(left, ignore_errors=True)


def _sizes(folder: Path) -> dict[bytes, tuple[int, bool]]:
    """Return the bytes on disk of each bundle, and whether it is whole; holes of what is being fetched take none."""
    found = {}
    for entry in os.scandir(folder):
        if len(entry.name) != 64 or not entry.is_dir(follow_symlinks=False):
            continue
        try:
            bundle_id = bytes.fromhex(entry.name)
            size = sum(file.stat(follow_symlinks=False).st_blocks * 512 for file in os.scandir(entry.path))
        except (ValueError, OSError):
            continue
        found[bundle_id] = (size, (folder / entry.name / "manifest.json").is_file())
    return found
