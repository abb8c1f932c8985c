# SPDX-License-Identifier: GPL-3.0-or-later
"""What others wrote (a licence, a reason) is shown as text: it styles nothing and moves no cursor."""

from __future__ import annotations

import pytest
from rich.text import Text

from node.cli.output import Output


def test_cells_are_text_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "[bold]free[/bold] [link=http://x]click[/link] \x1b[2J\r\x07\u202e"
    Output(as_json=False).table("T", ["a", "b"], [[hostile, Text("yes", "green")]])
    said = "".join(capsys.readouterr().out.split())
    assert "[bold]free[/bold]" in said and "[link=http://x]click[/link]" in said and "yes" in said
    assert not set("\x1b\r\x07\u202e") & set(said)
