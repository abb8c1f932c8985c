# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on many rows shared with other processes of this machine.

A helper is `python -m` of the module that has the work to do, fed by pipes: fork would copy other threads' locks, and
multiprocessing's spawn runs the caller's script again. Secrets go through the pipe, not the command line.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np

from proving.groth16.binfile import Bytes

MAX_PROCESSES = 8
Compute = Callable[[bytes, Bytes], Bytes]
"""From a header and rows uint8[n, k] to as many rows of another width."""


def processes_for(work: int, worth_a_process: int) -> int:
    """Return how many processes pay for an amount of work."""
    return max(1, min(MAX_PROCESSES, len(os.sched_getaffinity(0)), work // worth_a_process))


def shared(module: str, compute: Compute, header: bytes, rows: Bytes, processes: int) -> Bytes:
    """Return `compute(header, rows)`: one part of it done here, the others by helpers that run `module`.

    What a helper fails to do is done here.
    """
    parts = np.array_split(rows, processes)
    helpers = [(part, _start(module, header, part)) for part in parts[1:]]
    results = [compute(header, parts[0])]
    for part, helper in helpers:
        output = helper.communicate()[0] if helper is not None else b""
        if helper is None or helper.returncode or len(output) != len(part) * results[0].shape[1]:
            results.append(compute(header, part))
        else:
            results.append(np.frombuffer(output, np.uint8).reshape(len(part), results[0].shape[1]))
    return np.concatenate(results)


def serve(compute: Compute, header_bytes: int, width: int) -> None:
    """Be a helper: header and rows from standard input, results to standard output."""
    data = sys.stdin.buffer.read()
    rows = np.frombuffer(data, np.uint8, offset=header_bytes).reshape(-1, width)
    sys.stdout.buffer.write(compute(data[:header_bytes], rows).tobytes())


def _start(module: str, header: bytes, part: Bytes) -> subprocess.Popen[bytes] | None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    try:
        helper = subprocess.Popen(
            [sys.executable, "-m", module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        assert helper.stdin is not None
        # The helper reads everything before it starts and answers when it is done, so no pipe fills up.
        helper.stdin.write(header + part.tobytes())
        helper.stdin.close()
        helper.stdin = None
    except OSError:
        return None
    return helper
