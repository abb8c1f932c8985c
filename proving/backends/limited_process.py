# SPDX-License-Identifier: GPL-3.0-or-later
"""A command with a limit on its memory and its time, and what it used: how foreign provers and compilers run."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

_POLL_S = 0.05
_TAIL = 20_000
_confined = False


def confined() -> None:
    """Say that this process can make no other, and that limits hold for it: what would be a command runs in it."""
    global _confined
    _confined = True


def is_confined() -> bool:
    """Return whether this process can make no other."""
    return _confined


class End(StrEnum):
    """How a command ended; `FAILED` is an exit code other than 0."""

    DONE = "done"
    FAILED = "failed"
    MEMORY = "memory"
    TIME = "time"


@dataclass(frozen=True, slots=True)
class Usage:
    """`peak_bytes` is the largest resident size of the process itself, as the kernel counted it.

    `output` and `errors` are the last 20,000 bytes of each.
    """

    end: End
    seconds: float
    peak_bytes: int
    output: str
    errors: str


def run(command: Sequence[str], *, memory_bytes: int, seconds: float, environment: Mapping[str, str] | None = None,
        folder: Path | None = None) -> Usage:  # fmt: skip
    """Run a command in a process group of its own and kill the group at either limit.

    Resident memory is looked at every 50 ms (an address-space limit would count maps that are never touched).
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        start = time.monotonic()
        child = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True,
            env=None if environment is None else dict(environment), cwd=folder,
        )  # fmt: skip
        stopped: End | None = None
        try:
            while True:
                pid, status, used = os.wait4(child.pid, os.WNOHANG)
                if pid:
                    break
                if stopped is None:
                    stopped = _beyond(child.pid, memory_bytes, start + seconds)
                    if stopped is not None:
                        os.killpg(child.pid, signal.SIGKILL)
                time.sleep(_POLL_S)
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)
            raise
        elapsed = time.monotonic() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        end = stopped or (End.DONE if child.returncode == 0 else End.FAILED)
        texts = []
        for stream in (output, errors):
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _TAIL))
            texts.append(stream.read().decode("utf-8", "replace"))
    return Usage(end, elapsed, used.ru_maxrss * 1024, *texts)


def _beyond(pid: int, memory_bytes: int, deadline: float) -> End | None:
    if time.monotonic() > deadline:
        return End.TIME
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    return End.MEMORY if pages * os.sysconf("SC_PAGE_SIZE") > memory_bytes else None
