# SPDX-License-Identifier: GPL-3.0-or-later
"""Daemons that are stopped or killed leave nothing behind, come back, and no job is lost or paid twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from devnet_market import (
    FEE,
    HANG_GUARD,
    MAX_PRICE,
    SECRET,
    account_of,
    bundle_folder,
    chain_of,
    client_of,
    log_of,
    names,
    prove_one,
    request,
    require_exact_sums,
    session_processes,
    settlements,
    until,
)
from devnet_thread import Market

from contracts.events import Settled
from market.effects import Report
from node.chain.rpc import RpcClient
from node.devnet.world import World

pytestmark = pytest.mark.slow

ORPHAN_SECONDS = 15.0
"""A hang guard: workers look for their node every fifth of a second, but one that is just starting does so later."""
CHEAPEST = "prover-1"
COMMANDS = {"verifier-1": ["verifier", "run"], "publisher": ["publisher", "run"]}


async def _start(world: World, name: str) -> None:
    """Start a daemon (again) on its data folder."""
    if name.startswith("prover"):
        await world.start_prover(name)
    else:
        await world.spawn(name, COMMANDS.get(name, ["verifier", "run"]))


async def _end(world: World, name: str, number: signal.Signals) -> None:
    """Send a signal to a daemon and require that all of its processes end."""
    os.kill(world.devnet.node(name).node_pid, number)
    await _gone(world, name)


async def _gone(world: World, name: str) -> None:
    """Require that all processes of a daemon end in time."""
    process = world.processes.pop(name)
    with trio.fail_after(HANG_GUARD):
        await process.wait()
    with trio.move_on_after(ORPHAN_SECONDS):
        await until(lambda: not session_processes([process.pid]))
    left = session_processes([process.pid])
    assert [Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ") for pid in left] == []


async def _paid_once(world: World, order_hash: bytes) -> Settled:
    """Require that an order was settled exactly once and the sums are right; return the settlement."""
    async with chain_of(world) as chain:
        (settled,) = (await settlements(chain))[order_hash]
        assert settled.payment.debited - settled.payment.refunded == settled.payment.price + FEE
        await require_exact_sums(chain)
        return settled


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_a_stopped_daemon_leaves_no_process_and_starts_again_from_its_folder(
    market: Market, number: signal.Signals
) -> None:
    daemons = [CHEAPEST, "verifier-1", "publisher"]

    async def scenario(world: World) -> None:
        for name in daemons:
            assert len(session_processes([world.processes[name].pid])) >= 2
            await _end(world, name, number)
        async with trio.open_nursery() as nursery:
            for name in daemons:
                nursery.start_soon(_start, world, name)
        settled = await _paid_once(world, await prove_one(world, allowed=(account_of(world, CHEAPEST),)))
        assert settled.payment.prover == account_of(world, CHEAPEST)

    market.run(scenario)


def _workers(world: World, name: str) -> list[int]:
    """The processes of a node besides its leash and itself: they compute witnesses and proofs."""
    own = {world.processes[name].pid, world.devnet.node(name).node_pid}
    return [pid for pid in session_processes([world.processes[name].pid]) if pid not in own]


async def _kill_winner(world: World, *, restart: bool) -> Settled:
    """Kill the cheapest prover while it works on a job; return how the job was settled."""
    cheapest = account_of(world, CHEAPEST)
    await prove_one(world, allowed=(cheapest,))  # its workers exist now
    accepted = trio.Event()

    def heard(report: Report) -> None:
        if report.topic == "award-accepted":
            accepted.set()

    workers = _workers(world, CHEAPEST)
    assert workers
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)  # the job stays in work until the kill
    async with client_of(world) as client:
        client.on_report = heard
        allowed = (cheapest,) if restart else None
        order_hash = await client.submit(bundle_folder(world), SECRET, request(allowed=allowed))
        with trio.fail_after(HANG_GUARD):
            await accepted.wait()
        async with chain_of(world) as chain:
            assert order_hash not in await settlements(chain)
        os.kill(world.devnet.node(CHEAPEST).node_pid, signal.SIGKILL)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)
        await _gone(world, CHEAPEST)
        if restart:
            await _start(world, CHEAPEST)
        with trio.fail_after(HANG_GUARD):
            receipt = await client.wait(order_hash)
    if not restart:
        await _start(world, CHEAPEST)
    settled = await _paid_once(world, order_hash)
    assert settled.payment.prover == receipt.award.prover
    return settled


def test_a_prover_killed_with_an_award_finishes_the_job_after_its_restart(market: Market) -> None:
    async def scenario(world: World) -> None:
        settled = await _kill_winner(world, restart=True)
        assert settled.payment.prover == account_of(world, CHEAPEST)

    market.run(scenario)


def test_the_job_of_a_prover_that_stays_dead_is_done_by_another(market: Market) -> None:
    async def scenario(world: World) -> None:
        settled = await _kill_winner(world, restart=False)
        assert settled.payment.prover != account_of(world, CHEAPEST)

    market.run(scenario)


async def _verifier_with_transaction(world: World, rpc: RpcClient) -> str:
    """Wait until a transaction hangs in the pool; return the verifier that sent it."""
    accounts = {world.devnet.node(name).account: name for name in names(world, "verifier")}
    with trio.fail_after(HANG_GUARD):
        while True:
            pending = (await rpc.call("txpool_content"))["pending"]
            for sender in pending:
                if sender.lower() in accounts:
                    return accounts[sender.lower()]
            await trio.sleep(0.05)


def test_a_prover_settles_itself_when_the_verifier_dies_with_the_proof(market: Market) -> None:
    async def scenario(world: World) -> None:
        async with RpcClient(world.devnet.rpc_url) as rpc, client_of(world) as client:
            allowed = (account_of(world, CHEAPEST),)
            order_hash = await client.submit(bundle_folder(world), SECRET, request(allowed=allowed))
            await rpc.call("evm_setAutomine", False)
            await rpc.call("evm_setIntervalMining", 0)
            try:
                name = await _verifier_with_transaction(world, rpc)
                await _end(world, name, signal.SIGKILL)
                await rpc.call("anvil_dropAllTransactions")
            finally:
                await rpc.call("evm_setIntervalMining", 1)
                await rpc.call("evm_setAutomine", True)
            with trio.fail_after(HANG_GUARD):
                receipt = await client.wait(order_hash)
        settled = await _paid_once(world, order_hash)
        assert settled.payment.fee_to == settled.payment.prover == receipt.award.prover
        # The verifier's journal still holds its transaction: sent again, it must not pay again.
        await _start(world, name)
        await _paid_once(world, await prove_one(world))
        await _paid_once(world, order_hash)

    market.run(scenario)


def _environment(world: World) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PROOFMESH_")}
    return clean | {
        "PROOFMESH_DATA_DIR": world.devnet.node("client").data_dir,
        "PROOFMESH_PASSWORD_FILE": world.devnet.password_file,
    }


def _command(world: World, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "proofmesh.main", "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=_environment(world),
    )


def _event(process: subprocess.Popen[str], kind: str) -> dict[str, Any]:
    """Read the command's lines up to an event."""
    assert process.stdout is not None
    for line in process.stdout:
        event: dict[str, Any] = json.loads(line)
        if event.get("event") == kind:
            return event
    raise AssertionError(f"no {kind} before the end: {process.stderr.read() if process.stderr else ''}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name)
def test_a_job_whose_client_was_stopped_is_taken_up_by_watch(
    market: Market, tmp_path: Path, number: signal.Signals
) -> None:
    world, inputs = market.world, tmp_path / "inputs.json"
    inputs.write_text(json.dumps(SECRET))
    words = ["--max-price", str(MAX_PRICE), "--verifier-fee", str(FEE), "--any-prover", "--window", "1s"]
    submit = _command(world, "job", "submit", str(bundle_folder(world)), str(inputs), *words)
    order = _event(submit, "announced")["order_hash"]
    submit.send_signal(number)
    assert submit.wait(HANG_GUARD) in (130, -signal.SIGKILL)

    async def no_process_left(world: World) -> None:
        with trio.move_on_after(ORPHAN_SECONDS):
            await until(lambda: not session_processes([submit.pid]))

    market.run(no_process_left)
    assert session_processes([submit.pid]) == []
    watch = _command(world, "job", "watch", order)
    output, errors = watch.communicate(timeout=HANG_GUARD)
    assert watch.returncode == 0, errors
    assert json.loads(output.splitlines()[-1])["event"] == "settled"

    async def paid(world: World) -> None:
        await _paid_once(world, bytes.fromhex(order[2:]))

    market.run(paid)


def test_the_nodes_logged_no_failed_effect(market: Market) -> None:
    for node in market.world.devnet.nodes:
        assert "Traceback" not in log_of(market.world, node.name)
