# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal keeps everything that it returned from, and refuses to be a different history."""

from __future__ import annotations

import signal
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from market import journal as market_journal
from node.chain.store import TransactionStore
from node.data_folder import open_data_folder
from node.journal import KEPT_TRANSACTIONS, Journal, open_journal
from node.journal_format import FORMAT_VERSION
from node.journal_wal import wal_state
from protocol.errors import (
    JournalCorruptError,
    JournalError,
    JournalFormatError,
    JournalFullError,
    JournalLostError,
)

ROLES = ("client", "prover")

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
        "UPDATE events SET role = 'client', number = 4 WHERE seq = 4",
        "UPDATE events SET number = 9 WHERE seq = 3",
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


def test_a_journal_of_format_1_is_brought_to_the_present_one_with_nothing_lost(tmp_path: Path) -> None:
    path = old_journal(tmp_path)
    with Journal(path) as journal:
        assert [market_journal.decode_event(blob).__class__.__name__ for blob in journal.events("prover")] == [
            "OrderSeen",
            "AwardReceived",
            "InputOpened",
            "WitnessReady",
        ]
        assert len(list(journal.events("client"))) == 3 and journal.roles() == ["client", "prover"]
        pending = {role: [market_journal.decode_effect(blob) for _, blob in journal.pending(role)] for role in ROLES}
        assert [type(effect).__name__ for effect in pending["prover"]] == ["ComputeWitness", "StartProof"]
        assert [type(effect).__name__ for effect in pending["client"]] == ["Announce", "SendAward"]
        assert journal.get("cursor") == b"7"
        (signed,) = TransactionStore(journal).unfinished(b"\x01" * 20)
        assert (signed.key, signed.nonce) == ("lock-x", 3)
        assert journal.append("client", b"next", [b"z"]) == [6]
        assert journal.database.execute("SELECT max(seq) FROM events").fetchone()[0] == 8
    with Journal(path) as journal:
        assert journal.database.execute("PRAGMA user_version").fetchone()[0] == FORMAT_VERSION


def test_a_damaged_journal_of_format_1_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    for damage in ("UPDATE events SET blob = x'00' WHERE seq = 3", "DELETE FROM events WHERE seq = 2"):
        path = old_journal(tmp_path)
        with closing(sqlite3.connect(path)) as database:
            database.execute(damage)
            database.commit()
            before = list(database.iterdump())
        with pytest.raises(JournalCorruptError):
            Journal(path)
        with closing(sqlite3.connect(path)) as database:
            assert list(database.iterdump()) == before
            assert database.execute("PRAGMA user_version").fetchone() == (1,)
        path.unlink()


def test_a_snapshot_stands_for_the_events_before_it_and_their_order_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.append("client", b"a", [b"x"])
        journal.append("prover", b"p", [])
        journal.append("client", b"b", [b"y"], finishes=[1])
        journal.compact("client", b"state of a and b")
        journal.append("client", b"c", [])
    with Journal(path) as journal:
        assert journal.snapshot("client") == b"state of a and b" and list(journal.events("client")) == [b"c"]
        assert journal.pending("client") == [(2, b"y")]
        assert journal.snapshot("prover") is None and list(journal.events("prover")) == [b"p"]
        assert journal.select("SELECT seq, role FROM events ORDER BY seq") == [(2, "prover"), (4, "client")]
        journal.compact("client", b"state of c")
        journal.compact("prover", b"state of p")
        journal.compact("verifier", b"a state without events")
        assert journal.roles() == ["client", "prover", "verifier"]
    with Journal(path) as journal:
        assert journal.append("prover", b"q", [b"z"]) == [3]
        assert journal.select("SELECT seq, number FROM events") == [(5, 2)]


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM snapshots",
        "UPDATE snapshots SET number = 1",
        "UPDATE snapshots SET blob = x'ff'",
        "DELETE FROM events WHERE seq = 3",
        "DELETE FROM events",
    ],
)
def test_a_changed_or_lost_snapshot_is_an_error(tmp_path: Path, damage: str) -> None:
    with Journal(tmp_path / "j") as journal:
        for event in (b"a", b"b"):
            journal.append("client", event, [])
        journal.compact("client", b"state")
        journal.append("client", b"c", [])
        journal.append("client", b"d", [])
    with closing(sqlite3.connect(tmp_path / "j")) as database:
        database.execute(damage)
        database.commit()
    with pytest.raises(JournalCorruptError), Journal(tmp_path / "j") as journal:
        journal.snapshot("client")


def test_the_file_grows_with_what_is_in_work_and_not_with_what_was_done(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path) as journal:
        sizes = []
        for _ in range(6):
            for number in range(60):
                journal.append("prover", bytes(2_500), [bytes(1_000)], finishes=[number])
            for effect_id, _ in journal.pending("prover"):
                journal.finish(effect_id)
            journal.compact("prover", bytes(5_000))
            sizes.append(path.stat().st_size)
    assert sizes[-1] == sizes[2] and path.stat().st_size < 1 << 20


def test_mined_transactions_are_forgotten_in_the_end_and_no_other(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        sender = b"\x01" * 20
        last = KEPT_TRANSACTIONS + 10
        with journal.transaction() as database:
            database.executemany(
                "INSERT INTO transactions VALUES (?, ?, ?, ?, 0, x'', x'', 0, ?)",
                [(n.to_bytes(32, "big"), f"key {n}", sender, n, n != 2) for n in range(last + 1)],
            )
        journal.compact("prover", b"state")
        kept = [row[0] for row in journal.select("SELECT nonce FROM transactions ORDER BY nonce")]
        assert kept == [2, *range(11, last + 1)]


COMPACTOR = """
import sys
from pathlib import Path
from node.journal import Journal
journal = Journal(Path(sys.argv[1]))
n = int.from_bytes(journal.snapshot("prover") or b"", "big") + len(list(journal.events("prover")))
while True:
    journal.append("prover", b"event %d" % n, [b"effect %d" % n])
    n += 1
    if n % 3 == 0:
        journal.compact("prover", n.to_bytes(8, "big"))
    for effect_id, blob in journal.pending("prover")[:-1]:
        journal.finish(effect_id)
    print(n, flush=True)
"""


def test_killed_at_any_moment_of_writing_and_compacting_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    path, total = tmp_path / "j", 0
    for delay_ms in (1, 3, 5, 8, 13, 2, 7):
        writer = subprocess.Popen(
            [sys.executable, "-c", COMPACTOR, str(path)], stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert writer.stdout is not None
        first = int(writer.stdout.readline())
        assert first == total + 1 or first == total + 2  # one more may have been written than was said
        time.sleep(delay_ms / 1000)
        writer.send_signal(signal.SIGKILL)
        said = [first, *(int(line) for line in writer.communicate()[0].splitlines())][-1]
        with Journal(path) as journal:
            base = int.from_bytes(journal.snapshot("prover") or b"", "big")
            events = list(journal.events("prover"))
            total = base + len(events)
            assert said <= total <= said + 1
            assert events == [b"event %d" % n for n in range(base, total)]
            assert journal.pending("prover")[-1][1] == b"effect %d" % (total - 1)


def left_by_a_kill(folder: Path) -> tuple[bytes, bytes]:
    """A journal whose writer was killed: the bytes of the database, and of a WAL with many commits."""
    with Journal(folder / "j") as journal:
        journal.append("client", b"first", [])
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder / "j")], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(12):
        writer.stdout.readline()
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    return (folder / "j").read_bytes(), (folder / "j-wal").read_bytes()


def test_a_log_cut_anywhere_is_a_prefix_of_the_history_and_a_whole_one(tmp_path: Path) -> None:
    database, log = left_by_a_kill(tmp_path)
    counts = []
    for length in sorted({*range(0, len(log), 1_537), *range(max(0, len(log) - 64), len(log) + 1, 7), len(log)}):
        path = fresh_copy(tmp_path, database, log[:length])
        with Journal(path) as journal:
            events = list(journal.events("prover"))
            assert list(journal.events("client")) == [b"first"]
            assert events == [b"event %d" % n for n in range(len(events))]
            assert [effect for _, effect in journal.pending("prover")] == [b"effect %d" % n for n in range(len(events))]
            counts.append(len(events))
    assert counts == sorted(counts) and counts[0] == 0 and counts[-1] >= 12


def test_a_log_damaged_anywhere_but_in_its_last_record_stops_the_node(tmp_path: Path) -> None:
    database, log = left_by_a_kill(tmp_path)
    whole = wal_state(tmp_path / "j")
    assert whole.valid_frames > 20 and not whole.damaged
    with Journal(fresh_copy(tmp_path, database, log)) as journal:
        acknowledged = list(journal.events("prover"))
    refused = 0
    for offset in range(0, len(log), 1_999):
        changed = bytearray(log)
        changed[offset] ^= 0x10
        try:
            with Journal(fresh_copy(tmp_path, database, bytes(changed))) as journal:
                # At most the last record is cut: it may have been torn.
                assert list(journal.events("prover")) in (acknowledged, acknowledged[:-1])
        except JournalCorruptError:
            refused += 1
    assert refused > 20


def fresh_copy(folder: Path, database: bytes, log: bytes) -> Path:
    for left in folder.glob("copy*"):
        left.unlink()
    (folder / "copy").write_bytes(database)
    (folder / "copy-wal").write_bytes(log)
    return folder / "copy"


def old_journal(folder: Path) -> Path:
    """A journal as format 1 wrote it."""
    path = folder / "old"
    with closing(sqlite3.connect(path)) as database:
        database.executescript((Path(__file__).parent / "journal_format_1.sql").read_text())
    return path


def test_what_cannot_be_written_is_said_to_be_so_and_leaves_no_transaction_open(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append("client", b"a", [])
        pages = journal.database.execute("PRAGMA page_count").fetchone()[0]
        journal.database.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(JournalFullError, match="PM-JRN-004"):
            journal.append("client", bytes(100_000), [])
        assert not journal.database.in_transaction and list(journal.events("client")) == [b"a"]
        journal.database.execute("PRAGMA max_page_count = 100000")
        journal.database.execute("PRAGMA query_only = ON")
        with pytest.raises(JournalFullError):
            journal.append("client", b"b", [])
        journal.database.execute("PRAGMA query_only = OFF")
        journal.append("client", b"b", [])
        assert list(journal.events("client")) == [b"a", b"b"]


def test_a_tool_that_holds_the_file_for_a_while_is_no_end(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.database.execute("PRAGMA busy_timeout = 10")
        with closing(sqlite3.connect(tmp_path / "j", isolation_level=None)) as tool:
            tool.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalFullError):
                journal.append("client", b"a", [])
            tool.execute("ROLLBACK")
        journal.append("client", b"a", [])
        assert list(journal.events("client")) == [b"a"]


@pytest.mark.parametrize("loss", ["removed", "emptied"])
def test_a_lost_journal_is_not_taken_for_a_new_one(tmp_path: Path, loss: str) -> None:
    folder = open_data_folder(tmp_path / "data")
    with open_journal(folder) as journal:
        journal.append("prover", b"an event", [])
        folder.status.write_text("{}")  # as a node does while it runs
        copies = {path.name: path.read_bytes() for path in folder.path.glob("journal.sqlite*")}
    with open_journal(folder):
        pass
    for name, content in copies.items():
        (folder.path / name).write_bytes(content)  # as a power cut leaves it, its log beside it
    folder.journal.unlink()
    if loss == "emptied":
        folder.journal.touch()
    with pytest.raises(JournalLostError):
        open_journal(folder)
    assert all((folder.path / name).read_bytes() == copies[name] for name in copies if name != "journal.sqlite")
    folder.status.unlink()
    open_journal(folder).close()
