# SPDX-License-Identifier: GPL-3.0-or-later
"""The data folder is private and belongs to one process at a time."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from node.data_folder import open_data_folder
from protocol.errors import FolderError, FolderLockedError

HOLD = """
import sys
from pathlib import Path
from node.data_folder import open_data_folder
with open_data_folder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_new_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = open_data_folder(tmp_path / "a" / "b")
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700


def test_an_empty_open_folder_is_closed_and_a_used_one_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir(mode=0o755)
    assert stat.S_IMODE(open_data_folder(tmp_path / "empty").path.stat().st_mode) == 0o700
    used = tmp_path / "used"
    used.mkdir(mode=0o755)
    (used / "keystore.json").touch()
    with pytest.raises(FolderError, match="chmod 700"):
        open_data_folder(used)


def test_a_missing_folder_or_a_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="does not exist"):
        open_data_folder(tmp_path / "none", create=False)
    (tmp_path / "file").touch()
    with pytest.raises(FolderError):
        open_data_folder(tmp_path / "file")


def test_a_second_process_is_told_who_holds_the_folder_until_it_dies(tmp_path: Path) -> None:
    folder = open_data_folder(tmp_path / "node")
    command = [sys.executable, "-c", HOLD, str(folder.path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(FolderLockedError, match=f"process {holder.pid}"):
            with folder.locked():
                pass
    finally:
        holder.kill()
        holder.communicate()
    with folder.locked():
        assert (folder.path / "lock").read_text() == f"{os.getpid()}\n"


def test_free_space_is_checked(tmp_path: Path) -> None:
    folder = open_data_folder(tmp_path / "node")
    folder.require_free(1)
    with pytest.raises(FolderError, match="free"):
        folder.require_free(1 << 80)
