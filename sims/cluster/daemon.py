# SPDX-License-Identifier: GPL-3.0-or-later
"""One daemon of the cluster: its folder, its proxies, its process; killed, paused, cut off and started again."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import trio

from sims.cluster.link import Link, Mode, ports_of
from sims.cluster.processes import PROOFMESH, Child, environment, start

UP_SECONDS = 600.0
CHAIN_STATUS = 4
"""The exit status of a command that cannot reach the chain."""
_TRACEBACK = re.compile(r"^.*Traceback \(most recent call last\)", re.MULTILINE)


@dataclass
class Daemon:
    """A node that runs until it is stopped; `program` starts it, honest or not."""

    name: str
    role: str
    account: str
    data_dir: Path
    password_file: Path
    log: Path
    command: tuple[str, ...]
    settings: Mapping[str, str]
    peers: Link
    rpc: Link
    program: tuple[str, ...] = PROOFMESH
    honest: bool = True
    child: Child | None = None
    paused: bool = False
    expected: bool = False
    """Whether the end of its process is our doing."""
    leaders: list[int] = field(default_factory=list)
    """Sessions of all of its lives."""
    ended: list[str] = field(default_factory=list)
    """Ends that were not our doing, in words."""
    starts: int = 0
    refused_starts: int = 0
    """Starts that ended because the chain could not be reached; a supervisor tries again, and so does `watch`."""
    _faults_at_start: int = 0

    @property
    def address(self) -> str:
        """Where its peers reach it; known once it has run."""
        return (self.data_dir / "addresses").read_text().split()[0]

    async def launch(self) -> None:
        """Start the process (again)."""
        settings = {
            **self.settings,
            "PROOFMESH_RPC_URL": f"http://127.0.0.1:{self.rpc.port}",
            "PROOFMESH_LISTEN": f"/ip4/127.0.0.1/tcp/{self.peers.target}",
            "PROOFMESH_ANNOUNCE": f"/ip4/127.0.0.1/tcp/{self.peers.port}",
        }
        self.expected = self.paused = False
        self.child = await start(
            [*self.program, *self.command], environment(self.data_dir, self.password_file, settings), self.log
        )
        self.leaders.append(self.child.leash.pid)
        self.starts += 1
        # A fault that lasts counts as one since the start.
        self._faults_at_start = self.rpc.faults - (self.rpc.mode is not Mode.OPEN)

    async def up(self) -> None:
        """Wait until it listens; a prover, until it serves."""
        with trio.fail_after(UP_SECONDS):
            while not self._is_up():
                await trio.sleep(0.1)

    def _is_up(self) -> bool:
        said = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return '"up": true' in said and (self.role != "prover" or "serving" in said)

    async def watch(self, revive: bool = True) -> None:
        """Note every end that nobody asked for, and start it again; until cancelled."""
        while True:
            child = self.child
            if child is None:
                await trio.sleep(0.2)
                continue
            status = await child.leash.wait()
            if self.child is not child:
                continue
            self.child = None
            if not self.expected:
                if status == CHAIN_STATUS and self.rpc.faults > self._faults_at_start:
                    self.refused_starts += 1
                else:
                    self.ended.append(f"{self.name} ended by itself with status {status}; see {self.log}.")
                if revive:
                    await trio.sleep(1)
                    await self.launch()

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self.child is not None:
            self.expected = True
            self.child.send(signal.SIGKILL)
            await self.child.leash.wait()

    def pause(self) -> None:
        """Stop its time."""
        if self.child is not None:
            self.paused = True
            self.child.send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let its time go on."""
        if self.child is not None and self.paused:
            self.child.send(signal.SIGCONT)
        self.paused = False

    async def stop(self) -> None:
        """End it as its operator would; an end that is not clean is noted."""
        if (child := self.child) is not None:
            self.expected = True
            self.resume()
            if await child.stop() != 0:
                self.ended.append(f"{self.name} did not stop cleanly; see {self.log}.")
            self.child = None

    def own_ports(self) -> frozenset[int]:
        """Return the ports from which it connects to others now."""
        return ports_of([self.child.pid]) if self.child is not None else frozenset()

    def tracebacks(self) -> list[str]:
        """Return what it logged of errors that nobody expected."""
        said = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        found = len(_TRACEBACK.findall(said))
        return [f"{self.name} logged {found} tracebacks; see {self.log}."] if found else []


@dataclass
class Partitions:
    """Which daemons may not connect to anybody now. One for the whole cluster: every link asks it."""

    cut: dict[str, Daemon] = field(default_factory=dict)

    def refused(self, port: int) -> bool:
        """Whether a connection from this port comes from a daemon that is cut off."""
        return any(port in daemon.own_ports() for daemon in self.cut.values())


def free_port() -> int:
    """Return a port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Note = Callable[[str], None]
"""Tells a line of progress."""
