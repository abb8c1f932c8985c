# SPDX-License-Identifier: GPL-3.0-or-later
"""Daemons that are stopped or killed: nothing is left running, nothing is lost."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import trio
from e2e_market import (
    CHEAP,
    FAIR,
    INPUTS,
    alive,
    client_of,
    descendants,
    devnet,
    request,
    settle_in,
    tiny_bundle,
    until,
    wait_for_text,
)

from node.client_api import Client
from node.devnet.world import World

ORPHAN_SECONDS = 2.0


async def stop_by(world: World, name: str, number: signal.Signals) -> set[int]:
    """Send a signal to a node itself (not its leash); return its processes that are left after two seconds."""
    pid = world.devnet.node(name).node_pid
    family = {pid} | descendants(pid)
    os.kill(pid, number)
    with trio.move_on_after(ORPHAN_SECONDS):
        while alive(family):
            await trio.sleep(0.02)
    left = alive(family)
    await world.processes.pop(name).wait()
    return left


async def bring_back(world: World, name: str) -> None:
    log = Path(world.devnet.node(name).log)
    offset = log.stat().st_size
    if name.startswith("prover"):
        await world.start_prover(name)
        await wait_for_text(log, b"serving ", offset)
    else:
        await world.spawn(name, [name.split("-")[0], "run"])


async def buy(client: Client) -> int:
    with trio.fail_after(120):
        order_hash = await client.submit(tiny_bundle(), INPUTS, request())
        return (await client.wait(order_hash)).outputs[0]


@pytest.mark.slow
async def test_no_signal_leaves_an_orphan_and_every_daemon_comes_back(tmp_path: Path) -> None:
    async with devnet(tmp_path, (CHEAP,)) as world:
        async with client_of(world) as client:
            first = await buy(client)  # proving workers exist now
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
                for name in ("prover-1", "verifier-1", "publisher"):
                    assert await stop_by(world, name, number) == set(), f"{name} after {number.name}"
                    await bring_back(world, name)
            await settle_in(client, 3)
            assert await buy(client) == first


@pytest.mark.slow
async def test_a_prover_killed_with_the_job_in_hand_is_replaced(tmp_path: Path) -> None:
    async with devnet(tmp_path, (CHEAP, FAIR)) as world:
        async with client_of(world) as client:
            loser = bytes.fromhex(world.devnet.node("prover-1").account[2:])
            topics: list[str] = []
            client.on_report = lambda report: topics.append(report.topic)
            order_hash = await client.submit(tiny_bundle(), INPUTS, request(deadline=60))
            await until(lambda: "award" in topics)
            await stop_by(world, "prover-1", signal.SIGKILL)
            with trio.fail_after(120):
                receipt = await client.wait(order_hash)
            # Either its settlement was out already, or the other one did the job: paid once, to its award.
            assert (receipt.award.prover == loser) == ("promise-missed" not in topics and "award-refused" not in topics)
            assert topics.count("settled") == 1


@pytest.mark.slow
async def test_a_prover_restarted_with_the_job_in_hand_finishes_it(tmp_path: Path) -> None:
    async with devnet(tmp_path, (CHEAP,)) as world:
        async with client_of(world) as client:
            topics: list[str] = []
            client.on_report = lambda report: topics.append(report.topic)
            order_hash = await client.submit(tiny_bundle(), INPUTS, request(deadline=90))
            await until(lambda: "award-accepted" in topics)
            await stop_by(world, "prover-1", signal.SIGKILL)
            await bring_back(world, "prover-1")
            with trio.fail_after(120):
                receipt = await client.wait(order_hash)
            assert receipt.outputs and topics.count("settled") == 1


@pytest.mark.slow
async def test_without_its_verifier_a_prover_settles_by_itself(tmp_path: Path) -> None:
    async with devnet(tmp_path, (CHEAP,)) as world:
        async with client_of(world) as client:
            order_hash = await client.submit(tiny_bundle(), INPUTS, request())
            os.kill(world.devnet.node("verifier-1").node_pid, signal.SIGSTOP)
            with trio.fail_after(120):
                receipt = await client.wait(order_hash)
            os.kill(world.devnet.node("verifier-1").node_pid, signal.SIGCONT)
            assert receipt.settler == bytes.fromhex(world.devnet.node("verifier-1").account[2:])
            assert b"verifier-" in Path(world.devnet.node("prover-1").log).read_bytes()


@pytest.mark.slow
async def test_a_client_that_dies_takes_its_job_up_again(tmp_path: Path) -> None:
    async with devnet(tmp_path, (CHEAP,)) as world:
        async with client_of(world) as client:
            order_hash = await client.submit(tiny_bundle(), INPUTS, request(window=1))
            await trio.sleep(0.2)
        async with client_of(world) as client:
            with trio.fail_after(120):
                receipt = await client.wait(order_hash)
            assert receipt.order_hash == order_hash
