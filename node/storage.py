# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the disk takes what a promise needs: a node whose disk fills up makes no new ones, and keeps the old.

Nothing leaves a node before it is on disk, so a full disk stops everything. Therefore it stops promising earlier: below
`least_free_bytes` there are no bids, no orders, no locks and no proofs to settle for others. What is in work goes on,
and for the case that others fill the disk to its last byte, a file lies in the folder that is given up then.
"""

from __future__ import annotations

import os
from pathlib import Path

import structlog
import trio

from node.data_folder import DataFolder
from protocol.errors import JournalFullError

LOOK_SECONDS = 1.0
RESERVE_FILE = "reserve"
LARGEST_RESERVE = 8 << 20
"""Bytes of the reserve, or a quarter of `least_free_bytes`: room for the events of some thousand jobs."""

log = structlog.get_logger("proofmesh.node")


class Storage:
    """Looks after the data folder's disk. `halted` says why nothing new may be promised, or nothing."""

    def __init__(self, folder: DataFolder, least_free_bytes: int) -> None:
        self._folder = folder
        self._least = least_free_bytes
        self._reserve = folder.path / RESERVE_FILE
        self._reserve_bytes = min(LARGEST_RESERVE, least_free_bytes // 4)
        self.halted = ""
        self.free_bytes = 0
        self.look()

    async def watch(self) -> None:
        """Look again and again until cancelled."""
        while True:
            await trio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Learn how the disk is; hold or give up the reserve."""
        before, self.halted = self.halted, self._reason()
        if self.halted and not before:
            log.error("storage: nothing new is promised, what is in work goes on", reason=self.halted)
        elif before and not self.halted:
            log.info("storage: promising again", free_bytes=self.free_bytes)

    def require_room(self) -> None:
        """Check that something new may be promised.

        Raises:
            JournalFullError: not with this disk.
        """
        if self.halted:
            raise JournalFullError(f"Nothing new is promised: {self.halted}.")

    def _reason(self) -> str:
        try:
            found = os.statvfs(self._folder.path)
        except OSError as error:
            return f"the data folder cannot be looked at ({error.strerror})"
        self.free_bytes = found.f_bavail * found.f_frsize
        if found.f_flag & os.ST_RDONLY:
            return "the data folder's disk is read-only"
        held = self._held()
        if self.free_bytes + held < self._least:
            if self.free_bytes < self._reserve_bytes // 2 and held:
                self._give_up()
            return f"{self.free_bytes} bytes are free, and {self._least} are needed"
        return "" if held or self._hold() else "the data folder's disk cannot be written"

    def _held(self) -> int:
        try:
            return self._reserve.stat().st_size
        except OSError:
            return 0

    def _hold(self) -> bool:
        """Take the reserve; a disk that does not give it is no disk to promise on."""
        if not self._reserve_bytes:
            return True
        fresh = self._reserve.with_suffix(".new")
        try:
            _allocate(fresh, self._reserve_bytes)
            os.replace(fresh, self._reserve)
        except OSError:
            fresh.unlink(missing_ok=True)
            return False
        return True

    def _give_up(self) -> None:
        try:
            self._reserve.unlink()
        except OSError as error:
            log.error("storage: the reserve cannot be given up", reason=error.strerror)
        else:
            log.warning("storage: the reserve is given up to what is in work", bytes=self._reserve_bytes)


def _allocate(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
