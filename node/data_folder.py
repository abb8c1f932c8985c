# SPDX-License-Identifier: GPL-3.0-or-later
"""The data folder: private (mode 0700), one process at a time, with a check of free space."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import FolderError, FolderLockedError


@dataclass(frozen=True)
class DataFolder:
    """Where each thing of a node lives. Make one with `open_data_folder`."""

    path: Path

    @property
    def config(self) -> Path:
        """The commented config.toml."""
        return self.path / "config.toml"

    @property
    def deployment(self) -> Path:
        """Where the contracts are, as `proofmesh deploy` wrote it."""
        return self.path / "deployment.json"

    @property
    def keystore(self) -> Path:
        """The account's key, Web3 Secret Storage v3."""
        return self.path / "keystore.json"

    @property
    def network_key(self) -> Path:
        """The libp2p key, separate from the account."""
        return self.path / "network.key"

    @property
    def journal(self) -> Path:
        """The SQLite journal, outbox and signed transactions."""
        return self.path / "journal.sqlite"

    @property
    def vault(self) -> Path:
        """Secrets of jobs, erased after their final deadline."""
        return self.path / "vault"

    @property
    def bundles(self) -> Path:
        """Bundles by content address."""
        return self.path / "bundles"

    @property
    def scratch(self) -> Path:
        """What workers write while they compile; emptied after each job."""
        return self.path / "scratch"

    @property
    def status(self) -> Path:
        """How the running node is; it stays when the node has ended."""
        return self.path / "status.json"

    @property
    def receipts(self) -> Path:
        """Receipts of settled jobs."""
        return self.path / "receipts"

    def free_bytes(self) -> int:
        """Return the bytes that this user may still write to the folder's disk."""
        return shutil.disk_usage(self.path).free

    def require_free(self, needed_bytes: int) -> None:
        """Check that the disk has room.

        Raises:
            FolderError: it has not.
        """
        free = self.free_bytes()
        if free < needed_bytes:
            raise FolderError(f"{self.path} has {free} bytes free and needs {needed_bytes}.")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process; the kernel lets go of it when the process dies.

        Raises:
            FolderLockedError: another process holds it.
        """
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
                who = f"process {holder}" if holder.isdigit() else "another process"
                raise FolderLockedError(f"{self.path} is in use by {who}.") from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)


def open_data_folder(path: Path, *, create: bool = True) -> DataFolder:
    """Return the folder, made with mode 0700 when missing; an empty one is tightened to it.

    Raises:
        FolderError: it cannot be made, is not a folder of this user, or others can look into it.
    """
    try:
        if create:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.stat()
    except FileNotFoundError:
        raise FolderError(f"{path} does not exist.", remedy="Run `proofmesh init`.") from None
    except OSError as error:
        raise FolderError(f"{path} cannot be used ({error.strerror}).") from None
    if not stat.S_ISDIR(found.st_mode):
        raise FolderError(f"{path} is not a folder.")
    if found.st_uid != os.geteuid():
        raise FolderError(f"{path} belongs to another user.")
    if found.st_mode & 0o077:
        # What lies in an open folder may have been read already: only an empty one is just closed.
        if any(path.iterdir()):
            raise FolderError(
                f"{path} is open to other users.",
                remedy=f"If it is this node's alone, run `chmod 700 {path}`; else choose another --data-dir.",
            )
        path.chmod(0o700)
    return DataFolder(path.resolve())
