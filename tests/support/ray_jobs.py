# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the Ray executor run on the cluster: importable there by plain name."""

from __future__ import annotations

import os
import time
from pathlib import Path

from protocol.errors import InputRangeError


def place() -> tuple[int, str]:
    """Return the process and the machine that the job runs on."""
    import ray

    return os.getpid(), ray.get_runtime_context().get_node_id()


def refuse() -> None:
    """Raise a typed error."""
    raise InputRangeError("out of range")


def write_later(path: str, seconds: float) -> None:
    """Leave a trace after a while."""
    time.sleep(seconds)
    Path(path).write_text("done")
