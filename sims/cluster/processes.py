# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of the cluster: each on a leash, so that none outlives it, and each in a session of its own.

The leash is `node/devnet/leash.py`, run as a program: it ends its command when this process ends, however.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import trio

ROOT = Path(__file__).resolve().parents[2]
LEASH = ROOT / "node" / "devnet" / "leash.py"
PROOFMESH = (sys.executable, "-m", "proofmesh.main", "--json")
STOP_SECONDS = 20.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Child:
    """A running command; `pid` is its own, `leash.pid` that of its leash and of its session."""

    leash: trio.Process
    pid: int

    def send(self, number: signal.Signals) -> None:
        """Send the command a signal; nothing happens if it has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def stop(self) -> int | None:
        """End it as an operator would; return its exit status, None if it had to be killed."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)
        with trio.move_on_after(STOP_SECONDS):
            return await self.leash.wait()
        self.send(signal.SIGKILL)
        await self.leash.wait()
        return None


_started: list[Child] = []
"""Everything that `start` started and that may still run."""


async def stop_all() -> None:
    """End everything that was started, at once: as an operator would, and for good after a while."""
    while _started:
        living, _started[:] = [child for child in _started if child.leash.poll() is None], []
        async with trio.open_nursery() as nursery:
            for child in living:
                nursery.start_soon(child.stop)


async def start(command: Sequence[str], environment: Mapping[str, str], log: Path, *, pipe: bool = False) -> Child:
    """Start a command; its output goes to the end of `log`, with `pipe` only what it prints on stderr."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        leash = await trio.lowlevel.open_process(
            [sys.executable, "-S", "-E", str(LEASH), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if pipe else output,
            stderr=output,
            start_new_session=True,
            env=dict(environment),
        )
    child = Child(leash, leash.pid)
    _started[:] = [each for each in _started if each.leash.poll() is None]
    _started.append(child)
    while leash.poll() is None:
        if pid := _child_of(leash.pid):
            child.pid = pid
            break
        await trio.sleep(0.01)
    return child


def environment(data_dir: Path, password_file: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a node of the cluster: ours without any setting of the operator's own node."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PROOFMESH_")}
    return clean | {
        "PROOFMESH_DATA_DIR": str(data_dir),
        "PROOFMESH_PASSWORD_FILE": str(password_file),
        **extra,
    }


def session_of(leaders: Iterable[int]) -> dict[int, str]:
    """Return the live processes (zombies are dead) of the sessions of these leaders, with their command lines."""
    wanted, found = set(leaders), {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError, IndexError):
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            if fields[0] != "Z" and int(fields[3]) in wanted:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(folder.name)] = command.decode("utf-8", "replace")[:200]
    return found


def resident_bytes(pid: int) -> int:
    """Return the memory that a process holds, zero if it has ended."""
    with suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES
    return 0


def open_files(pid: int) -> int:
    """Return how many file descriptors a process has, zero if it has ended."""
    with suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process so far, zero if it has ended."""
    with suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def disk_bytes(folder: Path) -> int:
    """Return the size of all files under a folder."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def _child_of(pid: int) -> int | None:
    with suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else None
    return None
