# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal's file: its schema, the way from older formats to the present one, and what a damaged one looks like."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from node.journal_wal import wal_state
from protocol.errors import JournalCorruptError, JournalError, JournalFormatError, JournalFullError

FORMAT_VERSION = 2
APPLICATION_ID = 0x504D4A31  # "PMJ1"
LARGEST_WAL = 8 << 20
"""Bytes to which the write-ahead log is cut when it has been longer."""

_EVENTS = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, role TEXT NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL,
    blob BLOB NOT NULL, checksum INTEGER NOT NULL, UNIQUE (role, number)) STRICT;
"""
_OUTBOX = """
CREATE TABLE outbox (
    effect_id INTEGER PRIMARY KEY AUTOINCREMENT, seq INTEGER NOT NULL, position INTEGER NOT NULL,
    role TEXT NOT NULL, blob BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT;
CREATE INDEX outbox_by_role ON outbox (role, effect_id);
"""
_SNAPSHOTS = """
CREATE TABLE snapshots (
    role TEXT PRIMARY KEY, number INTEGER NOT NULL, seq INTEGER NOT NULL, blob BLOB NOT NULL,
    checksum INTEGER NOT NULL) STRICT;
"""
_OTHERS = """
CREATE TABLE facts (key TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT;
CREATE TABLE blocks (
    number INTEGER PRIMARY KEY, blob BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT;
CREATE TABLE transactions (
    hash BLOB PRIMARY KEY, key TEXT NOT NULL, sender BLOB NOT NULL, nonce INTEGER NOT NULL,
    attempt INTEGER NOT NULL, call BLOB NOT NULL, raw BLOB NOT NULL, checksum INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0, UNIQUE (key, attempt), UNIQUE (sender, nonce, attempt)) STRICT;
"""
_UNWRITABLE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY}
"""What may pass: also a tool that holds the file for a while."""
_CANNOT_READ = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}


class Guarded(AbstractContextManager[None]):
    """Turn SQLite's errors into journal errors."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, UnicodeDecodeError):  # SQLite quotes what it could not read
            raise JournalCorruptError(f"{self._path} is damaged.") from None
        if not isinstance(error, sqlite3.Error):
            return
        if isinstance(error, sqlite3.IntegrityError):
            raise JournalError(f"{self._path}: a record exists already.") from None
        code = getattr(error, "sqlite_errorcode", 0) or 0
        primary = code & 0xFF
        if primary in _UNWRITABLE or (primary == sqlite3.SQLITE_IOERR and code not in _CANNOT_READ):
            raise JournalFullError(f"{self._path} cannot be written ({error}).") from None
        if isinstance(error, sqlite3.OperationalError | sqlite3.ProgrammingError | sqlite3.InterfaceError):
            raise JournalError(f"{self._path}: {error}.") from None
        raise JournalCorruptError(f"{self._path}: {error}.") from None


def checksum(*parts: int | str | bytes) -> int:
    """Return the CRC-32 of typed parts, each framed by its length."""
    crc = 0
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        crc = zlib.crc32(len(raw).to_bytes(8, "big") + raw, crc)
    return crc


def open_database(path: Path) -> sqlite3.Connection:
    """Open or create the file, brought to the present format, checked.

    Raises:
        JournalFormatError, JournalCorruptError, JournalFullError, JournalError: see `Journal`.
    """
    if wal_state(path).damaged:
        raise JournalCorruptError(f"{path}-wal is damaged: records that were acknowledged cannot be read.")
    with Guarded(path):
        # isolation_level None: transactions are begun and ended by the journal alone.
        database = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        try:
            if database.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                raise JournalError(f"{path} is on a file system without write-ahead logging.")
            database.execute("PRAGMA synchronous = FULL")
            database.execute(f"PRAGMA journal_size_limit = {LARGEST_WAL}")
            _require_format(database, path)
            path.chmod(0o600)
        except BaseException as error:
            database.close()
            if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
                raise JournalFormatError(f"{path} is not a journal.", remedy=JournalCorruptError.remedy) from None
            raise
    return database


def open_to_read(path: Path) -> sqlite3.Connection:
    """Open a journal of the present format beside the process that writes it, or without one; nothing is changed.

    Raises:
        JournalFormatError: it is of another format, or none.
        JournalError: it cannot be opened.
    """
    with Guarded(path):
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=1.0)
        try:
            names = ("application_id", "user_version")
            found = tuple(database.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
        except BaseException:
            database.close()
            raise
    if found != (APPLICATION_ID, FORMAT_VERSION):
        database.close()
        raise JournalFormatError(f"{path} is no journal of format {FORMAT_VERSION}.")
    return database


def require_whole(database: sqlite3.Connection, path: Path) -> None:
    """Check that no event is missing: each role's are numbered without gaps from its snapshot on.

    Raises:
        JournalCorruptError: some are.
    """
    bases = dict(database.execute("SELECT role, number FROM snapshots").fetchall())
    for role, least, most, held in database.execute(
        "SELECT role, min(number), max(number), count(*) FROM events GROUP BY role"
    ):
        base = bases.get(role, 0)
        if least <= base or most - base != held:
            missing = most - base - held
            raise JournalCorruptError(f"{path}: {missing} of {most - base} events of the {role} are missing.")
    last = database.execute(
        "SELECT max(ifnull((SELECT max(seq) FROM events), 0), ifnull((SELECT max(seq) FROM snapshots), 0)),"
        " ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0)"
    ).fetchone()
    if last[0] != last[1]:
        raise JournalCorruptError(f"{path}: the last of {last[1]} events are missing.")


def _require_format(database: sqlite3.Connection, path: Path) -> None:
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if application == 0 and not database.execute("SELECT 1 FROM sqlite_schema").fetchone():
        # The identity is set in the same transaction: a crash leaves an empty file or a whole one.
        identity = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION};"
        schema = _EVENTS + _OUTBOX + _SNAPSHOTS + _OTHERS
        database.executescript(f"BEGIN IMMEDIATE; {schema} {identity} COMMIT;")
        return
    if application != APPLICATION_ID:
        raise JournalFormatError(f"{path} is not a journal.", remedy=JournalCorruptError.remedy)
    if version not in (FORMAT_VERSION, *_MIGRATIONS):
        raise JournalFormatError(f"{path} has format {version}; this version reads 1 to {FORMAT_VERSION}.")
    for (problem,) in database.execute("PRAGMA quick_check(1)"):
        if problem != "ok":
            raise JournalCorruptError(f"{path} is damaged.")
    while version < FORMAT_VERSION:
        _migrate(database, path, version)
        version += 1


def _migrate(database: sqlite3.Connection, path: Path, version: int) -> None:
    """Bring a file to the next format: wholly, or not at all."""
    database.execute("BEGIN IMMEDIATE")
    try:
        _MIGRATIONS[version](database, path)
        database.execute(f"PRAGMA user_version = {version + 1}")
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _from_1(database: sqlite3.Connection, path: Path) -> None:
    """Format 1 numbered the events of all roles together, and kept finished effects."""
    for table in ("events", "outbox"):
        database.execute(f"ALTER TABLE {table} RENAME TO {table}_1")
    for index in ("events_by_role", "outbox_pending"):
        database.execute(f"DROP INDEX IF EXISTS {index}")
    for statement in (_EVENTS + _OUTBOX + _SNAPSHOTS).split(";")[:-1]:
        database.execute(statement)
    numbers: dict[str, int] = {}
    for expected, row in enumerate(database.execute("SELECT * FROM events_1 ORDER BY seq"), 1):
        seq, role, at, blob, crc = row
        if seq != expected or checksum(seq, role, at, blob) != crc:
            raise JournalCorruptError(f"{path}: event {expected} is missing or does not match its checksum.")
        number = numbers[role] = numbers.get(role, 0) + 1
        values = (seq, role, number, at, blob, checksum(seq, role, number, at, blob))
        database.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", values)
    database.execute(
        "INSERT INTO outbox SELECT effect_id, seq, position, role, blob, checksum FROM outbox_1 WHERE done = 0"
    )
    # No id is given twice: an effect of before must never be taken for one of after.
    for table in ("events", "outbox"):
        row = database.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (f"{table}_1",)).fetchone()
        database.execute("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        database.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (table, row[0] if row else 0))
        database.execute(f"DROP TABLE {table}_1")


_MIGRATIONS: dict[int, Callable[[sqlite3.Connection, Path], None]] = {1: _from_1}
