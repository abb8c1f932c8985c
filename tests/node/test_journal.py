# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal keeps everything that it returned from, and refuses to be a different history."""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from node.journal import Journal
from protocol.errors import JournalCorruptError, JournalError, JournalFormatError

WRITER = """
import sys
from pathlib import Path
from node.journal import Journal
journal = Journal(Path(sys.argv[1]))
n = 0
while True:
    journal.append("prover", b"event %d" % n, [b"effect %d" % n])
    print(n, flush=True)
    n += 1
"""


def test_events_and_pending_effects_survive_reopening(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        first = journal.append("client", b"a", [b"x", b"y"])
        journal.append("prover", b"other", [b"z"])
        second = journal.append("client", b"b", [], finishes=[first[0]])
        assert second == [] and first == [1, 2]
    with Journal(tmp_path / "j") as journal:
        assert list(journal.events("client")) == [b"a", b"b"]
        assert journal.pending("client") == [(2, b"y")]
        journal.finish(2)
        journal.finish(2)
        assert journal.pending("client") == [] and journal.pending("prover") == [(3, b"z")]
        assert list(journal.events("verifier")) == []
    assert stat.S_IMODE((tmp_path / "j").stat().st_mode) == 0o600


def test_an_append_that_fails_writes_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        (kept,) = journal.append("client", b"a", [b"x"])
        with pytest.raises(JournalError):
            journal.append("client", b"b", [b"y", object()], finishes=[kept])  # type: ignore[list-item]
        assert list(journal.events("client")) == [b"a"] and journal.pending("client") == [(kept, b"x")]
        assert journal.append("client", b"c", [b"z"]) == [kept + 1]


def test_killed_at_any_moment_it_has_every_event_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "j"
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(20)]
    writer.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in writer.communicate()[0].splitlines()]
    with Journal(path) as journal:
        events = list(journal.events("prover"))
        assert events[: len(acknowledged)] == [b"event %d" % n for n in acknowledged]
        assert [effect for _, effect in journal.pending("prover")] == [
            event.replace(b"event", b"effect") for event in events
        ]


def test_facts_are_replaced(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        assert journal.get("cursor") is None
        journal.put("cursor", b"1")
        journal.put("cursor", b"2")
        assert journal.get("cursor") == b"2"


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE events SET blob = x'ff' WHERE seq = 2",
        "UPDATE events SET role = 'client' WHERE seq = 4",
        "UPDATE events SET at = at + 1 WHERE seq = 1",
        "UPDATE outbox SET blob = x'ff'",
        "UPDATE outbox SET seq = 9",
        "DELETE FROM events WHERE seq = 2",
        "DELETE FROM events WHERE seq = 1",
        "UPDATE facts SET value = x'ff'",
    ],
)
def test_a_changed_or_lost_record_is_an_error(tmp_path: Path, damage: str) -> None:
    with Journal(tmp_path / "j") as journal:
        for event in (b"a", b"b", b"c"):
            journal.append("client", event, [b"x"])
        journal.append("prover", b"d", [])
        journal.put("cursor", b"1")
    database = sqlite3.connect(tmp_path / "j")
    database.execute(damage)
    database.commit()
    database.close()
    with pytest.raises(JournalCorruptError, match="PM-JRN-003"), Journal(tmp_path / "j") as journal:
        list(journal.events("client"))
        journal.pending("client")
        journal.get("cursor")


def test_flipped_bytes_never_give_other_events(tmp_path: Path) -> None:
    events = [bytes([n]) * 600 for n in range(40)]
    with Journal(tmp_path / "j") as journal:
        for event in events:
            journal.append("client", event, [])
    whole = (tmp_path / "j").read_bytes()
    for offset in range(30, len(whole), 997):
        changed = bytearray(whole)
        changed[offset] ^= 0xFF
        (tmp_path / "changed").write_bytes(changed)
        try:
            with Journal(tmp_path / "changed") as journal:
                assert list(journal.events("client")) == events
        except JournalError:
            pass
        for left in tmp_path.glob("changed*"):
            left.unlink()


def test_another_format_or_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"not a database, but long enough to look like one" * 100)
    with pytest.raises(JournalFormatError):
        Journal(tmp_path / "text")
    Journal(tmp_path / "newer").close()
    for name, change in (("newer", "PRAGMA user_version = 99"), ("other", "CREATE TABLE t (a)")):
        database = sqlite3.connect(tmp_path / name)
        database.execute(change)
        database.close()
        with pytest.raises(JournalFormatError):
            Journal(tmp_path / name)


def test_a_folder_that_is_missing_or_a_closed_journal_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(JournalError):
        Journal(tmp_path / "none" / "j")
    journal = Journal(tmp_path / "j")
    journal.close()
    with pytest.raises(JournalError):
        journal.append("client", b"a", [])
