# SPDX-License-Identifier: GPL-3.0-or-later
"""Points at which a test can have this process killed: after each journal record and after each effect.

`PROOFMESH_CRASH_FILE` names a file. While it holds "NAME N", the process kills itself (SIGKILL) when it passes the
point NAME for the N-th time since then, and removes the file first, so that it does not die again after its restart.
Every point that is passed is added to FILE.passed. Without the variable a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

VARIABLE = "PROOFMESH_CRASH_FILE"
_file = os.environ.get(VARIABLE)
_counted: dict[str, int] = {}


def reached(name: str) -> None:
    """Say that a point is passed; does not return if the process is to die here."""
    if _file is not None:
        _pass(name, Path(_file))


def _pass(name: str, file: Path) -> None:
    with file.with_name(file.name + ".passed").open("a") as passed:
        passed.write(f"{name}\n")
    try:
        armed = file.read_text().strip()
    except FileNotFoundError:
        _counted.clear()
        return
    wanted, _, count = armed.rpartition(" ")
    if wanted == name:
        _counted[armed] = _counted.get(armed, 0) + 1
        if _counted[armed] >= int(count):
            file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
