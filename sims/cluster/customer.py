# SPDX-License-Identifier: GPL-3.0-or-later
"""One client of the cluster: a process for each job, as a user's script would; killed ones are taken up again."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from sims.cluster.audit import ENDED
from sims.cluster.commands import run
from sims.cluster.model import HIGH, INPUTS
from sims.cluster.options import (
    COLLATERAL_WEI,
    DEADLINE_SECONDS,
    FEE_WEI,
    GRACE_SECONDS,
    MAX_PRICE_WEI,
    WINDOW_SECONDS,
    Options,
)
from sims.cluster.processes import PROOFMESH, Child, environment, start

RETRY_SECONDS = 1.0


@dataclass
class Placed:
    """One job: when it was begun and ended (seconds of the event loop), and how its processes ended."""

    begun: float
    ended: float = 0.0
    order_hash: str = ""
    statuses: list[int] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@dataclass
class Customer:
    """A client: its folder, and what it has asked for so far."""

    name: str
    account: str
    data_dir: Path
    password_file: Path
    bundle: Path
    options: Options
    settings: Mapping[str, str]
    role: str = "client"
    provers: list[str] = field(default_factory=list)
    """Accounts of all provers."""
    jobs: list[Placed] = field(default_factory=list)
    leaders: list[int] = field(default_factory=list)
    kills: int = 0
    _child: Child | None = None

    @property
    def log(self) -> Path:
        """What its processes say on stderr."""
        return self.options.folder.resolve() / "logs" / f"{self.name}.log"

    async def buy(self, until: float) -> None:
        """Place one job after the other until that time; return when the last has ended."""
        draw = random.Random(f"{self.options.seed} {self.name}")
        while trio.current_time() < until:
            values = [draw.randint(0, HIGH) for _ in range(INPUTS)]
            await self._job(values, self._whom(draw))
            await trio.sleep(self.options.pace_seconds * draw.uniform(0.5, 1.5))

    def kill(self) -> None:
        """Kill the process that waits for a job, if there is one."""
        if self._child is not None:
            self.kills += 1
            self._child.send(signal.SIGKILL)

    async def listed(self) -> list[dict[str, Any]]:
        """Return all jobs of its folder, as the command line tells them."""
        found = await run(self.data_dir, self.password_file, ["job", "list"], self.settings)
        return list(found["jobs"])

    async def finish(self, order_hash: str) -> None:
        """Watch a job to its end."""
        while self._phase(order_hash) not in ENDED:
            await self._run(Placed(trio.current_time(), order_hash=order_hash), ["job", "watch", order_hash])
            await trio.sleep(RETRY_SECONDS)

    def _whom(self, draw: random.Random) -> list[str]:
        """Return the options that say who may bid: a half of the provers, so that all of them get work."""
        if self.options.byzantine_percent:
            return ["--any-prover"]
        half = draw.sample(self.provers, max(min(2, len(self.provers)), len(self.provers) // 2))
        return [word for account in half for word in ("--allow", account)]

    async def _job(self, values: list[int], whom: list[str]) -> None:
        inputs = self.data_dir / "inputs.json"
        inputs.write_text(json.dumps(values))
        placed = Placed(trio.current_time())
        self.jobs.append(placed)
        # Who has met liars looks at what provers have delivered, not at the price alone.
        policy = "balanced" if self.options.byzantine_percent else "price"
        words = ["job", "submit", str(self.bundle), str(inputs), *whom, "--policy", policy]
        words += ["--max-price", str(MAX_PRICE_WEI), "--verifier-fee", str(FEE_WEI), "--window", str(WINDOW_SECONDS)]
        words += ["--collateral", str(COLLATERAL_WEI)]
        await self._run(placed, [*words, "--deadline", str(DEADLINE_SECONDS), "--grace", str(GRACE_SECONDS)])
        while placed.order_hash and self._phase(placed.order_hash) not in ENDED:
            await trio.sleep(RETRY_SECONDS)
            await self._run(placed, ["job", "watch", placed.order_hash])
        placed.ended = trio.current_time()

    async def _run(self, placed: Placed, words: list[str]) -> None:
        """Run a client's process to its end, and keep what it says."""
        child = await start(
            [*PROOFMESH, *words],
            environment(self.data_dir, self.password_file, self.settings),
            self.log,
            pipe=True,
        )
        self._child = child
        self.leaders.append(child.leash.pid)
        assert child.leash.stdout is not None
        rest = b""
        async with child.leash.stdout as output:
            async for chunk in output:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._heard(placed, line)
        placed.statuses.append(await child.leash.wait())
        self._child = None

    @staticmethod
    def _heard(placed: Placed, line: bytes) -> None:
        with suppress(ValueError):
            said = json.loads(line)
            if said.get("event") == "announced":
                placed.order_hash = said["order_hash"]
            if "error" in said:
                placed.errors.append(said["error"])

    def _phase(self, order_hash: str) -> str:
        with suppress(OSError, ValueError):
            path = self.data_dir / "jobs" / f"{order_hash.removeprefix('0x')}.json"
            return str(json.loads(path.read_text())["phase"])
        return ""
