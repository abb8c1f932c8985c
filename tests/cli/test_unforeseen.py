# SPDX-License-Identifier: GPL-3.0-or-later
"""What no command foresaw still ends with a code and a remedy, and quotes no input."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from command_line import Shell

from node.cli import app
from node.cli.arguments import Session

ROOT = Path(__file__).parents[2]


def _made_to_raise(monkeypatch: pytest.MonkeyPatch, error: BaseException, *, in_nursery: bool = False) -> None:
    async def program() -> None:
        async with trio.open_nursery():
            raise error

    def account(session: Session) -> None:
        if in_nursery:
            trio.run(program)
        raise error

    monkeypatch.setattr(Session, "address", account)


@pytest.mark.parametrize("in_nursery", [False, True])
def test_a_bug_is_called_one_without_the_text_of_its_exception(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, in_nursery: bool
) -> None:
    _made_to_raise(monkeypatch, ValueError("an input of 4711"), in_nursery=in_nursery)
    said = shell("account", "show", exit_code=1)
    assert said["error"] == "PM-GEN-001" and "ValueError" in said["message"] and "--verbose" in said["remedy"]
    assert "4711" not in json.dumps(said)


def test_with_verbose_a_bug_shows_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _made_to_raise(monkeypatch, ValueError("an input of 4711"))
    with pytest.raises(ValueError):
        app.run(["--verbose", "--data-dir", str(tmp_path / "data"), "account", "show"])


def test_an_interrupt_in_a_nursery_is_an_interrupt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _made_to_raise(monkeypatch, KeyboardInterrupt(), in_nursery=True)
    assert app.run(["--data-dir", str(tmp_path / "data"), "account", "show"]) == 130


def test_a_file_that_cannot_be_written_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    _made_to_raise(monkeypatch, IsADirectoryError(errno.EISDIR, "Is a directory", "/some/where"))
    said = shell("account", "show", exit_code=3)
    assert said["error"] == "PM-CFG-006" and "/some/where" in said["message"]


def test_a_full_disk_is_called_one(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    _made_to_raise(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    said = shell("account", "show", exit_code=3)
    assert said["error"] == "PM-CFG-006" and "No space left" in said["message"]


@pytest.mark.parametrize("options", [[], ["--json"]])
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "whose reader has gone"])
def test_an_output_that_nobody_reads_is_no_reason_to_complain(
    tmp_path: Path, options: list[str], closed: bool
) -> None:
    words = [sys.executable, "-m", "proofmesh.main", "--data-dir", str(tmp_path / "data"), *options, "config", "show"]
    command = ["bash", "-c", f"exec {shlex.join(words)} {'>&-' if closed else ''}"]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120, cwd=ROOT)
    finally:
        os.close(writer)
    assert done.stderr == "" and done.returncode == (0 if closed else 1)
