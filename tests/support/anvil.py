# SPDX-License-Identifier: GPL-3.0-or-later
"""A real anvil as a synchronous context manager, for tests of the contracts."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from contracts.rpc import Rpc
from contracts.toolchain import foundry_binary

GENESIS_TIME = 1_800_000_000
_LISTENING = re.compile(r"Listening on 127\.0\.0\.1:(\d+)")
_START_SECONDS = 20.0


@contextmanager
def anvil(
    *, chain_id: int = 31337, timestamp: int = GENESIS_TIME, arguments: Sequence[str] = ()
) -> Iterator[str]:
    """Yield the URL of a fresh chain that mines at once, on a free port; it ends with the block."""
    command = [str(foundry_binary("anvil")), "--port", "0", "--chain-id", str(chain_id)]
    command += ["--timestamp", str(timestamp), "--accounts", "1", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    watchdog = threading.Timer(_START_SECONDS, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if found := _LISTENING.search(line):
                break
        else:
            raise RuntimeError(f"anvil ended before it listened: {said[-500:]}")
        watchdog.cancel()
        # Its log goes on; a full pipe would stop it.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        yield f"http://127.0.0.1:{found.group(1)}"
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()


def freeze_time(rpc: Rpc, timestamp: int) -> None:
    """Mine a block at `timestamp`; it stays the time of calls and blocks until it is set again."""
    rpc.call("anvil_setBlockTimestampInterval", 0)
    rpc.call("evm_setNextBlockTimestamp", timestamp)
    rpc.call("evm_mine")
