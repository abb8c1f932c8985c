# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user sees of jobs agrees with the journal, wherever the process died between the two."""

from __future__ import annotations

from pathlib import Path

import pytest
from market_samples import AT, ORDER, ORDER_HASH, placed

from market import client
from market.client import Phase
from market.events import CancelAsked
from node.job_files import JobFileError, JobFiles


def test_a_job_without_a_picture_gets_one_and_an_order_never_placed_loses_its_own(tmp_path: Path) -> None:
    files = JobFiles(tmp_path / "jobs")
    state, _ = client.transition(client.State(), placed())
    files.agree(state.jobs)
    assert [entry["phase"] for entry in files.all()[0]] == ["collecting"]
    files.write(state.jobs[ORDER_HASH], [{"topic": "bid"}])
    files.agree(state.jobs)
    assert files.all()[0][0]["story"] == [{"topic": "bid"}]  # it is up to date, and stays as it is
    files.agree({})
    assert files.all() == ([], [])


def test_a_picture_that_is_older_than_its_job_is_made_anew_and_an_ended_one_stays(tmp_path: Path) -> None:
    files = JobFiles(tmp_path / "jobs")
    state, _ = client.transition(client.State(), placed())
    files.write(state.jobs[ORDER_HASH], [{"topic": "bid"}])
    state, _ = client.transition(state, CancelAsked(AT, ORDER_HASH))
    assert state.jobs[ORDER_HASH].phase is Phase.CANCELLED
    files.agree(state.jobs)
    assert [(entry["phase"], entry["story"]) for entry in files.all()[0]] == [("cancelled", [{"topic": "bid"}])]
    files.agree({})  # the machine forgets a job after its order's end; its user may still ask
    assert [entry["phase"] for entry in files.all()[0]] == ["cancelled"]
    assert files.all()[0][0]["price_cap_wei"] == str(ORDER.price_cap)


def test_files_that_are_no_pictures_are_left_alone(tmp_path: Path) -> None:
    files = JobFiles(tmp_path)
    for name in (f"{ORDER_HASH.hex()}.json", "notes.json", "z" * 64 + ".json", "x.cancel"):
        (tmp_path / name).write_text("{")
    (tmp_path / f"{ORDER_HASH.hex()}.cancel").mkdir()
    files.agree({})
    assert files.cancels() == []
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("damage", ["empty", "half", "list", "of another job", "without its phase", "nested", "folder"])
def test_a_damaged_picture_is_named_and_made_anew_from_the_journal(tmp_path: Path, damage: str) -> None:
    files = JobFiles(tmp_path)
    state, _ = client.transition(client.State(), placed())
    files.write(state.jobs[ORDER_HASH], [])
    path = tmp_path / f"{ORDER_HASH.hex()}.json"
    text = path.read_text()
    damaged = {
        "empty": "",
        "half": text[: len(text) // 2],
        "list": "[]",
        "of another job": text.replace(ORDER_HASH.hex(), "11" * 32),
        "without its phase": text.replace('"phase"', '"fase"'),
        "nested": "[" * 100_000,
    }
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        path.write_text(damaged[damage])
    with pytest.raises(JobFileError, match=ORDER_HASH.hex()):
        files.read(ORDER_HASH)
    shown, wrong = files.all()
    assert shown == [] and len(wrong) == 1
    files.agree(state.jobs)
    if damage != "folder":  # the operator has to move that away
        assert [entry["phase"] for entry in files.all()[0]] == ["collecting"]
