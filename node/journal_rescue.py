# SPDX-License-Identifier: GPL-3.0-or-later
"""What a journal still says when it is damaged: every record that can be read, and whether it is intact.

The file is copied first and never changed. Where a page is damaged, SQLite ends a query: the table is then read from
its other end as well, so that only what lies on the damaged pages is missing. Signed transactions are named
by their hashes alone; nothing else in a journal is secret.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from market import journal as market_journal
from market.snapshot import read_plain
from node.journal_format import checksum
from node.journal_wal import wal_state
from protocol.errors import JournalError, ProofmeshError

TABLES = ("snapshots", "events", "outbox", "facts", "blocks", "transactions")
_EXACT = 2**53
Row = dict[str, Any]


def records(journal: Path) -> Iterator[Row]:
    """Yield every record that can be read, as plain values for JSON, each with its table and whether it is `intact`.

    Raises:
        JournalError: there is no such file.
    """
    if not journal.is_file():
        raise JournalError(f"There is no journal {journal}.")
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "journal.sqlite"
        for suffix in ("", "-wal"):
            source = journal.with_name(journal.name + suffix)
            if source.exists():
                shutil.copyfile(source, copy.with_name(copy.name + suffix))
        damaged = wal_state(copy).damaged
        with closing(sqlite3.connect(copy)) as database:
            for table in TABLES:
                yield from _table(database, table)
    if damaged:
        yield {"table": "wal", "intact": False, "said": "records after a damaged place of the log cannot be read"}


def _table(database: sqlite3.Connection, table: str) -> Iterator[Row]:
    seen: set[int] = set()
    for order in ("ASC", "DESC"):
        try:
            cursor = database.execute(f"SELECT rowid AS place, * FROM {table} ORDER BY place {order}")
            names = [column[0] for column in cursor.description]
            for values in cursor:
                if values[0] in seen:
                    return
                seen.add(values[0])
                yield {"table": table, **_plain_row(table, dict(zip(names[1:], values[1:], strict=True)))}
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if "no such table" in str(error):
                return
            if order == "DESC":
                yield {"table": table, "intact": False, "said": "some records cannot be read"}
            continue
        return


def _plain_row(table: str, row: Row) -> Row:
    try:
        intact = _sum(table, row) == row.pop("checksum")
    except (KeyError, TypeError):
        intact = False
    row.pop("raw", None)
    if "blob" in row:
        row |= _content(table, row.pop("blob"))
    return {**{name: plain(value) for name, value in row.items()}, "intact": intact}


def _sum(table: str, row: Row) -> int:
    covered = {
        "snapshots": ("role", "number", "seq", "blob"),
        "events": ("seq", "role", "number", "at", "blob"),
        "outbox": ("seq", "position", "role", "blob"),
        "facts": ("key", "value"),
        "blocks": ("number", "blob"),
        "transactions": ("hash", "key", "sender", "nonce", "attempt", "call", "raw"),
    }[table]
    return checksum(*(row[name] for name in covered if name in row))


def _content(table: str, blob: bytes) -> Row:
    decoders: dict[str, Callable[[bytes], Any]] = {
        "events": market_journal.decode_event,
        "outbox": market_journal.decode_effect,
        "snapshots": read_plain,
    }
    if table == "blocks":
        return {"block": blob.decode("utf-8", "replace")}
    try:
        value = decoders[table](blob)
    except ProofmeshError:
        return {"bytes": blob}
    if table == "snapshots":
        return {"state": value}
    return {"type": type(value).__name__, "fields": asdict(value)}


def plain(value: Any) -> Any:
    """Return a value for JSON: bytes in hex, integers that a double cannot hold as text."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if hasattr(value, "model_dump"):
        return plain(value.model_dump())
    if type(value) is int and abs(value) > _EXACT:
        return str(value)
    return value
