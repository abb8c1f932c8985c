# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that fills up: nothing new is promised, what is in work is finished, and it goes on by itself."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import trio
from market_samples import AT, NOW, ORDER_HASH, a_bid, bid_received, placed, settled

from market import client
from market.effects import Effect
from market.events import Event, Tick
from market.instants import SECOND
from node.data_folder import DataFolder, open_data_folder
from node.journal import Journal
from node.role_shell import RoleShell
from node.storage import RESERVE_FILE, Storage
from protocol.errors import JournalError, JournalFullError

MEBIBYTE = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[DataFolder]:
    """A data folder on a disk of its own, of 12 MiB."""
    place = tmp_path / "disk"
    place.mkdir(mode=0o700)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m,mode=700", "none", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        yield open_data_folder(place)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


class Clock:
    """Chain time that stands still."""

    def now(self) -> int:
        return NOW * SECOND


def fill(folder: DataFolder, leave: int = 0) -> Path:
    """Let others fill the disk, all but some bytes."""
    ballast = folder.path / "of others"
    size = max(0, folder.free_bytes() - leave)
    with ballast.open("ab") as file:
        while size > 0:
            try:
                size -= file.write(bytes(min(size, 1 << 16)))
                file.flush()
            except OSError:
                break
    return ballast


def test_a_disk_that_runs_low_halts_promises_and_one_with_space_goes_on(small_disk: DataFolder) -> None:
    storage = Storage(small_disk, 8 * MEBIBYTE)
    storage.require_room()
    assert (small_disk.path / RESERVE_FILE).stat().st_size == 2 * MEBIBYTE
    others = fill(small_disk, leave=4 * MEBIBYTE)
    storage.look()
    assert "are needed" in storage.halted
    with pytest.raises(JournalFullError, match="PM-JRN-004"):
        storage.require_room()
    others.unlink()
    storage.look()
    assert storage.halted == ""


async def test_on_a_full_disk_what_is_in_work_is_finished_from_the_reserve(small_disk: DataFolder) -> None:
    storage = Storage(small_disk, 8 * MEBIBYTE)
    done: list[str] = []

    async def perform(effect: Effect) -> Sequence[Event]:
        done.append(type(effect).__name__)
        return []

    with Journal(small_disk.journal) as journal:
        shell = RoleShell("client", client.State(), client.transition, client.next_deadline, journal, Clock())
        async with trio.open_nursery() as nursery:
            await nursery.start(shell.run, perform)
            shell.feed(placed())
            shell.feed(bid_received(a_bid()))
            fill(small_disk)
            with pytest.raises(JournalFullError):
                for number in range(1_000):
                    journal.put(f"filler {number}", bytes(4_000))
            shell.hear(Tick(AT + 2 * SECOND))
            shell.hear(settled())
            assert shell.state.jobs[ORDER_HASH].phase is client.Phase.COLLECTING
            storage.look()
            assert storage.halted and not (small_disk.path / RESERVE_FILE).exists()
            with trio.fail_after(60):
                while shell.state.jobs[ORDER_HASH].phase is not client.Phase.SETTLED:
                    await trio.sleep(0.05)
                while len(journal.pending("client")) > 0:
                    await trio.sleep(0.05)
            nursery.cancel_scope.cancel()
    assert {"SendAward", "KeepReceipt", "EraseSecrets"} <= set(done)
    (small_disk.path / "of others").unlink()
    storage.look()
    assert storage.halted == "" and (small_disk.path / RESERVE_FILE).exists()


def test_a_read_only_disk_halts_promises_and_refuses_a_journal_by_its_name(small_disk: DataFolder) -> None:
    storage = Storage(small_disk, 8 * MEBIBYTE)
    with Journal(small_disk.journal) as journal:
        journal.append("client", b"before", [])
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk.path)], check=True)
    storage.look()
    assert "read-only" in storage.halted
    with pytest.raises(JournalError):
        Journal(small_disk.journal)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk.path)], check=True)
    storage.look()
    assert storage.halted == ""
    with Journal(small_disk.journal) as journal:
        assert list(journal.events("client")) == [b"before"]


def test_a_folder_that_cannot_be_looked_at_halts_promises(tmp_path: Path) -> None:
    folder = open_data_folder(tmp_path / "folder")
    storage = Storage(folder, 0)
    assert storage.halted == "" and not (folder.path / RESERVE_FILE).exists()
    os.rename(folder.path, tmp_path / "away")
    storage.look()
    assert "cannot be looked at" in storage.halted


def test_less_space_than_asked_for_halts_from_the_start(tmp_path: Path) -> None:
    assert Storage(open_data_folder(tmp_path / "folder"), 1 << 60).halted
