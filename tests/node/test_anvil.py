# SPDX-License-Identifier: GPL-3.0-or-later
"""anvil is found or asked for, answers when started, and never outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from node.chain.client import ChainClient
from node.chain.rpc import RpcClient
from node.devnet import anvil as anvil_module
from node.devnet.anvil import find_anvil, run_anvil
from protocol.errors import AnvilFailedError, AnvilMissingError

HANG_GUARD = 30.0
PARENT = """
import sys, trio
from pathlib import Path
from node.devnet.anvil import find_anvil, run_anvil

async def main():
    async with run_anvil(find_anvil(), log=Path(sys.argv[1])) as anvil:
        print(anvil.pid, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


def family(leash: int) -> list[int]:
    return [leash, *map(int, Path(f"/proc/{leash}/task/{leash}/children").read_text().split())]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_it_answers_on_a_free_port_and_ends_with_the_block(tmp_path: Path) -> None:
    async with run_anvil(find_anvil(), log=tmp_path / "log", chain_id=77) as anvil:
        async with RpcClient(anvil.url) as rpc:
            assert await ChainClient(rpc).chain_id() == 77
        pids = family(anvil.pid)
        assert len(pids) == 2
    assert all(gone(pid) for pid in pids)


async def test_a_port_in_use_is_a_clear_error(tmp_path: Path) -> None:
    async with run_anvil(find_anvil(), log=tmp_path / "a") as first:
        with pytest.raises(AnvilFailedError, match="PM-DEV-002"):
            async with run_anvil(find_anvil(), log=tmp_path / "b", port=int(first.url.rpartition(":")[2])):
                pass


@pytest.mark.parametrize("killed", ["parent", "leash"])
def test_anvil_dies_with_its_parent_and_with_its_leash(tmp_path: Path, killed: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pids = family(int(parent.stdout.readline()))
    assert len(pids) == 2
    os.kill(parent.pid if killed == "parent" else pids[0], signal.SIGKILL)
    deadline = time.monotonic() + HANG_GUARD
    while not all(gone(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert all(gone(pid) for pid in pids)
    parent.kill()
    parent.wait()


def test_a_chosen_binary_goes_first_and_a_missing_one_names_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "anvil"
    mine.write_text("#!/bin/sh\n")
    with pytest.raises(AnvilMissingError):
        find_anvil(mine, {})
    mine.chmod(0o700)
    assert find_anvil(mine, {}) == find_anvil(None, {"PROOFMESH_ANVIL": str(mine)}) == mine
    assert find_anvil(None, {"PATH": str(tmp_path)}) == mine
    monkeypatch.setattr(anvil_module, "_IN_MODULES", Path("nowhere"))
    with pytest.raises(AnvilMissingError, match="npm install @foundry-rs/anvil-linux-amd64") as caught:
        find_anvil(None, {"PATH": ""})
    assert caught.value.exit_code == 3
