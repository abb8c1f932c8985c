# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: what happened, and what is still to be done, on disk before anything is done.

One SQLite file in WAL mode with synchronous=FULL: when a call returns, its rows survive a power cut.
An event and the effects that it asked for are written in one transaction; an effect stays in the
outbox until it is finished. Rows carry a CRC-32 over everything they say, and events are numbered
without gaps, so a damaged or lost record is an error and never a different history.

Calls are synchronous (a few ms) and for one task: the shell's. That one process writes is the data
folder's lock to enforce; others may open the journal to read.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from protocol.errors import JournalCorruptError, JournalError, JournalFormatError

FORMAT_VERSION = 1
APPLICATION_ID = 0x504D4A31  # "PMJ1"

_SCHEMA = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, role TEXT NOT NULL, at INTEGER NOT NULL,
    blob BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT;
CREATE INDEX events_by_role ON events (role, seq);
CREATE TABLE outbox (
    effect_id INTEGER PRIMARY KEY AUTOINCREMENT, seq INTEGER NOT NULL, position INTEGER NOT NULL,
    role TEXT NOT NULL, blob BLOB NOT NULL, checksum INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX outbox_pending ON outbox (role, effect_id) WHERE done = 0;
CREATE TABLE facts (key TEXT PRIMARY KEY, value BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT;
CREATE TABLE blocks (
    number INTEGER PRIMARY KEY, blob BLOB NOT NULL, checksum INTEGER NOT NULL) STRICT;
CREATE TABLE transactions (
    hash BLOB PRIMARY KEY, key TEXT NOT NULL, sender BLOB NOT NULL, nonce INTEGER NOT NULL,
    attempt INTEGER NOT NULL, call BLOB NOT NULL, raw BLOB NOT NULL, checksum INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0, UNIQUE (key, attempt), UNIQUE (sender, nonce, attempt)) STRICT;
"""


class Journal:
    """Events, outbox and small facts of one node. Also a context manager that closes it."""

    def __init__(self, path: Path, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        """Open or create the file.

        Raises:
            JournalFormatError: it is another version's, or not a journal.
            JournalCorruptError: SQLite or the numbering of events says that it is damaged.
            JournalError: it cannot be opened.
        """
        self._path = path
        self._now_ns = now_ns
        self.database = _open_database(path)
        with _Guarded(path):
            lowest, highest, count = self.database.execute(
                "SELECT min(seq), max(seq), count(*) FROM events"
            ).fetchone()
        if count and (lowest != 1 or highest != count):
            self.close()
            raise JournalCorruptError(f"{path}: {highest - count} of {highest} events are missing.")

    def append(
        self, role: str, event: bytes, effects: Sequence[bytes], finishes: Sequence[int] = ()
    ) -> list[int]:
        """Write an event, the effects it asks for, and which earlier effects it ends; all or nothing.

        Returns:
            The ids of the effects, in order.

        Raises:
            JournalError: nothing was written.
        """
        at = self._now_ns()
        identities: list[int] = []
        with self.transaction() as database:
            seq = int(database.execute("SELECT ifnull(max(seq), 0) + 1 FROM events").fetchone()[0])
            database.execute(
                "INSERT INTO events (seq, role, at, blob, checksum) VALUES (?, ?, ?, ?, ?)",
                (seq, role, at, event, checksum(seq, role, at, event)),
            )
            for position, effect in enumerate(effects):
                row = database.execute(
                    "INSERT INTO outbox (seq, position, role, blob, checksum) VALUES (?, ?, ?, ?, ?)",
                    (seq, position, role, effect, checksum(seq, position, role, effect)),
                )
                identities.append(int(row.lastrowid or 0))
            for effect_id in finishes:
                database.execute("UPDATE outbox SET done = 1 WHERE effect_id = ?", (effect_id,))
        return identities

    def finish(self, effect_id: int) -> None:
        """Take an effect out of the outbox; once done, done."""
        with self.transaction() as database:
            database.execute("UPDATE outbox SET done = 1 WHERE effect_id = ?", (effect_id,))

    def events(self, role: str) -> Iterator[bytes]:
        """Yield the events of a role, oldest first.

        Raises:
            JournalCorruptError: a record is damaged.
        """
        rows = self.select("SELECT seq, at, blob, checksum FROM events WHERE role = ? ORDER BY seq", role)
        for seq, at, blob, crc in rows:
            if checksum(seq, role, at, blob) != crc:
                raise JournalCorruptError(f"{self._path}: event {seq} does not match its checksum.")
            yield blob

    def pending(self, role: str) -> list[tuple[int, bytes]]:
        """Return (id, effect) of everything in the outbox of a role, oldest first.

        Raises:
            JournalCorruptError: a record is damaged.
        """
        found: list[tuple[int, bytes]] = []
        rows = self.select(
            "SELECT effect_id, seq, position, blob, checksum FROM outbox"
            " WHERE role = ? AND done = 0 ORDER BY effect_id",
            role,
        )
        for effect_id, seq, position, blob, crc in rows:
            if checksum(seq, position, role, blob) != crc:
                raise JournalCorruptError(f"{self._path}: effect {effect_id} does not match its checksum.")
            found.append((effect_id, blob))
        return found

    def put(self, key: str, value: bytes) -> None:
        """Remember a small fact (a cursor, an id) under a key, replacing what was there."""
        with self.transaction() as database:
            database.execute("REPLACE INTO facts VALUES (?, ?, ?)", (key, value, checksum(key, value)))

    def get(self, key: str) -> bytes | None:
        """Return the fact under a key, or None.

        Raises:
            JournalCorruptError: the record is damaged.
        """
        for value, crc in self.select("SELECT value, checksum FROM facts WHERE key = ?", key):
            if checksum(key, value) != crc:
                raise JournalCorruptError(f"{self._path}: the fact {key} does not match its checksum.")
            return bytes(value)
        return None

    def select(self, query: str, *values: object) -> list[tuple]:  # type: ignore[type-arg]
        """Return all rows of a query; SQLite's errors become journal errors."""
        with _Guarded(self._path):
            return self.database.execute(query, values).fetchall()

    def transaction(self) -> _Transaction:
        """Return a context in which all writes happen, or none."""
        return _Transaction(self.database, self._path)

    def close(self) -> None:
        """Close the file; a closed journal refuses further calls."""
        self.database.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def checksum(*parts: int | str | bytes) -> int:
    """Return the CRC-32 of typed parts, each framed by its length."""
    crc = 0
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        crc = zlib.crc32(len(raw).to_bytes(8, "big") + raw, crc)
    return crc


class _Guarded(AbstractContextManager[None]):
    """Turn SQLite's errors into journal errors."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, sqlite3.OperationalError | sqlite3.ProgrammingError):
            raise JournalError(f"{self._path}: {error}.") from None
        if isinstance(error, sqlite3.IntegrityError):
            raise JournalError(f"{self._path}: a record exists already.") from None
        if isinstance(error, sqlite3.DatabaseError):
            raise JournalCorruptError(f"{self._path}: {error}.") from None


class _Transaction(AbstractContextManager[sqlite3.Connection]):
    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        self._database = database
        self._path = path

    def __enter__(self) -> sqlite3.Connection:
        with _Guarded(self._path):
            self._database.execute("BEGIN IMMEDIATE")
        return self._database

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _Guarded(self._path):
            if error is None:
                self._database.execute("COMMIT")
            elif self._database.in_transaction:
                self._database.execute("ROLLBACK")
        _Guarded(self._path).__exit__(kind, error, trace)


def _open_database(path: Path) -> sqlite3.Connection:
    with _Guarded(path):
        # isolation_level None: transactions are begun and ended by this module alone.
        database = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        try:
            if database.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
                raise JournalError(f"{path} is on a file system without write-ahead logging.")
            database.execute("PRAGMA synchronous = FULL")
            _require_format(database, path)
            path.chmod(0o600)
        except BaseException as error:
            database.close()
            if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
                raise JournalFormatError(f"{path} is not a journal.") from None
            raise
    return database


def _require_format(database: sqlite3.Connection, path: Path) -> None:
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if application == 0 and not database.execute("SELECT 1 FROM sqlite_schema").fetchone():
        # The identity is set in the same transaction: a crash leaves an empty file or a whole one.
        identity = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT_VERSION};"
        database.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} {identity} COMMIT;")
        return
    if application != APPLICATION_ID:
        raise JournalFormatError(f"{path} is not a journal.")
    if version != FORMAT_VERSION:
        raise JournalFormatError(f"{path} has format {version}; this version reads {FORMAT_VERSION}.")
    for (problem,) in database.execute("PRAGMA quick_check(1)"):
        if problem != "ok":
            raise JournalCorruptError(f"{path} is damaged.")
