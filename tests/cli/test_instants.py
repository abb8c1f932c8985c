# SPDX-License-Identifier: GPL-3.0-or-later
"""Times that others chose: whatever they are, the operator still sees the jobs."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import Shell
from market_samples import AT, placed

from market import journal as market_journal
from market.events import CancelAsked
from node.cli.app import run
from node.cli.output import instant
from node.data_folder import open_data_folder
from node.journal import Journal


@pytest.mark.parametrize("second", [2**63, 2**255, -(2**63), 253_402_300_800])
def test_an_instant_beyond_the_calendar_is_a_number(second: int) -> None:
    assert instant(second) == f"second {second}"


def test_an_instant_to_come_says_in_how_many_seconds() -> None:
    assert "(in " in instant(int(time.time()) + 1000) and "(in " not in instant(5)


def test_the_journal_is_shown_whatever_an_order_says_of_its_end(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROOFMESH_PASSWORD", "a password of the tests")
    folder = open_data_folder(Path(shell("init", "--light")["data_dir"]))
    event = placed()
    far = event.order.model_copy(update={"promise_by": 10**14, "final_by": 10**14})
    event = replace(event, order=far)
    with Journal(folder.journal) as journal:
        for each in (event, CancelAsked(AT, event.order_hash)):
            journal.append("client", market_journal.encode(each), [])
    capsys.readouterr()
    assert run(["--data-dir", str(folder.path), "journal", "show"]) == 0
    assert event.order_hash.hex() in capsys.readouterr().out


def test_a_node_that_ended_is_not_said_to_run(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROOFMESH_PASSWORD", "a password of the tests")
    folder = open_data_folder(Path(shell("init", "--light")["data_dir"]))
    status = {"pid": 1, "at": 1, "peers_connected": 0, "storage": {"halted": ""}, "jobs": {}}
    folder.status.write_text(json.dumps(status))
    assert shell("status")["running"] is False
