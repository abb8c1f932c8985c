# SPDX-License-Identifier: GPL-3.0-or-later
"""A foreign program ends at its limits, with everything that it started, and what it used is known."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from proving.backends.limited_process import End, run

PLENTY = 1 << 30


HOARD = "import time; held = bytearray(300 << 20); held[::4096] = bytes(len(held[::4096])); time.sleep(60)"


def test_output_errors_and_exit_code_come_back() -> None:
    used = run(
        [sys.executable, "-S", "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"],
        memory_bytes=PLENTY, seconds=30,
    )  # fmt: skip
    assert (used.end, used.output, used.errors) == (End.FAILED, "out\n", "err\n")
    assert used.peak_bytes > 1 << 20


def test_memory_beyond_the_limit_ends_it() -> None:
    used = run(
        [sys.executable, "-S", "-c", HOARD],
        memory_bytes=100 << 20,
        seconds=60,
    )
    assert used.end is End.MEMORY


def test_time_beyond_the_limit_ends_it_and_its_children(tmp_path: Path) -> None:
    late = tmp_path / "late"
    child = f"import time; time.sleep(3); open({str(late)!r}, 'w')"
    text = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-S', '-c', {child!r}]); time.sleep(60)"
    used = run([sys.executable, "-S", "-c", text], memory_bytes=PLENTY, seconds=1)
    assert used.end is End.TIME
    time.sleep(3.5)
    assert not late.exists()


def test_what_is_no_program_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        run(["no-such-program"], memory_bytes=PLENTY, seconds=1)
