# SPDX-License-Identifier: GPL-3.0-or-later
"""What others wrote (a licence, a reason) is shown as text: it styles nothing and moves no cursor."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from rich.text import Text

from node.cli.app import run
from node.cli.output import Output
from protocol.errors import UsageError


def test_what_is_printed_is_text_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "[bold]free[/bold] [link=http://x]click[/link] \x1b[2J\r\x07\u202e"
    Output(as_json=False).table("T", ["a", "b"], [[hostile, Text("yes", "green")]])
    Output(as_json=False).say(hostile, lead=hostile)
    Output(as_json=False).error(UsageError(hostile))
    captured = capsys.readouterr()
    said = "".join((captured.out + captured.err).split())
    assert said.count("[bold]free[/bold]") == 4 and "[link=http://x]click[/link]" in said and "yes" in said
    assert not set("\x1b\r\x07\u202e") & set(said)


def test_the_version_is_that_of_the_project(capsys: pytest.CaptureFixture[str]) -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"proofmesh {project['version']}\n"
