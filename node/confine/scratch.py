# SPDX-License-Identifier: GPL-3.0-or-later
"""The folders that workers may write to: one each, emptied after every job, gone with the pool."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path


class Scratch:
    """A folder of this process, with one for each worker, below `within` or the system's temporary folder.

    What a killed process left below `within` is removed by the next one.
    """

    def __init__(self, within: Path | None) -> None:
        self._within = within
        self._path: Path | None = None

    def folder(self, name: str) -> Path:
        """Return an empty folder of this name."""
        if self._path is None:
            self._path = self._begin().resolve()
        made = self._path / name
        made.mkdir(mode=0o700)
        return made

    def _begin(self) -> Path:
        if self._within is None:
            return Path(tempfile.mkdtemp(prefix="proofmesh-workers-"))
        self._within.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._within.iterdir():
            if not Path(f"/proc/{left.name}").exists() or left.name == str(os.getpid()):
                shutil.rmtree(left, ignore_errors=True)
        made = self._within / str(os.getpid())
        made.mkdir(mode=0o700)
        return made

    @staticmethod
    def size(folder: Path) -> int:
        """Return the bytes that the files below a folder take; nothing is followed out of it."""
        total = 0
        for place, _, names in os.walk(folder):
            for name in names:
                try:
                    total += os.lstat(os.path.join(place, name)).st_blocks * 512
                except OSError:
                    continue
        return total

    @staticmethod
    def clear(folder: Path) -> None:
        """Remove what a job left."""
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    os.unlink(entry.path)

    def remove(self) -> None:
        """Remove all of it."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
        self._path = None
