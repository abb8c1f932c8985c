# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of the cluster are looked at truly, and all of them end: asked, forced, or orphaned."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from sims.cluster.processes import (
    Child,
    cpu_seconds,
    disk_bytes,
    environment,
    open_files,
    resident_bytes,
    session_of,
    start,
    stop_all,
)

GUARD_SECONDS = 60.0
SLEEP = "import time; time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {SLEEP}"


async def _sleeper(folder: Path, code: str = SLEEP) -> Child:
    return await start([sys.executable, "-S", "-c", code], os.environ, folder / "log")


async def _gone(child: Child) -> None:
    with trio.fail_after(GUARD_SECONDS):
        while session_of([child.leash.pid]):
            await trio.sleep(0.02)


async def test_a_child_is_the_command_and_not_its_leash(tmp_path: Path) -> None:
    child = await _sleeper(tmp_path)
    assert child.pid != child.leash.pid
    assert set(session_of([child.leash.pid])) == {child.pid, child.leash.pid}
    assert resident_bytes(child.pid) > 1_000_000 and open_files(child.pid) >= 3 and cpu_seconds(child.pid) >= 0
    assert await child.stop() is not None
    await _gone(child)
    assert (resident_bytes(child.pid), open_files(child.pid), cpu_seconds(child.pid)) == (0, 0, 0.0)


async def test_everything_that_was_started_ends_at_once(tmp_path: Path) -> None:
    children = [await _sleeper(tmp_path) for _ in range(3)]
    children[1].send(signal.SIGSTOP)
    children[2].send(signal.SIGKILL)
    with trio.fail_after(GUARD_SECONDS):
        await stop_all()
    for child in children:
        await _gone(child)


async def test_who_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sims.cluster.processes.STOP_SECONDS", 0.2)
    child = await _sleeper(tmp_path, DEAF)
    with trio.fail_after(GUARD_SECONDS):
        while "deaf" not in (tmp_path / "log").read_text():
            await trio.sleep(0.02)
        assert await child.stop() is None
    await _gone(child)


def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys, trio; from pathlib import Path; from sims.cluster.processes import start\n"
        "async def main():\n"
        f"    log = Path({str(tmp_path)!r}) / 'log'\n"
        f"    child = await start([sys.executable, '-S', '-c', {SLEEP!r}], os.environ, log)\n"
        "    print(child.leash.pid, flush=True)\n"
        "    await trio.sleep_forever()\n"
        "trio.run(main)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    leader = int(parent.stdout.readline())
    assert len(session_of([leader])) == 2
    parent.kill()
    parent.wait()

    async def gone() -> None:
        with trio.fail_after(GUARD_SECONDS):
            while session_of([leader]):
                await trio.sleep(0.02)

    trio.run(gone)


def test_a_node_of_the_cluster_sees_no_setting_of_the_operators_own() -> None:
    os.environ["PROOFMESH_RPC_URL"] = "http://somewhere"
    try:
        found = environment(Path("/data"), Path("/password"), {"PROOFMESH_POLL_MS": "500"})
    finally:
        del os.environ["PROOFMESH_RPC_URL"]
    assert {key: value for key, value in found.items() if key.startswith("PROOFMESH_")} == {
        "PROOFMESH_DATA_DIR": "/data",
        "PROOFMESH_PASSWORD_FILE": "/password",
        "PROOFMESH_POLL_MS": "500",
    }


def test_disk_is_the_sum_of_files_below(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"123")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b").write_bytes(b"4567")
    assert disk_bytes(tmp_path) == 7
