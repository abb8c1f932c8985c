# SPDX-License-Identifier: GPL-3.0-or-later
"""Tells a write-ahead log that was torn by a crash from one that is damaged.

SQLite reads a WAL up to the first frame that is not valid and drops the rest. After a crash that rest is at most
the one transaction that was being written (each commit is synced before the next begins), and it was never
acknowledged. Damage in the middle looks the same to SQLite, and whole acknowledged transactions would be gone
without a word: here it is found. Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = 0x377F0682
_WORD = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class WalState:
    """Frames that SQLite will read, and commits of the same log that lie behind them."""

    valid_frames: int
    commits_behind: int

    @property
    def damaged(self) -> bool:
        """Whether acknowledged transactions would be dropped: a torn write leaves one commit at most."""
        return self.commits_behind > 1


def wal_state(journal: Path) -> WalState:
    """Return how much of the write-ahead log beside a database is valid; nothing of a log that is not there."""
    try:
        log = journal.with_name(journal.name + "-wal").read_bytes()
    except OSError:
        return WalState(0, 0)
    if len(log) < _HEADER.size:
        return WalState(0, 0)
    magic, _, page_size, _, salt1, salt2, sum1, sum2 = _HEADER.unpack_from(log)
    order = "<" if magic == _MAGIC else ">"
    frame_size = _FRAME.size + page_size
    intact = magic | 1 == _MAGIC | 1 and _sums(log[: _HEADER.size - 8], order, (0, 0)) == (sum1, sum2)
    if not intact:
        # Only its first transaction writes the header, before any frame is synced.
        return WalState(0, _commits(log, _HEADER.size, 4096 + _FRAME.size, None))
    sums, frames, offset, last_commit = (sum1, sum2), 0, _HEADER.size, 0
    while offset + frame_size <= len(log):
        _, commit, frame_salt1, frame_salt2, found1, found2 = _FRAME.unpack_from(log, offset)
        sums = _sums(log[offset : offset + 8], order, sums)
        sums = _sums(log[offset + _FRAME.size : offset + frame_size], order, sums)
        if (frame_salt1, frame_salt2) != (salt1, salt2) or (found1, found2) != sums:
            break
        frames, offset = frames + 1, offset + frame_size
        last_commit = frames if commit else last_commit
    return WalState(last_commit, _commits(log, offset, frame_size, (salt1, salt2)))


def _commits(log: bytes, offset: int, frame_size: int, salts: tuple[int, int] | None) -> int:
    """Count frames from `offset` on that end a transaction of the log with these salts (None: those of the first)."""
    found = 0
    while offset + frame_size <= len(log):
        page, commit, salt1, salt2, _, _ = _FRAME.unpack_from(log, offset)
        salts = salts or (salt1, salt2)
        found += bool(page and commit and (salt1, salt2) == salts)
        offset += frame_size
    return found


def _sums(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    one, two = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & _WORD
        two = (two + second + one) & _WORD
    return one, two
