# SPDX-License-Identifier: GPL-3.0-or-later
"""Sets a market up by the commands that anybody has: chain and contracts, a model, folders, keys, money, daemons."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from sims.cluster.chain import Chain
from sims.cluster.commands import ClusterError, run
from sims.cluster.customer import Customer
from sims.cluster.daemon import Daemon, Partitions, free_port
from sims.cluster.link import Link
from sims.cluster.model import write_model
from sims.cluster.options import BLOCK_SECONDS, CONFIRMATIONS, POLL_MS, SLACK_SECONDS, Options
from sims.cluster.processes import PROOFMESH, environment, start

ETHER = 10**18
WALLET_WEI = 10 * ETHER
DEPOSIT_WEI = {"prover": 2 * ETHER, "client": 5 * ETHER, "verifier": 0, "publisher": 0}
CHAIN_SECONDS = 600.0
AT_ONCE = 3
"""Daemons that start at the same time: each takes two seconds of CPU."""
STRATEGIES = ("wrong-proof", "stall", "vanish")
"""What Byzantine provers do, in turn."""
VERIFIER_STRATEGY = "swallow"
COMMON = {"PROOFMESH_CONFIRMATIONS": str(CONFIRMATIONS), "PROOFMESH_POLL_MS": str(POLL_MS)}


@dataclass
class Market:
    """The running cluster."""

    options: Options
    chain: Chain
    devnet: dict[str, Any]
    bundle: Path
    links: trio.Nursery
    partitions: Partitions = field(default_factory=Partitions)
    daemons: list[Daemon] = field(default_factory=list)
    customers: list[Customer] = field(default_factory=list)
    first_block: int = 0
    wallets_before: dict[str, int] = field(default_factory=dict)

    @property
    def password_file(self) -> Path:
        """Where the password of all keystores is."""
        return Path(self.devnet["password_file"])

    @property
    def parties(self) -> list[Daemon | Customer]:
        """Daemons and clients."""
        return [*self.daemons, *self.customers]

    @property
    def accounts(self) -> list[str]:
        """Accounts of daemons and clients."""
        return [party.account for party in self.parties]

    def daemon(self, name: str) -> Daemon:
        """Return the daemon of this name."""
        return next(daemon for daemon in self.daemons if daemon.name == name)

    def customer(self, name: str) -> Customer:
        """Return the client of this name."""
        return next(customer for customer in self.customers if customer.name == name)


async def set_up(options: Options, nursery: trio.Nursery, note: Callable[[str], None]) -> Market:
    """Return a market whose daemons are up and whose clients are funded.

    Raises:
        ClusterError: something did not start.
    """
    folder = options.folder.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)
    note("compiling a model")
    bundle = await _compile(folder, options.seed)
    note("starting chain and contracts")
    devnet = await _start_chain(folder, bundle)
    market = Market(options, Chain(devnet["rpc_url"]), devnet, bundle, nursery)
    note("making folders, keys and deposits")
    await _adopt_publisher(market)
    await _make_nodes(market)
    await _fund(market)
    note(f"starting {len(market.daemons)} daemons")
    await _start_daemons(market, note)
    market.first_block = await market.chain.height()
    for account in market.accounts:
        market.wallets_before[account] = await market.chain.balance(account, market.first_block)
    return market


async def _compile(folder: Path, seed: int) -> Path:
    owner = folder / "owner"
    owner.mkdir(mode=0o700)
    onnx, settings = write_model(folder, seed)
    words = ["model", "compile", str(onnx), str(settings), "--name", "cluster"]
    compiled = await run(owner, folder / "no-password", words)
    return owner / "bundles" / str(compiled["bundle_id"]).removeprefix("0x")


async def _start_chain(folder: Path, bundle: Path) -> dict[str, Any]:
    home, password = folder / "home", folder / "no-password"
    words = ["devnet", "run", "--provers", "0", "--verifiers", "0", "--block-time", str(BLOCK_SECONDS)]
    child = await start(
        [*PROOFMESH, *words, "--bundle", str(bundle)], environment(home, password, {}), folder / "chain.log"
    )
    state = home / "devnet" / "devnet.json"
    with trio.move_on_after(CHAIN_SECONDS):
        while child.leash.poll() is None:
            if state.exists():
                found: dict[str, Any] = json.loads(state.read_text())
                return found
            await trio.sleep(0.1)
    raise ClusterError(f"The chain did not start; see {folder / 'chain.log'}.")


async def _adopt_publisher(market: Market) -> None:
    """Stop the devnet's publisher and put one of ours, behind proxies, on its folder."""
    (record,) = [node for node in market.devnet["nodes"] if node["role"] == "publisher"]
    os.kill(record["node_pid"], signal.SIGTERM)
    data_dir = Path(record["data_dir"])
    with trio.fail_after(CHAIN_SECONDS):
        while Path(f"/proc/{record['node_pid']}").exists():
            await trio.sleep(0.1)
    (data_dir / "addresses").unlink(missing_ok=True)
    await _add_daemon(market, "publisher", "publisher", record["account"], data_dir, ("publisher", "run"), {})


async def _make_nodes(market: Market) -> None:
    options, bundle_id = market.options, market.bundle.name
    limit = trio.CapacityLimiter(AT_ONCE)

    async def client(index: int) -> None:
        name = f"client-{index + 1}"
        account, data_dir = await _init(market, name, limit)
        market.customers.append(
            Customer(name, account, data_dir, market.password_file, market.bundle, options, dict(COMMON))
        )

    async def node(role: str, index: int, command: tuple[str, ...], settings: dict[str, str], lie: str) -> None:
        account, data_dir = await _init(market, f"{role}-{index + 1}", limit)
        await _add_daemon(market, f"{role}-{index + 1}", role, account, data_dir, command, settings, lie)

    async with trio.open_nursery() as nursery:
        for index in range(options.clients):
            nursery.start_soon(client, index)
        for index in range(options.verifiers):
            lie = VERIFIER_STRATEGY if index >= options.verifiers - options.lying_verifiers else ""
            nursery.start_soon(node, "verifier", index, ("verifier", "run"), {}, lie)
        for index in range(options.provers):
            # The liars are the cheapest: they win every auction until they are known.
            lie = STRATEGIES[index % len(STRATEGIES)] if index < options.liars else ""
            words = ("prover", "run", "--bundle", bundle_id)
            nursery.start_soon(node, "prover", index, words, _tariff(index), lie)
    market.daemons.sort(key=lambda daemon: (_START_ORDER.index(daemon.role), daemon.name))
    market.customers.sort(key=lambda customer: customer.name)
    for customer in market.customers:
        customer.provers = [daemon.account for daemon in market.daemons if daemon.role == "prover"]


_START_ORDER = ("publisher", "verifier", "prover")


def _tariff(index: int) -> dict[str, str]:
    """Every second prover locks what it is awarded."""
    return {
        "PROOFMESH_PROVER_WEI_PER_MS": str((index + 1) * 10**9),
        "PROOFMESH_PROVER_PROMISE_SLACK_SECONDS": str(SLACK_SECONDS),
        "PROOFMESH_PROVER_CAPACITY": "1",
        "PROOFMESH_PROVER_LOCK_ABOVE_MS": "0" if index % 2 else "30000",
    }


async def _init(market: Market, name: str, limit: trio.CapacityLimiter) -> tuple[str, Path]:
    devnet, data_dir = market.devnet, market.options.folder.resolve() / "nodes" / name
    data_dir.mkdir(mode=0o700, parents=True)
    words = ["--rpc", devnet["rpc_url"], "init", "--light", "--chain-id", str(devnet["chain_id"])]
    words += ["--escrow", devnet["escrow"], "--registry", devnet["registry"]]
    async with limit:
        made = await run(data_dir, market.password_file, [*words, "--start-block", str(devnet["start_block"])])
    return str(made["account"]), data_dir


async def _add_daemon(
    market: Market,
    name: str,
    role: str,
    account: str,
    data_dir: Path,
    command: tuple[str, ...],
    settings: dict[str, str],
    lie: str = "",
) -> None:
    peers = Link(free_port(), market.partitions.refused)
    rpc = Link(int(market.devnet["rpc_url"].rsplit(":", 1)[1]))
    await market.links.start(peers.run)
    await market.links.start(rpc.run)
    program = PROOFMESH
    if lie:
        program = (sys.executable, str(market.options.byzantine_program), lie, "--json")
    market.daemons.append(
        Daemon(
            name=name,
            role=role,
            account=account,
            data_dir=data_dir,
            password_file=market.password_file,
            log=market.options.folder.resolve() / "logs" / f"{name}.log",
            command=command,
            settings={**COMMON, **settings},
            peers=peers,
            rpc=rpc,
            program=program,
            honest=not lie,
        )
    )


async def _fund(market: Market) -> None:
    chain, hashes = market.chain, []
    for party in market.parties:
        await chain.fund(party.account, WALLET_WEI)
        if deposit := DEPOSIT_WEI[party.role]:
            hashes.append(await chain.deposit_for(market.devnet["escrow"], party.account, deposit))
    with trio.fail_after(CHAIN_SECONDS):
        for transaction in hashes:
            while (receipt := await chain.call("eth_getTransactionReceipt", transaction)) is None:
                await trio.sleep(0.2)
            if receipt["status"] != "0x1":
                raise ClusterError("A deposit was not taken.")


async def _start_daemons(market: Market, note: Callable[[str], None]) -> None:
    limit = trio.CapacityLimiter(AT_ONCE)

    async def begin(daemon: Daemon) -> None:
        async with limit:
            await daemon.launch()
            await daemon.up()
            note(f"{daemon.name} is up")

    first, *others = market.daemons
    await begin(first)
    for party in market.parties[1:]:
        party.settings = {**party.settings, "PROOFMESH_BOOTSTRAP": first.address}
    try:
        async with trio.open_nursery() as nursery:
            for daemon in others:
                nursery.start_soon(begin, daemon)
    except* trio.TooSlowError:
        raise ClusterError("A daemon did not come up in time.") from None
