# SPDX-License-Identifier: GPL-3.0-or-later
"""Workers: killable, replaced when they die, gone when the node is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import trio

from node.config import read_config
from node.workers import WARM_KEYS, WorkerPool, warm
from protocol.errors import SettingsError, WorkerDiedError

HANG_GUARD = 30.0
PARENT = """
import os, signal, time, trio
from node.workers import WorkerPool

# A shell starts what runs in its background with this signal ignored, and so did whoever started these tests.
signal.signal(signal.SIGINT, signal.default_int_handler)

async def main():
    async with WorkerPool(2) as pool, trio.open_nursery() as nursery:
        print(await pool.run(os.getpid), flush=True)
        nursery.start_soon(pool.run, time.sleep, 60)
        nursery.start_soon(pool.run, time.sleep, 60)
        await trio.sleep(0.3)
        print("busy", flush=True)

trio.run(main)
"""


def gone(pid: int) -> bool:
    """Tell whether a process has ended; a zombie of another parent has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


async def test_a_job_runs_elsewhere_and_its_error_comes_back_typed(tmp_path: Path) -> None:
    async with WorkerPool(1) as pool:
        assert await pool.run(os.getpid) != os.getpid()
        with pytest.raises(SettingsError):
            await pool.run(read_config, tmp_path)


async def test_a_killed_worker_is_an_error_and_the_next_job_gets_a_new_one() -> None:
    async with WorkerPool(1) as pool:
        first = await pool.run(os.getpid)
        with pytest.raises(WorkerDiedError, match="PM-WRK-001"):
            await pool.run(os._exit, 1)
        assert await pool.run(os.getpid) != first


async def test_cancelling_kills_the_worker() -> None:
    async with WorkerPool(1) as pool:
        pid = await pool.run(os.getpid)
        with trio.move_on_after(0.1):
            await pool.run(time.sleep, 60)
        assert gone(pid) and pool.busy() == 0


async def test_jobs_of_a_program_go_to_the_worker_that_had_it_while_it_is_free() -> None:
    async with WorkerPool(2) as pool:
        first = await pool.run(os.getpid, key="a")
        second = await pool.run(os.getpid, key="b")
        assert first != second
        assert [await pool.run(os.getpid, key=key) for key in "abba"] == [first, second, second, first]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(pool.run, time.sleep, 0.5, key="a"))
            await trio.sleep(0.1)
            # The other worker takes the job at once: a key is read in milliseconds.
            assert await pool.run(os.getpid, key="a") == second


async def test_a_dead_workers_keys_are_forgotten() -> None:
    async with WorkerPool(2) as pool:
        await pool.run(os.getpid, key="a")
        second = await pool.run(os.getpid, key="b")
        with pytest.raises(WorkerDiedError):
            await pool.run(os._exit, 1, key="a")
        assert await pool.run(os.getpid, key="a") == second


async def test_a_worker_that_holds_too_much_ends_after_its_job() -> None:
    async with WorkerPool(1, memory_bytes=1 << 20) as pool:
        assert await pool.run(os.getpid) != await pool.run(os.getpid)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_a_killed_parent(number: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    assert parent.stdout.readline() == "busy\n"
    pids = children(parent.pid)
    assert worker in pids and len(pids) >= 2
    parent.send_signal(number)
    parent.wait(10)
    deadline = time.monotonic() + HANG_GUARD
    while not all(gone(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert all(gone(pid) for pid in pids)


def test_warm_keys_are_loaded_once_and_bounded() -> None:
    loads: list[str] = []

    def load(key: str) -> str:
        return warm(key, lambda: loads.append(key) or key)  # type: ignore[func-returns-value]

    for key in ("a", "a", *map(str, range(WARM_KEYS)), "a"):
        assert load(key) == key
    assert loads == ["a", *map(str, range(WARM_KEYS)), "a"]
