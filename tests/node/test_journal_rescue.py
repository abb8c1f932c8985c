# SPDX-License-Identifier: GPL-3.0-or-later
"""What a journal says to its operator: the state of every job, and what is left of it when it is damaged."""

from __future__ import annotations

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from market_samples import (
    AT,
    NOW,
    ORDER_HASH,
    a_bid,
    a_prover,
    a_verifier,
    an_award,
    award_received,
    bid_received,
    order_seen,
    placed,
    proof_received,
    settled,
)

from market import client, prover, verifier
from market.events import InputOpened, ProofChecked, Tick
from market.instants import SECOND
from node.chain.store import SignedTransaction, TransactionStore
from node.cli.app import run
from node.data_folder import open_data_folder
from node.job_overview import overview
from node.journal import Journal
from node.journal_rescue import records
from node.role_shell import RoleShell
from protocol.errors import JournalError

RAW = b"\x02\xf8 a signed transaction that could be broadcast"


class Clock:
    """Chain time that stands still."""

    def now(self) -> int:
        return NOW * SECOND


def busy_journal(path: Path) -> None:
    """A journal of a node that plays all roles, with jobs under way."""
    with Journal(path) as journal:
        buying = RoleShell("client", client.State(), client.transition, client.next_deadline, journal, Clock())
        for bought in (placed(), bid_received(a_bid()), Tick(AT + 2 * SECOND)):
            buying.feed(bought)
        proving = RoleShell("prover", a_prover(), prover.transition, prover.next_deadline, journal, Clock())
        proving.feed(order_seen())
        proving.feed(award_received(an_award(proving.state.jobs[ORDER_HASH].bid)))
        proving.feed(InputOpened(AT, ORDER_HASH))
        checking = RoleShell("verifier", a_verifier(), verifier.transition, verifier.next_deadline, journal, Clock())
        checking.feed(proof_received())
        for checked in (ProofChecked(AT, ORDER_HASH, True), settled()):
            checking.feed(checked)
        TransactionStore(journal).add(SignedTransaction("lock-x", b"\x01" * 20, 3, 0, b"\x02" * 32, b"\x03" * 32, RAW))
        journal.put("cursor", b"7")


def test_every_job_of_every_role_is_shown_with_what_is_to_be_done(tmp_path: Path) -> None:
    busy_journal(tmp_path / "j")
    shown = {job.role: job for job in overview(tmp_path / "j")}
    assert (shown["client"].phase, shown["prover"].phase, shown["verifier"].phase) == ("awarded", "witnessing", "done")
    assert shown["client"].effects == ("Announce", "SendAward") and shown["prover"].effects[-1] == "ComputeWitness"
    assert {job.order_hash for job in shown.values()} == {ORDER_HASH}


def test_the_jobs_of_a_running_node_are_shown_and_its_journal_is_not_touched(tmp_path: Path) -> None:
    busy_journal(tmp_path / "j")
    with Journal(tmp_path / "j") as journal:
        with journal.transaction():
            assert len(overview(tmp_path / "j")) == 3
        journal.append("client", b"goes on", [])
    with pytest.raises(JournalError):
        overview(tmp_path / "none")


def test_an_export_has_every_record_and_no_secret(tmp_path: Path) -> None:
    busy_journal(tmp_path / "j")
    found = list(records(tmp_path / "j"))
    assert all(record["intact"] for record in found)
    with Journal(tmp_path / "j") as journal:
        for table in ("events", "outbox", "snapshots", "transactions", "facts"):
            (count,) = journal.select(f"SELECT count(*) FROM {table}")[0]
            assert len([record for record in found if record["table"] == table]) == count > 0
    text = json.dumps(found)
    assert RAW.hex() not in text and '"raw"' not in text
    opened = [record for record in found if record.get("type") == "InputOpened"]
    assert opened[0]["fields"] == {"at": AT, "order_hash": "0x" + ORDER_HASH.hex()}


@pytest.mark.parametrize("place", [0.2, 0.4, 0.5, 0.6, 0.8, 0.95])
def test_of_a_damaged_journal_all_is_exported_but_what_lay_on_the_damaged_page(tmp_path: Path, place: float) -> None:
    path = tmp_path / "j"
    with Journal(path) as journal:
        for number in range(200):
            journal.append("prover", b"event %d " % number + bytes(400), [b"effect %d" % number])
    whole = bytearray(path.read_bytes())
    begin = int(len(whole) * place) // 4_096 * 4_096
    whole[begin : begin + 4_096] = b"\xa5" * 4_096
    path.write_bytes(whole)
    before = path.read_bytes()
    found = [r for r in records(path) if r["table"] == "events" and r["intact"]]
    assert len(found) >= 170
    assert all(bytes.fromhex(r["bytes"][2:]).startswith(b"event %d " % (r["number"] - 1)) for r in found)
    assert path.read_bytes() == before


def test_a_record_that_was_changed_is_exported_as_not_intact(tmp_path: Path) -> None:
    busy_journal(tmp_path / "j")
    with closing(sqlite3.connect(tmp_path / "j")) as database:
        database.execute("UPDATE events SET at = at + 1 WHERE seq = (SELECT min(seq) FROM events)")
        database.commit()
    assert [record["intact"] for record in records(tmp_path / "j") if record["table"] == "events"].count(False) == 1


def test_a_journal_of_format_1_is_exported_too(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old")) as database:
        database.executescript((Path(__file__).parent / "journal_format_1.sql").read_text())
    found = list(records(tmp_path / "old"))
    assert len([record for record in found if record["table"] == "events"]) == 7
    assert all(record["intact"] for record in found)


def test_the_commands_show_and_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = open_data_folder(tmp_path / "node")
    options = ["--data-dir", str(folder.path)]
    assert run(["--json", *options, "journal", "show"]) == 3
    assert "PM-JRN-001" in capsys.readouterr().out
    busy_journal(folder.journal)
    assert run(["--json", *options, "journal", "show"]) == 0
    jobs: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["jobs"]
    assert [job["role"] for job in jobs] == ["client", "prover", "verifier"]
    assert run([*options, "journal", "export"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(list(records(folder.journal)))
    with closing(sqlite3.connect(folder.journal)) as database:
        database.execute("UPDATE snapshots SET blob = x'ff'")
        database.commit()
    assert run(["--json", *options, "journal", "show"]) == 3
    assert "PM-JRN-003" in capsys.readouterr().out
    target = tmp_path / "export.jsonl"
    assert run(["--json", *options, "journal", "export", "--file", str(target)]) == 0
    assert json.loads(capsys.readouterr().out)["damaged"] == 3
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_damaged_journal_stops_a_node_with_its_code_and_the_way_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROOFMESH_PASSWORD", "a password of the tests")
    options = ["--json", "--data-dir", str(tmp_path / "node")]
    some = "0x" + "11" * 20
    assert run([*options, "init", "--light", "--escrow", some, "--registry", some]) == 0
    folder = open_data_folder(tmp_path / "node")
    busy_journal(folder.journal)
    with closing(sqlite3.connect(folder.journal)) as database:
        database.execute("DELETE FROM events WHERE seq = 2")
        database.commit()
    capsys.readouterr()
    assert run([*options, "verifier", "run"]) == 3
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["error"] == "PM-JRN-003" and "journal export" in said["remedy"]
