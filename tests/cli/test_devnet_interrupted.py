# SPDX-License-Identifier: GPL-3.0-or-later
"""Ctrl-C while a devnet starts: what was started ends too."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

DEADLINE = 120.0


def test_ctrl_c_ends_the_devnet_that_starts_and_a_second_one_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "proofmesh.main", "--data-dir", str(tmp_path / "data"), "devnet", "up"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_hears_ctrl_c
    ) as up:
        try:
            child = _child_that_works(up.pid, tmp_path / "data" / "devnet" / "lock")
            again = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
            assert again.returncode == 3 and "PM-CFG-003" in again.stderr
            up.send_signal(signal.SIGINT)
            assert up.wait(DEADLINE) == 130
        finally:
            up.kill()
        assert b"Traceback" not in up.stderr.read() if up.stderr else False
    assert not Path(f"/proc/{child}").exists()


def _hears_ctrl_c() -> None:
    """As at a terminal: what a shell starts in the background ignores it, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _child_that_works(parent: int, lock: Path) -> int:
    """Return the process that `devnet up` started once it holds its folder."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        for child in children.read_text().split():
            if lock.exists() and lock.read_text().strip() == child:
                return int(child)
        time.sleep(0.05)
    raise AssertionError("The devnet never held its folder.")
