# SPDX-License-Identifier: GPL-3.0-or-later
"""The story of a job at the terminal: words, styles that leave no trace in a pipe, ids that are whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from market.effects import Report
from node.cli.arguments import Session
from node.cli.job import _STORY, _tell
from node.cli.output import Output


@pytest.mark.parametrize("topic", [*_STORY, "something-new"])
@pytest.mark.parametrize("text", ["price", "PM-REF-001"])
def test_no_line_shows_markup(topic: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    session = Session(Path(), Output(as_json=False), None, {})
    _tell(session, Report(topic=topic, order_hash=bytes(32), account=bytes(20), amount=5, text=text))
    said = capsys.readouterr().err
    assert said.strip() and "[/" not in said and "\\" not in said and "{" not in said
    assert not any(f"[{style}]" in said for style in ("bold", "cyan", "yellow", "red", "green"))


def test_a_table_in_a_pipe_cuts_no_id_off(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    ids = ["0x" + digit * 64 for digit in "abc"]
    Output(as_json=False).table("T", ["a", "b", "c"], [ids])
    said = capsys.readouterr().out
    assert all(each in said for each in ids)


def test_a_narrow_table_folds_an_id(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    Output(as_json=False).table("T", ["X", "Y"], [["a" * 64, "c" * 64]])
    said = capsys.readouterr().out
    assert (said.count("a"), said.count("c")) == (64, 64)
