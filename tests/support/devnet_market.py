# SPDX-License-Identifier: GPL-3.0-or-later
"""A devnet of real processes with a small model whose private inputs are easy to recognise."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy
import trio
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from contracts import bindings, events
from contracts.events import EscrowEvent, Settled, balance_changes
from node.chain.records import parse_bytes
from node.chain_view import ChainView, open_chain
from node.client_api import Client, Request
from node.config import load_settings
from node.devnet.anvil import find_anvil
from node.devnet.world import Plan, ProverPlan, World, running_devnet
from proving.bundle import Bundle
from proving.publish import Publication, build, onnx_source
from proving.settings import InputRange, ModelSettings, OutputSpec, Predicate, Reveal

HANG_GUARD = 60.0
HIGH = 2**30 - 1
SECRET = (918_273_645, 192_837_465, 564_738_291, 837_465_192)
"""A private input that no other number on the chain or on disk looks like."""
MAX_PRICE, FEE = 5 * 10**15, 2 * 10**15
Balances = dict[bytes, int]
"""Accounts and what they have in the Escrow, in wei."""
PROVERS = (ProverPlan(1_000_000_000, 12), ProverPlan(2_000_000_000, 10), ProverPlan(4_000_000_000, 8))


@lru_cache(maxsize=1)
def wide_range_model() -> bytes:
    """ONNX of a scaler and logistic regression over four numbers from 0 to 2^30 - 1."""
    rows = numpy.random.RandomState(5).randint(0, HIGH + 1, (200, 4)).astype(numpy.float32)
    labels = (rows[:, 0] + rows[:, 1] > HIGH).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    model = to_onnx(pipeline, rows[:1], options={"zipmap": False}, name="test")
    return bytes(model.SerializeToString(deterministic=True))


def small_bundle(store: Path) -> Bundle:
    """Compile the model: one bit of output."""
    ranges = tuple(InputRange.covering(f"x{index}", 0, HIGH) for index in range(4))
    output = OutputSpec(Reveal.PREDICATE, predicate=Predicate.THRESHOLD, threshold="0.5")
    return build(onnx_source(wide_range_model(), ModelSettings(ranges, output)), store, Publication("small"))


@asynccontextmanager
async def devnet(
    folder: Path, *, provers: Sequence[ProverPlan] = PROVERS[:1], verifiers: int = 1
) -> AsyncIterator[World]:
    """A running devnet that serves the small model; every node is a process."""
    bundle = await trio.to_thread.run_sync(small_bundle, folder / "store")
    plan = Plan(folder / "devnet", find_anvil(), tuple(provers), verifiers, (bundle.folder,), block_seconds=1.0)
    async with running_devnet(plan) as world:
        await until(lambda: all("serving" in log_of(world, name) for name in names(world, "prover")))
        yield world


def names(world: World, role: str) -> list[str]:
    """The names of the nodes of a role."""
    return [node.name for node in world.devnet.nodes if node.role == role]


def log_of(world: World, name: str) -> str:
    """What a node has logged so far."""
    path = Path(world.devnet.node(name).log)
    return path.read_text() if path.exists() else ""


def account_of(world: World, name: str) -> bytes:
    """A node's account."""
    return bytes.fromhex(world.devnet.node(name).account[2:])


def bundle_folder(world: World) -> Path:
    """The folder of the published bundle."""
    return Path(world.plan.bundles[0])


def client_of(world: World) -> Client:
    """The devnet's funded client, to be entered."""
    password = Path(world.devnet.password_file).read_text()
    return Client(Path(world.devnet.node("client").data_dir), password)


def request(**changes: Any) -> Request:
    """A request that any prover may serve, with enough money and a short window."""
    fields: dict[str, Any] = {
        "max_price": MAX_PRICE,
        "verifier_fee": FEE,
        "deadline": 60,
        "window": 1,
        "policy": "price",
        "allowed": None,
    }
    return Request(**(fields | changes))


async def until(condition: Callable[[], Any], guard: float = HANG_GUARD) -> None:
    """Wait until `condition()` holds; a hang guard, not a timing claim."""
    with trio.fail_after(guard):
        while not condition():
            await trio.sleep(0.02)


async def prove_one(world: World, **changes: Any) -> bytes:
    """Run one job from order to receipt with a client of its own; return the order's hash."""
    with trio.fail_after(HANG_GUARD):
        async with client_of(world) as client:
            order_hash = await client.submit(bundle_folder(world), SECRET, request(**changes))
            await client.wait(order_hash)
            return order_hash


@asynccontextmanager
async def chain_of(world: World) -> AsyncIterator[ChainView]:
    """A view of the devnet's chain that reads only."""
    settings = load_settings(Path(world.devnet.node("client").data_dir), environ={})
    async with open_chain(settings) as chain:
        yield chain


async def balances(world: World, chain: ChainView) -> Balances:
    """What every node has in the Escrow."""
    accounts = [account_of(world, node.name) for node in world.devnet.nodes]
    return {account: await chain.escrow_balance(account) for account in accounts}


async def escrow_events(chain: ChainView) -> list[EscrowEvent]:
    """All events of the Escrow, in the chain's order."""
    filters = {"address": "0x" + chain.network.escrow.hex(), "fromBlock": "0x0"}
    found = []
    for entry in await chain.client.rpc.call("eth_getLogs", filters):
        topics = [parse_bytes(topic) for topic in entry["topics"]]
        event = events.decode_event(topics, parse_bytes(entry["data"]))
        assert event is not None
        found.append(event)
    return found  # type: ignore[return-value]


async def settlements(chain: ChainView) -> dict[bytes, list[Settled]]:
    """The settlements on the chain, by order."""
    found: defaultdict[bytes, list[Settled]] = defaultdict(list)
    for event in await escrow_events(chain):
        if isinstance(event, Settled):
            found[event.order_hash].append(event)
    return found


async def require_exact_sums(chain: ChainView) -> None:
    """Every balance is what the events say, and the Escrow holds exactly what it owes."""
    expected: defaultdict[bytes, int] = defaultdict(int)
    for event in await escrow_events(chain):
        for account, change in balance_changes(event):
            expected[account] += change
    for account, amount in expected.items():
        assert await chain.escrow_balance(account) == amount
    escrow = chain.network.escrow
    total = bindings.decode_number(await chain.client.call(escrow, bindings.total()))
    assert total == sum(expected.values()) == await chain.native_balance(escrow)


def session_processes(leaders: Iterable[int]) -> list[int]:
    """The live processes whose session was started by one of these (zombies are dead)."""
    wanted, found = set(leaders), []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] != "Z" and int(fields[3]) in wanted:
            found.append(int(folder.name))
    return found
