# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of jobs (sealing keys, opened inputs): one file each, mode 0600, erased when the job ends.

Erasing overwrites the bytes before unlinking. That is the best a file can do: a copy-on-write file
system or a wearing disk may keep old blocks, which is why the remedy for that is disk encryption.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

from protocol.errors import VaultError

MAX_SECRET_BYTES = 64 << 20
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
_UNFINISHED = ".new"


class Vault:
    """The secrets in one folder. Its representation shows names alone."""

    def __init__(self, folder: Path) -> None:
        """Open the folder, made with mode 0700 when missing; half-written secrets are erased.

        Raises:
            VaultError: the folder cannot be used.
        """
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            for left in folder.glob(f"*{_UNFINISHED}"):
                _overwrite_and_unlink(left)
        except OSError as error:
            raise VaultError(f"{folder} cannot be used ({error.strerror}).") from None

    def __repr__(self) -> str:
        return f"Vault({self.names()})"

    def put(self, name: str, secret: bytes) -> None:
        """Keep a secret; it is on disk when this returns, and the earlier one of the name is erased.

        Raises:
            VaultError: the name is not acceptable, the secret too large, or the disk refuses.
        """
        if len(secret) > MAX_SECRET_BYTES:
            raise VaultError(f"A secret has at most {MAX_SECRET_BYTES} bytes.")
        path = self._path(name)
        fresh = path.with_name(path.name + _UNFINISHED)
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secret)
                file.flush()
                os.fsync(file.fileno())
            # The earlier secret goes only when the new one has its name: a crash never loses both.
            earlier = path.open("r+b") if path.exists() else None
            fresh.replace(path)
            self._sync_folder()
            if earlier is not None:
                with earlier:
                    _overwrite(earlier)
        except OSError as error:
            raise VaultError(f"The secret {name} cannot be written ({error.strerror}).") from None

    def get(self, name: str) -> bytes:
        """Return a secret.

        Raises:
            VaultError: there is none of that name.
        """
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            raise VaultError(f"There is no secret {name}.") from None
        except OSError as error:
            raise VaultError(f"The secret {name} cannot be read ({error.strerror}).") from None

    def erase(self, name: str) -> None:
        """Overwrite and remove a secret; one that is not there is erased already.

        Raises:
            VaultError: the disk refuses.
        """
        try:
            _overwrite_and_unlink(self._path(name))
            self._sync_folder()
        except FileNotFoundError:
            return
        except OSError as error:
            raise VaultError(f"The secret {name} cannot be erased ({error.strerror}).") from None

    def names(self) -> tuple[str, ...]:
        """Return the names of all secrets, sorted."""
        return tuple(sorted(p.name for p in self._folder.iterdir() if _NAME.fullmatch(p.name)))

    def _path(self, name: str) -> Path:
        # The pattern keeps a name inside the folder; the suffix is kept for half-written files.
        if not _NAME.fullmatch(name) or name.endswith(_UNFINISHED):
            raise VaultError("A secret's name has up to 128 of a-z, 0-9, dot, dash and underscore.")
        return self._folder / name

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _overwrite(file: BinaryIO) -> None:
    remaining = os.fstat(file.fileno()).st_size
    while remaining > 0:
        step = min(remaining, 1 << 16)
        file.write(bytes(step))
        remaining -= step
    file.flush()
    os.fsync(file.fileno())


def _overwrite_and_unlink(path: Path) -> None:
    with path.open("r+b") as file:
        _overwrite(file)
    path.unlink()
