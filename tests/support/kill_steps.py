# SPDX-License-Identifier: GPL-3.0-or-later
"""Kills each role after every journal record and every effect of one job, in turn, and lets it come back.

A run of each scenario without a kill says which points there are (node/crash_point.py writes them). Then one run for
each: the process dies at the point by SIGKILL, is started again, and the job must end paid exactly once, or refunded,
with every balance what the chain's events add up to. Real daemons, one chain, one job after another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio
from devnet_market import (
    FEE,
    MAX_PRICE,
    SECRET,
    account_of,
    bundle_folder,
    chain_of,
    client_of,
    devnet,
    escrow_events,
    request,
    require_exact_sums,
    until,
)

from contracts.events import Expired, Locked, Settled, balance_changes
from market import client as client_machine
from market.effects import Effect
from market.journal import decode_effect
from market.wanted import wanted as waited_for
from node.chain.clock import ChainClock
from node.chain.rpc import RpcClient
from node.crash_point import VARIABLE
from node.devnet.world import ProverPlan, World
from node.journal import Journal
from node.role_shell import RoleShell
from protocol.errors import ProofmeshError

DIRECT, LOCKING, VERIFIER, CLIENT = "prover-1", "prover-2", "verifier-1", "client"
PATIENCE = 600.0
"""Seconds that one run may last: a hang guard for a busy machine."""
DEADLINE, GRACE = 420, 60
WINDOW = 5
"""Seconds; the six auctions of a job then last longer than a busy machine needs to start a prover."""
SLACK = 150
"""Seconds added to a promise: one that was missed because the machine is busy ends a direct job unpaid."""
COLLATERAL = 10**15
AFTER_THE_END = 8.0
"""Seconds to wait for a point behind the end of the job (a notice, a receipt)."""


@dataclass(frozen=True, slots=True)
class Point:
    """Where a process dies: in a scenario, a node, the `nth` time that it passes the point `name`."""

    scenario: str
    node: str
    name: str
    nth: int

    def __str__(self) -> str:
        return f"{self.scenario}: {self.node} after {self.name} {self.nth}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. `died` is false if the job took another way, and the point was not passed."""

    point: Point
    died: bool
    ended: str
    settlements: int
    refunds: int
    seconds: float


@dataclass(slots=True)
class Stage:
    """A running devnet whose daemons can be killed at a point, and come back."""

    world: World
    folder: Path
    daemons: tuple[str, ...]
    deaths: Counter[str] = field(default_factory=Counter)
    keep_down: set[str] = field(default_factory=set)
    began: dict[str, int] = field(default_factory=dict)
    """Where in a daemon's log its present life begins, in bytes."""

    def crash_file(self, node: str) -> Path:
        """The file that arms a node's points."""
        return self.folder / f"{node}.crash"

    def passed(self, node: str) -> list[str]:
        """The points that a node has passed so far."""
        file = self.folder / f"{node}.crash.passed"
        return file.read_text().splitlines() if file.exists() else []

    async def revive(self, node: str) -> None:
        """Start a daemon again whenever it has died."""
        while True:
            process = self.world.processes.get(node)
            if process is None:
                await trio.sleep(0.05)
                continue
            await process.wait()
            self.deaths[node] += 1
            await until(lambda: node not in self.keep_down, PATIENCE)
            await self.start(node)

    async def start(self, node: str) -> None:
        """Start a daemon on its folder."""
        self.mark(node)
        if node.startswith("prover"):
            extra = {VARIABLE: str(self.crash_file(node)), "PROOFMESH_PROVER_PROMISE_SLACK_SECONDS": str(SLACK)}
            await self.world.start_prover(node, extra)
        else:
            await self.world.spawn(node, ["verifier", "run"], {VARIABLE: str(self.crash_file(node))})


    def mark(self, node: str) -> None:
        """A new life of a daemon begins."""
        self.began[node] = self.log(node).stat().st_size

    def log(self, node: str) -> Path:
        """The log of a daemon, of all its lives."""
        return Path(self.world.devnet.node(node).log)

    def is_back(self, node: str) -> bool:
        """Whether a daemon lives and serves."""
        process = self.world.processes.get(node)
        said = b"serving" if node.startswith("prover") else b'"up": true'
        since = self.log(node).read_bytes()[self.began[node] :]
        return process is not None and process.poll() is None and said in since


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """Two provers, one that proves first and one that locks first, and a verifier."""
    small = {"PROOFMESH_PROVER_CAPACITY": "1"}
    plans = (
        ProverPlan(1_000_000_000, 60, small),
        ProverPlan(1_000_000_000, 60, {**small, "PROOFMESH_PROVER_LOCK_ABOVE_MS": "0"}),
    )
    async with devnet(folder, provers=plans) as world, staged_on(world, folder, (DIRECT, LOCKING, VERIFIER)) as staged:
        yield staged


@asynccontextmanager
async def staged_on(world: World, folder: Path, daemons: Sequence[str]) -> AsyncIterator[Stage]:
    """These daemons of a running devnet, started anew so that they can be killed at a point, and revived."""
    staged = Stage(world, folder, tuple(daemons))
    for node in daemons:
        await world.stop(node)
        await staged.start(node)
    await _back(staged)
    async with trio.open_nursery() as nursery:
        for node in daemons:
            nursery.start_soon(staged.revive, node)
        yield staged
        nursery.cancel_scope.cancel()
    for node in daemons:
        await world.stop(node)
        staged.mark(node)
        await (world.start_prover(node) if node.startswith("prover") else world.spawn(node, ["verifier", "run"]))
    await _back(staged)


HEARSAY = ("VerifierSeen", "VerifierGone", "FundsChanged", "ProgramServed")
"""Records that no job leads to: they come when they come, also in the middle of one."""
SCENARIOS: dict[str, tuple[str, ...]] = {
    "direct": (DIRECT, VERIFIER),
    "locked": (LOCKING,),
    "client": (CLIENT,),
    "refund": (CLIENT,),
}
"""What is done, and who dies in it."""


async def points_of(staged: Stage, scenario: str) -> list[Point]:
    """Run a scenario without a kill; return the points that its nodes passed, in their order."""
    before = {node: len(staged.passed(node)) for node in SCENARIOS[scenario]}
    outcome = await _job(staged, scenario, None)
    require(outcome)
    found = []
    for node in SCENARIOS[scenario]:
        await _quiet(staged, node)
        seen: Counter[str] = Counter()
        for name in staged.passed(node)[before[node] :]:
            seen[name] += 1
            if not name.endswith(HEARSAY):
                found.append(Point(scenario, node, name, seen[name]))
    return found


async def kill_at(staged: Stage, point: Point) -> Outcome:
    """Run a job whose node dies at the point and comes back; return how it ended."""
    await _back(staged)
    file = staged.crash_file(point.node)
    file.write_text(f"{point.name} {point.nth}")
    try:
        try:
            outcome = await _job(staged, point.scenario, point)
        except (trio.TooSlowError, AssertionError, ValueError) as error:
            outcome = Outcome(point, False, f"{type(error).__name__}: {error}", 0, 0, PATIENCE)
        with trio.move_on_after(AFTER_THE_END):
            await until(lambda: not file.exists(), AFTER_THE_END * 2)
    finally:
        died = not file.exists()
        file.unlink(missing_ok=True)
    outcome = Outcome(**{**{name: getattr(outcome, name) for name in Outcome.__slots__}, "died": died})
    await _back(staged)
    return outcome


def require(outcome: Outcome) -> None:
    """A job ends paid exactly once, or refunded and not paid."""
    assert (outcome.settlements, outcome.refunds) in ((1, 0), (0, 1)), outcome
    assert outcome.ended == ("settled" if outcome.settlements else "refunded"), outcome


async def require_nothing_left(staged: Stage) -> None:
    """No node has an effect in its outbox that it still waits for, once all jobs are over."""
    for node in (*staged.daemons, CLIENT):
        folder = Path(staged.world.devnet.node(node).data_dir)
        with Journal(folder / "journal.sqlite") as journal:
            if node == CLIENT:  # its command ends with its job: what led to the end may not be ticked off yet
                left: dict[str, Any] = {"client": _waited_for(journal)}
            else:
                left = {role: journal.pending(role) for role in journal.roles()}
        assert not any(left.values()), (node, left)


def _waited_for(journal: Journal) -> list[Effect]:
    """What a client that is not running would wait for at its next start."""
    shell = RoleShell(
        "client",
        client_machine.State(),
        client_machine.transition,
        client_machine.next_deadline,
        journal,
        ChainClock(),
    )
    effects = [decode_effect(blob) for _, blob in journal.pending("client")]
    return [effect for effect in effects if waited_for(shell.state, effect)]


async def _job(staged: Stage, scenario: str, point: Point | None) -> Outcome:
    began = trio.current_time()
    with trio.fail_after(PATIENCE):
        if scenario in ("direct", "locked"):
            order_hash, ended = await _in_process(staged, scenario)
        else:
            order_hash, ended = await _by_command(staged, scenario)
    async with chain_of(staged.world) as chain:
        events = [event for event in await escrow_events(chain) if getattr(event, "order_hash", b"") == order_hash]
        await require_exact_sums(chain)
    paid = [event for event in events if isinstance(event, Settled)]
    refunds = [event for event in events if isinstance(event, Expired)]
    cost = sum(change for event in events for who, change in balance_changes(event) if who == _client(staged))
    assert -cost == sum(settled.payment.price + FEE for settled in paid) <= MAX_PRICE + FEE
    seconds = round(trio.current_time() - began, 1)
    return Outcome(point or Point(scenario, "", "", 0), False, ended, len(paid), len(refunds), seconds)


async def _in_process(staged: Stage, scenario: str) -> tuple[bytes, str]:
    """A client in this process, which lives: its prover or verifier dies."""
    prover = DIRECT if scenario == "direct" else LOCKING
    terms = {"window": WINDOW, "deadline": DEADLINE, "grace": GRACE}
    terms["collateral"] = 0 if prover == DIRECT else COLLATERAL
    async with client_of(staged.world) as client:
        wanted = request(allowed=(account_of(staged.world, prover),), **terms)
        order_hash = await client.submit(bundle_folder(staged.world), SECRET, wanted)
        try:
            await client.wait(order_hash)
        except ProofmeshError as error:
            return order_hash, f"{client.job(order_hash).phase}: {error.message}"
        return order_hash, "settled"


async def _by_command(staged: Stage, scenario: str) -> tuple[bytes, str]:
    """`proofmesh job submit`, which may die; then `job watch` until it is over."""
    world = staged.world
    inputs = staged.folder / "inputs.json"
    inputs.write_text(json.dumps(SECRET))
    prover = DIRECT if scenario == "client" else LOCKING
    words = ["job", "submit", str(bundle_folder(world)), str(inputs), "--max-price", str(MAX_PRICE)]
    words += ["--window", f"{WINDOW}s"]
    words += ["--verifier-fee", str(FEE), "--allow", "0x" + account_of(world, prover).hex()]
    words += ["--deadline", f"{DEADLINE}s", "--grace", f"{GRACE}s"]
    if scenario == "refund":
        words += ["--collateral", str(COLLATERAL)]
        staged.keep_down.add(LOCKING)
        staged.crash_file(LOCKING).write_text("prover record ChainLocked 1")
    known = _known_jobs(staged)
    async with trio.open_nursery() as nursery:
        if scenario == "refund":
            nursery.start_soon(_end_of_time, staged)
        try:
            ended = await _run(staged, words)
            for _ in range(20):
                new = _known_jobs(staged) - known
                if ended and (new or ended == "settled"):
                    break
                # It died before there was an order: nothing is lost, and the user asks again.
                ended = await _run(staged, words if not new else ["job", "watch", "0x" + min(new)])
        finally:
            nursery.cancel_scope.cancel()
            staged.keep_down.discard(LOCKING)
    (order_hash,) = _known_jobs(staged) - known
    return bytes.fromhex(order_hash), ended


async def _run(staged: Stage, words: Sequence[str]) -> str:
    """Run a command of the client; return how the job ended, nothing if the command was killed."""
    devnet_ = staged.world.devnet
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PROOFMESH_")}
    environment = {
        "PROOFMESH_DATA_DIR": devnet_.node(CLIENT).data_dir,
        "PROOFMESH_PASSWORD_FILE": devnet_.password_file,
        VARIABLE: str(staged.crash_file(CLIENT)),
    }
    command = [sys.executable, "-m", "proofmesh.main", "--json", *words]
    with (staged.folder / "client.log").open("ab") as log:
        process = await trio.lowlevel.open_process(
            command, stdout=subprocess.PIPE, stderr=log, env=clean | environment, start_new_session=True
        )
        assert process.stdout is not None
        try:
            said = b"".join([chunk async for chunk in process.stdout])
            if await process.wait() < 0:
                staged.deaths[CLIENT] += 1
                return ""
        finally:
            if process.poll() is None:
                process.kill()
    last: dict[str, Any] = json.loads(said.splitlines()[-1])
    return str(last.get("phase") or last.get("event") or ("refunded" if "refunded" in str(last) else last))


def _client(staged: Stage) -> bytes:
    return account_of(staged.world, CLIENT)


def _known_jobs(staged: Stage) -> set[str]:
    jobs = Path(staged.world.devnet.node(CLIENT).data_dir) / "jobs"
    return {path.stem for path in jobs.glob("*.json")}


async def _end_of_time(staged: Stage) -> None:
    """Once the prover has locked and died, let the chain's clock pass the end of the order."""
    async with RpcClient(staged.world.devnet.rpc_url) as rpc, chain_of(staged.world) as chain:
        locked = len([event for event in await escrow_events(chain) if isinstance(event, Locked)])
        while len([event for event in await escrow_events(chain) if isinstance(event, Locked)]) == locked:
            await trio.sleep(0.2)
        await until(lambda: not staged.crash_file(LOCKING).exists(), PATIENCE)
        await rpc.call("evm_increaseTime", hex(DEADLINE + GRACE + 5))
        await rpc.call("evm_mine")


async def _quiet(staged: Stage, node: str) -> None:
    """Wait until a node passes no further points."""
    count = -1
    while count != len(staged.passed(node)):
        count = len(staged.passed(node))
        await trio.sleep(2)


async def _back(staged: Stage) -> None:
    """Wait until every daemon serves again: in its present life, not in the one that ended."""
    for node in staged.daemons:
        await until(partial(staged.is_back, node), PATIENCE)


def report(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What `make kill-every-step` writes to build/."""
    return {
        "runs": len(outcomes),
        "died": sum(outcome.died for outcome in outcomes),
        "settled": sum(outcome.settlements == 1 for outcome in outcomes),
        "refunded": sum(outcome.refunds == 1 for outcome in outcomes),
        "outcomes": [{"point": str(o.point), **{k: v for k, v in asdict(o).items() if k != "point"}} for o in outcomes],
    }
