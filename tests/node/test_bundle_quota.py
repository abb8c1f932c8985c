# SPDX-License-Identifier: GPL-3.0-or-later
"""Room for bundles: who goes when it is full, and who never does."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio
from devnet_market import small_bundle
from net_peers import transport

from node.bundle_index import BundleIndex, Entry
from node.bundle_quota import LEFTOVER, BundleKeptError, BundleQuota
from node.bundle_store import BundleStore
from protocol.errors import BundleDiskError
from proving.audit import AuditResult
from proving.private_weights import weights_path

SIZE = 64 << 10
PROGRAM = bytes([9]) * 32
A, B, C, D = (bytes([number]) * 32 for number in range(1, 5))


class Shelf:
    """A store of bundles of 64 KiB each, used in the order in which they are put, with room for `places`."""

    def __init__(self, folder: Path, places: int) -> None:
        self.folder = folder / "bundles"
        self.folder.mkdir()
        self.index = BundleIndex(folder / "bundles.sqlite")
        self.quota = BundleQuota(self.folder, self.index, places * SIZE)
        self._now = 1.0

    def put(self, bundle_id: bytes, *, fetched: bool = True, whole: bool = True) -> None:
        made = self.folder / bundle_id.hex()
        made.mkdir()
        (made / "proving.zkey").write_bytes(bytes([7]) * (SIZE - 4096))
        if whole:
            (made / "manifest.json").write_bytes(b"{}")
        self._now += 1
        if fetched:
            self.index.fetched(bundle_id, self._now)

    def here(self) -> set[bytes]:
        return {bytes.fromhex(path.name) for path in self.folder.iterdir()}


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path, 3)


async def test_the_least_recently_used_goes(shelf: Shelf) -> None:
    for each in (A, B, C):
        shelf.put(each)
    shelf.index.used(A, 100.0)
    await shelf.quota.make_room(SIZE)
    assert shelf.here() == {A, C}
    assert set(shelf.index.entries()) == {A, C}


async def test_what_is_not_whole_goes_first(shelf: Shelf) -> None:
    for each in (A, B):
        shelf.put(each)
    shelf.put(C, whole=False)
    await shelf.quota.make_room(SIZE)
    assert shelf.here() == {A, B}


async def test_no_more_goes_than_has_to(shelf: Shelf) -> None:
    for each in (A, B):
        shelf.put(each)
    await shelf.quota.make_room(SIZE)
    assert shelf.here() == {A, B}


@pytest.mark.parametrize("reason", ["needed", "named", "pinned", "own", "weights", "fetching"])
async def test_what_has_to_stay_stays_however_full_it_is(shelf: Shelf, reason: str) -> None:
    for each in (A, B, C):
        shelf.put(each, fetched=(each, reason) != (A, "own"))
    match reason:
        case "needed":
            shelf.quota.needed.append(lambda: [A])
        case "named":
            shelf.quota.named.add(A)
        case "pinned":
            shelf.index.pin(A, pinned=True)
        case "weights":
            weights_path(shelf.folder / A.hex()).write_bytes(b"{}")
        case "fetching":
            shelf.quota.fetching.add(A)
    with pytest.raises(BundleDiskError, match="PM-NET-022"):
        await shelf.quota.make_room(3 * SIZE)
    assert {A, B, C} <= {bytes.fromhex(path.name) for path in shelf.folder.iterdir() if path.is_dir()}
    await shelf.quota.make_room(2 * SIZE)
    assert [path.name for path in shelf.folder.iterdir() if path.is_dir()] == [A.hex()]
    with pytest.raises(BundleKeptError):
        await shelf.quota.evict(A)


async def test_who_offers_a_bundle_is_told_before_it_goes(shelf: Shelf) -> None:
    for each in (A, B, C):
        shelf.put(each)
    told: list[tuple[bytes, bool]] = []
    shelf.quota.leaving.append(lambda gone: told.append((gone, (shelf.folder / gone.hex()).exists())))
    await shelf.quota.make_room(2 * SIZE)
    assert told == [(A, True), (B, True)]


async def test_a_disk_with_too_little_room_counts_like_a_quota(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, 0)
    shelf.put(A)
    await shelf.quota.make_room(SIZE)
    shelf.quota = BundleQuota(shelf.folder, shelf.index, 0, least_free=shutil.disk_usage(tmp_path).total)
    with pytest.raises(BundleDiskError):
        await shelf.quota.make_room(SIZE)
    assert shelf.here() == {A}


async def test_what_a_killed_process_left_is_removed(shelf: Shelf) -> None:
    shelf.put(A)
    (shelf.folder / f"{LEFTOVER}{B.hex()}-1").mkdir()
    assert await shelf.quota.evict(A) >= SIZE - 4096
    assert not list(shelf.folder.iterdir())


async def test_a_bundle_that_is_not_here_cannot_go(shelf: Shelf) -> None:
    with pytest.raises(BundleKeptError, match="not here"):
        await shelf.quota.evict(D)


def test_a_pin_outlives_another_fetch_and_use_never_goes_back(shelf: Shelf) -> None:
    shelf.index.pin(A, pinned=True)
    shelf.index.fetched(A, 5.0)
    shelf.index.used(A, 3.0)
    assert shelf.index.entries() == {A: Entry(fetched=True, pinned=True, used_at=5.0)}


def test_a_damaged_index_is_said(tmp_path: Path) -> None:
    (tmp_path / "bundles.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(BundleDiskError, match="index of bundles"):
        BundleIndex(tmp_path / "bundles.sqlite").entries()


async def test_a_fetched_bundle_is_in_the_index_and_one_too_large_is_not_begun(tmp_path: Path) -> None:
    bundle = await trio.to_thread.run_sync(small_bundle, tmp_path / "published")
    size = sum(path.stat().st_size for path in bundle.folder.iterdir())
    async with transport() as publisher, transport() as node:
        BundleStore(tmp_path / "published").serve(publisher)
        tight = BundleStore(tmp_path / "tight" / "bundles", quota_bytes=size // 2)
        with pytest.raises(BundleDiskError, match=f"quota of {size // 2}"):
            await tight.pull(node, bundle.id, publisher.addresses)
        assert not tight.has(bundle.id) and [each.whole for each in tight.quota.held()] == [False]
        wide = BundleStore(tmp_path / "wide" / "bundles", quota_bytes=2 * size)
        await wide.pull(node, bundle.id, publisher.addresses)
    assert wide.load(bundle.id).manifest == bundle.manifest
    [held] = wide.quota.held()
    assert held.whole and held.entry.fetched and not held.kept_because and held.size >= size
    wide.remember(AuditResult(bundle.id, PROGRAM, bytes(32), 1, 1, 1, 1, ()))
    gone: list[bytes] = []
    wide.tell_of_eviction(gone.append)
    in_work = [PROGRAM]
    wide.keep_while_needed(lambda: in_work)
    with pytest.raises(BundleKeptError, match="a job needs it"):
        await wide.quota.evict(bundle.id)
    in_work.clear()
    await wide.quota.evict(bundle.id)
    assert not wide.has(bundle.id) and gone == [PROGRAM]
