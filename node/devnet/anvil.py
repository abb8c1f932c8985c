# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds and runs anvil, the development chain, as a process that dies with its parent."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from node.chain.client import ChainClient
from node.chain.rpc import RpcClient
from node.devnet import leash
from protocol.errors import AnvilFailedError, AnvilMissingError

_IN_MODULES = Path("node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil")
_LISTENING = re.compile(rb"Listening on (127\.0\.0\.1:\d+)")
_START_S = 20.0
_STOP_S = 3.0


@dataclass(frozen=True)
class Anvil:
    """A running anvil; `pid` is of the process that holds its leash."""

    url: str
    chain_id: int
    pid: int


def find_anvil(chosen: Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """Return the binary: chosen, PROOFMESH_ANVIL, on PATH, or in node_modules nearby.

    Raises:
        AnvilMissingError: there is none, or the chosen file cannot be run.
    """
    environment = os.environ if environ is None else environ
    if chosen is None and (named := environment.get("PROOFMESH_ANVIL")):
        chosen = Path(named)
    if chosen is not None:
        if not _runs(chosen):
            raise AnvilMissingError(f"{chosen} is not a program that can be run.")
        return chosen.absolute()
    if on_path := shutil.which("anvil", path=environment.get("PATH", "")):
        return Path(on_path)
    for folder in (Path(__file__).resolve().parents[2], Path.cwd(), Path(sys.prefix)):
        if _runs(folder / _IN_MODULES):
            return folder / _IN_MODULES
    raise AnvilMissingError("anvil was not found.")


@asynccontextmanager
async def run_anvil(
    binary: Path,
    *,
    log: Path,
    port: int = 0,
    chain_id: int = 31337,
    block_time_s: float | None = None,
    arguments: Sequence[str] = (),
) -> AsyncIterator[Anvil]:
    """Run anvil on loopback until the block is left; port 0 takes a free one.

    Raises:
        AnvilFailedError: it ended, or did not answer within 20 s; its output is in `log`.
    """
    command = [str(binary), "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(chain_id)]
    if block_time_s is not None:
        command += ["--block-time", str(block_time_s)]
    with log.open("wb") as output:
        # -S -E: the leash needs the standard library alone.
        process = await trio.lowlevel.open_process(
            [sys.executable, "-S", "-E", leash.__file__, *command, *arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = await _ready(process, log, chain_id)
        yield Anvil(url, chain_id, process.pid)
    finally:
        with trio.CancelScope(shield=True):
            await _stop(process)


async def _ready(process: trio.Process, log: Path, chain_id: int) -> str:
    with trio.move_on_after(_START_S):
        while process.poll() is None:
            if found := _LISTENING.search(log.read_bytes()):
                url = f"http://{found[1].decode()}"
                async with RpcClient(url) as rpc:
                    await ChainClient(rpc).require_chain(chain_id)
                return url
            await trio.sleep(0.02)
        raise AnvilFailedError(f"anvil ended with status {process.returncode}; see {log}.")
    raise AnvilFailedError(f"anvil did not start within {_START_S:g} s; see {log}.")


async def _stop(process: trio.Process) -> None:
    if process.stdin is not None:
        await process.stdin.aclose()
    with trio.move_on_after(_STOP_S):
        await process.wait()
        return
    process.kill()
    await process.wait()


def _runs(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
