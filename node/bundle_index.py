# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node remembers of each bundle on its disk: where it came from, when it was last used, whether to keep it.

One SQLite file beside the bundles. A command may write to it while a daemon runs. What is lost with it is no money and
no bundle: a bundle that the index does not know counts as the operator's own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import BundleDiskError

BUSY_SECONDS = 10.0
_TABLE = """
CREATE TABLE IF NOT EXISTS bundle (
    id BLOB PRIMARY KEY CHECK (length(id) = 32),
    fetched INTEGER NOT NULL DEFAULT 0,
    pinned INTEGER NOT NULL DEFAULT 0,
    used_at REAL NOT NULL DEFAULT 0
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """`fetched`: from a peer, so that it can be fetched again. `used_at`: Unix time, 0 if never."""

    fetched: bool = False
    pinned: bool = False
    used_at: float = 0.0


class BundleIndex:
    """The index in one file, made when it is missing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def entries(self) -> dict[bytes, Entry]:
        """Return what is known, by bundle id."""
        with self._open() as database:
            rows = database.execute("SELECT id, fetched, pinned, used_at FROM bundle").fetchall()
        return {identity: Entry(bool(fetched), bool(pinned), used_at) for identity, fetched, pinned, used_at in rows}

    def fetched(self, bundle_id: bytes, now: float) -> None:
        """Note that a bundle comes from peers; one that was pinned stays so."""
        self._set(bundle_id, "fetched = 1, used_at = max(used_at, :now)", now=now)

    def own(self, bundle_id: bytes) -> None:
        """Note that a bundle was made here."""
        self._set(bundle_id, "fetched = 0")

    def used(self, bundle_id: bytes, now: float) -> None:
        """Note that a bundle is used."""
        self._set(bundle_id, "used_at = max(used_at, :now)", now=now)

    def pin(self, bundle_id: bytes, *, pinned: bool) -> None:
        """Keep a bundle whatever the quota says, or no longer."""
        self._set(bundle_id, "pinned = :pinned", pinned=pinned)

    def forget(self, bundle_id: bytes) -> None:
        """Remove a bundle's entry."""
        with self._open() as database:
            database.execute("DELETE FROM bundle WHERE id = ?", (bundle_id,))

    def _set(self, bundle_id: bytes, change: str, **values: float) -> None:
        with self._open() as database:
            database.execute("INSERT OR IGNORE INTO bundle (id) VALUES (?)", (bundle_id,))
            database.execute(f"UPDATE bundle SET {change} WHERE id = :id", {"id": bundle_id, **values})

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            database = sqlite3.connect(self._path, timeout=BUSY_SECONDS)
            try:
                with database:
                    database.execute(_TABLE)
                    yield database
            finally:
                database.close()
        except sqlite3.Error as error:
            raise BundleDiskError(
                f"The index of bundles {self._path} cannot be used ({error}).",
                remedy="Remove the file if it is damaged: bundles then count as your own until they are fetched again.",
            ) from None
