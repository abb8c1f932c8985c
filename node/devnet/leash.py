# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a command that cannot outlive its parent: `python leash.py COMMAND ARGUMENT...`.

The parent holds the other end of standard input. When that closes, by will or because the parent was
killed, the command gets SIGTERM and, two seconds later, SIGKILL. The kernel kills the command if this
process is itself killed (PR_SET_PDEATHSIG is safe here: this process has one thread). Standard library
only, so that it starts in milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys

_PR_SET_PDEATHSIG = 1
_GRACE_S = 2.0


def main(command: list[str]) -> int:
    """Run the command; return its exit status."""
    libc = ctypes.CDLL(None, use_errno=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ours = os.getpid()

    def die_with_parent() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if os.getppid() != ours:
            os._exit(1)

    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
    signal.signal(signal.SIGTERM, lambda number, frame: child.terminate())
    exited = os.pidfd_open(child.pid)
    ready, _, _ = select.select([sys.stdin.fileno(), exited], [], [])
    if exited not in ready:
        child.terminate()
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) & 0xFF)
