# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal: what happened, and what is still to be done, on disk before anything is done.

One SQLite file in WAL mode with synchronous=FULL: when a call returns, its rows survive a power cut.
An event and the effects that it asked for are written in one transaction; an effect stays in the
outbox until it is finished. Rows carry a CRC-32 over everything they say, and each role's events are
numbered without gaps, so a damaged or lost record is an error and never a different history.

A role's history is a snapshot of its machine's state and the events after it; `compact` replaces both by
a new snapshot, at once. So the file grows with what is in work, not with what was ever done. `seq` counts the
events of all roles, in the order in which they happened, also across snapshots.

Calls are synchronous (a few ms) and for one task: the shell's. That one process writes is the data
folder's lock to enforce; others may open the journal to read.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from node.data_folder import DataFolder
from node.journal_format import Guarded, checksum, open_database, open_to_read, require_whole
from protocol.errors import JournalCorruptError, JournalLostError

__all__ = ["KEPT_TRANSACTIONS", "Journal", "checksum", "open_journal"]

KEPT_TRANSACTIONS = 4_096
"""Mined transactions of an account that are kept, so that their keys are not used again."""


def open_journal(folder: DataFolder) -> Journal:
    """Open the journal of a data folder, or make it where no node has run yet.

    Raises:
        JournalLostError: a node has run here, and what it remembered is gone. Else as `Journal` does.
    """
    # To an empty file SQLite adds nothing from a log beside it: it removes the log.
    if folder.status.exists() and not (folder.journal.exists() and folder.journal.stat().st_size):
        raise JournalLostError(f"{folder.journal} is gone or empty, though a node has run here.")
    return Journal(folder.journal)


class Journal:
    """Events, snapshots, outbox and small facts of one node. Also a context manager that closes it."""

    def __init__(
        self, path: Path, *, now_ns: Callable[[], int] = time.time_ns, read_only: bool = False
    ) -> None:
        """Open or create the file; one of an older format is brought to the present one. `read_only` changes nothing.

        Raises:
            JournalFormatError: it is a newer version's, or not a journal.
            JournalCorruptError: SQLite, the write-ahead log or the numbering of events says that it is damaged.
            JournalFullError: the disk is full or cannot be written.
            JournalError: it cannot be opened.
        """
        self._path = path
        self._now_ns = now_ns
        self.database = open_to_read(path) if read_only else open_database(path)
        try:
            with Guarded(path):
                require_whole(self.database, path)
        except BaseException:
            self.close()
            raise

    def append(
        self, role: str, event: bytes, effects: Sequence[bytes], finishes: Sequence[int] = ()
    ) -> list[int]:
        """Write an event, the effects it asks for, and which earlier effects it ends; all or nothing.

        Returns:
            The ids of the effects, in order.

        Raises:
            JournalFullError: the disk is full or cannot be written; nothing was written.
            JournalError: nothing was written.
        """
        at = self._now_ns()
        identities: list[int] = []
        with self.transaction() as database:
            seq, number = self._last(role)
            seq, number = seq + 1, number + 1
            database.execute(
                "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)",
                (seq, role, number, at, event, checksum(seq, role, number, at, event)),
            )
            for position, effect in enumerate(effects):
                row = database.execute(
                    "INSERT INTO outbox (seq, position, role, blob, checksum) VALUES (?, ?, ?, ?, ?)",
                    (seq, position, role, effect, checksum(seq, position, role, effect)),
                )
                identities.append(int(row.lastrowid or 0))
            for effect_id in finishes:
                database.execute("DELETE FROM outbox WHERE effect_id = ?", (effect_id,))
        return identities

    def finish(self, effect_id: int) -> None:
        """Take an effect out of the outbox; once done, done."""
        with self.transaction() as database:
            database.execute("DELETE FROM outbox WHERE effect_id = ?", (effect_id,))

    def compact(self, role: str, state: bytes) -> None:
        """Replace a role's events by the state that they led to; its outbox stays. All or nothing.

        Args:
            role: whose events; `state` is what all of them together led to.
        """
        with self.transaction() as database:
            number = self._last(role)[1]
            seq = database.execute(
                "SELECT max(ifnull((SELECT max(seq) FROM events WHERE role = ?1), 0),"
                " ifnull((SELECT seq FROM snapshots WHERE role = ?1), 0))",
                (role,),
            ).fetchone()[0]
            values = (role, number, seq, state, checksum(role, number, seq, state))
            database.execute("REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?)", values)
            database.execute("DELETE FROM events WHERE role = ?", (role,))
            database.execute(
                "DELETE FROM transactions WHERE done = 1 AND nonce <="
                " (SELECT max(nonce) FROM transactions AS latest WHERE latest.sender = transactions.sender) - ?",
                (KEPT_TRANSACTIONS,),
            )

    def roles(self) -> list[str]:
        """Return the roles that have a history here, sorted."""
        return [row[0] for row in self.select("SELECT role FROM events UNION SELECT role FROM snapshots")]

    def length(self, role: str) -> int:
        """Return how many events a role has after its snapshot."""
        return int(self.select("SELECT count(*) FROM events WHERE role = ?", role)[0][0])

    def snapshot(self, role: str) -> bytes | None:
        """Return the state before the events of a role, None when they begin at the beginning.

        Raises:
            JournalCorruptError: the record is damaged.
        """
        rows = self.select("SELECT number, seq, blob, checksum FROM snapshots WHERE role = ?", role)
        for number, seq, blob, crc in rows:
            if checksum(role, number, seq, blob) != crc:
                raise JournalCorruptError(f"{self._path}: the {role}'s snapshot does not match its checksum.")
            return bytes(blob)
        return None

    def events(self, role: str) -> Iterator[bytes]:
        """Yield the events of a role after its snapshot, oldest first.

        Raises:
            JournalCorruptError: a record is damaged.
        """
        rows = self.select(
            "SELECT seq, number, at, blob, checksum FROM events WHERE role = ? ORDER BY number", role
        )
        for seq, number, at, blob, crc in rows:
            if checksum(seq, role, number, at, blob) != crc:
                raise JournalCorruptError(f"{self._path}: event {seq} does not match its checksum.")
            yield blob

    def pending(self, role: str) -> list[tuple[int, bytes]]:
        """Return (id, effect) of everything in the outbox of a role, oldest first.

        Raises:
            JournalCorruptError: a record is damaged.
        """
        found: list[tuple[int, bytes]] = []
        rows = self.select(
            "SELECT effect_id, seq, position, blob, checksum FROM outbox WHERE role = ? ORDER BY effect_id", role
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
        with Guarded(self._path):
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

    def _last(self, role: str) -> tuple[int, int]:
        """Return the last `seq` of all roles and the last `number` of one, zero when there is none."""
        row = self.database.execute(
            "SELECT ifnull((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0),"
            " max(ifnull((SELECT max(number) FROM events WHERE role = ?1), 0),"
            " ifnull((SELECT number FROM snapshots WHERE role = ?1), 0))",
            (role,),
        ).fetchone()
        return int(row[0]), int(row[1])


class _Transaction(AbstractContextManager[sqlite3.Connection]):
    def __init__(self, database: sqlite3.Connection, path: Path) -> None:
        self._database = database
        self._path = path

    def __enter__(self) -> sqlite3.Connection:
        with Guarded(self._path):
            self._database.execute("BEGIN IMMEDIATE")
        return self._database

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with Guarded(self._path):
            try:
                if error is None:
                    self._database.execute("COMMIT")
            finally:
                # A commit that failed (a full disk) leaves its transaction open.
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
        Guarded(self._path).__exit__(kind, error, trace)
