# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup of a data folder in one file: what cannot be fetched or made again, and nothing private.

A gzipped tar. Its first member, `backup.json`, names the others with their SHA-256. It holds the encrypted
keystore, the settings, the network key, a consistent copy of the journal, jobs and receipts. It never holds
the vault: private inputs are erased when a job ends, and would live on in every copy.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from node.data_folder import DataFolder
from node.keystore import keystore_address
from protocol import bounded_json
from protocol.errors import ProofmeshError

FORMAT = "proofmesh.backup.v1"
INDEX_NAME = "backup.json"
MAX_FILES = 200_000
MAX_INDEX_BYTES = 64 << 20
MAX_FILE_BYTES = 16 << 30
_COPY_BYTES = 1 << 20
_ALONE = ("keystore.json", "config.toml", "deployment.json", "network.key")
JOURNAL = "journal.sqlite"
_NAME = re.compile(
    r"keystore\.json|config\.toml|deployment\.json|network\.key|journal\.sqlite|(?:jobs|receipts)/[0-9a-f]{64}\.json"
)


class BackupError(ProofmeshError):
    """A backup cannot be written, or is damaged, or must not be restored here."""

    code = "PM-BAK-001"
    remedy = "Use another copy, or an empty data folder."


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup says of itself; nothing in it is secret."""

    account: bytes
    files: dict[str, str]
    """SHA-256 in hex by name."""

    @property
    def jobs(self) -> int:
        """How many jobs' snapshots are in it."""
        return sum(name.startswith("jobs/") for name in self.files)

    @property
    def receipts(self) -> int:
        """How many receipts are in it."""
        return sum(name.startswith("receipts/") for name in self.files)

    @property
    def with_journal(self) -> bool:
        """Whether it can take up jobs that were under way."""
        return JOURNAL in self.files


def write_backup(folder: DataFolder, target: Path, *, journal: bool = True) -> Backup:
    """Write a backup file, mode 0600; never over an existing one. Hold the folder's lock when `journal`.

    Raises:
        BackupError: the file exists or cannot be written, or the folder cannot be read.
        KeystoreError: the folder has no keystore.
    """
    account = keystore_address(folder.keystore)
    with tempfile.TemporaryDirectory(dir=folder.path, prefix=".backup.") as scratch:
        try:
            files = _copy(folder, Path(scratch), journal)
            backup = Backup(account, {name: _sha256(Path(scratch) / name) for name in files})
            _write_archive(backup, Path(scratch), target)
        except FileExistsError:
            raise BackupError(f"{target} exists already.", remedy="Choose another name.") from None
        except (OSError, sqlite3.Error) as error:
            raise BackupError(
                f"The backup could not be written ({error}).", remedy="Name a file in a folder with room for it."
            ) from None
    return backup


def read_backup(source: Path) -> Backup:
    """Return what is in a backup, after checking all of it.

    Raises:
        BackupError: it is damaged, or no backup.
    """
    with _opened(source) as archive:
        backup = _index(archive)
        _walk(archive, backup, lambda name: None)
    return backup


def restore_backup(source: Path, folder: DataFolder, *, journal: bool = True) -> Backup:
    """Put a backup into a data folder that has no keystore yet; the keystore comes last, so half a restore shows.

    Raises:
        BackupError: it is damaged, or no backup, or something is in the way; nothing of it counts then.
    """
    read_backup(source)
    with _opened(source) as archive:
        backup = _index(archive)
        wanted = {name for name in backup.files if journal or name != JOURNAL}
        taken = sorted(name for name in wanted if (folder.path / name).exists())
        if folder.keystore.exists() or taken:
            name = "keystore.json" if folder.keystore.exists() else taken[0]
            raise BackupError(f"{folder.path} has {name} already.", remedy="Restore into an empty --data-dir.")
        last = folder.path / ".keystore.json.restored"
        places = {name: last if name == folder.keystore.name else folder.path / name for name in wanted}
        _walk(archive, backup, places.get)
        os.replace(last, folder.keystore)
    return backup


def _copy(folder: DataFolder, scratch: Path, journal: bool) -> list[str]:
    """Copy what belongs into a backup, so that it does not change while it is hashed; return the names."""
    names = []
    for pattern in (*_ALONE, "jobs/*.json", "receipts/*.json"):
        for path in sorted(folder.path.glob(pattern)):
            name = path.relative_to(folder.path).as_posix()
            if _NAME.fullmatch(name):
                (scratch / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(path, scratch / name)
                names.append(name)
    if journal and folder.journal.exists():
        with closing(sqlite3.connect(folder.journal)) as database, closing(sqlite3.connect(scratch / JOURNAL)) as fresh:
            database.backup(fresh)  # with all that its write-ahead log holds
        names.append(JOURNAL)
    return names


def _write_archive(backup: Backup, scratch: Path, target: Path) -> None:
    index = {"format": FORMAT, "account": "0x" + backup.account.hex(), "files": backup.files}
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz") as archive:
                text = json.dumps(index, indent=1).encode()
                _add(archive, INDEX_NAME, len(text), io.BytesIO(text))
                for name in backup.files:
                    with (scratch / name).open("rb") as content:
                        _add(archive, name, os.fstat(content.fileno()).st_size, content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _add(archive: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    archive.addfile(member, content)


def _opened(source: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(source, mode="r:gz")
    except (OSError, tarfile.TarError, EOFError) as error:
        raise BackupError(f"{source} is no backup ({type(error).__name__}).") from None


def _index(archive: tarfile.TarFile) -> Backup:
    try:
        member = archive.next()
        if member is None or member.name != INDEX_NAME or not member.isfile() or member.size > MAX_INDEX_BYTES:
            raise ValueError("no index")
        content = archive.extractfile(member)
        fields = bounded_json.loads(content.read() if content else b"")
        files, account = fields["files"], bytes.fromhex(fields["account"].removeprefix("0x"))
        sound = fields["format"] == FORMAT and len(account) == 20 and len(files) <= MAX_FILES
        if not sound or not all(_NAME.fullmatch(name) and len(bytes.fromhex(h)) == 32 for name, h in files.items()):
            raise ValueError("not of this format")
    except (ValueError, KeyError, TypeError, AttributeError, OSError, EOFError, RecursionError):
        raise BackupError("The file is no backup of this version of proofmesh.") from None
    except (tarfile.TarError, zlib.error):
        raise BackupError("The file is no backup of this version of proofmesh.") from None
    return Backup(account, dict(files))


def _walk(archive: tarfile.TarFile, backup: Backup, target_of: Callable[[str], Path | None]) -> None:
    """Read every file that the index names, once, to where it goes; anything else is refused."""
    left = set(backup.files)
    try:
        while (member := archive.next()) is not None:
            content = archive.extractfile(member) if member.isfile() and member.size <= MAX_FILE_BYTES else None
            if member.name not in left or content is None:
                raise BackupError("The backup holds something that its index does not name.")
            left.remove(member.name)
            target = target_of(member.name)
            found = _drain(content, None) if target is None else _write(content, target)
            if found != backup.files[member.name]:
                raise BackupError(f"{member.name} in the backup is damaged.")
        while archive.fileobj is not None and archive.fileobj.read(_COPY_BYTES):
            pass  # to the end: a cut or changed tail shows in the length and checksum there
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise BackupError(f"The backup is damaged ({type(error).__name__}).") from None
    except OSError as error:
        raise BackupError(f"The backup could not be read or restored ({error}).") from None
    if left:
        raise BackupError(f"The backup misses {min(left)}.")


def _write(content: IO[bytes], target: Path) -> str:
    target.parent.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        found = _drain(content, file)
        file.flush()
        os.fsync(file.fileno())
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return _drain(file, None)


def _drain(content: IO[bytes], into: IO[bytes] | None) -> str:
    """Read to the end, copying on the way; return the SHA-256 in hex."""
    digest = hashlib.sha256()
    while chunk := content.read(_COPY_BYTES):
        digest.update(chunk)
        if into is not None:
            into.write(chunk)
    return digest.hexdigest()
