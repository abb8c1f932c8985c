# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole market on this machine: anvil, the contracts, a publisher, verifiers, provers, a funded client.

Every node is an OS process of its own, with its own data folder, keystore and log; all of them end with
this process. What a user needs to join is in `devnet.json`.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog
import trio

from contracts.deploy import deploy, put_directory
from contracts.deployment import Deployment, Terms
from contracts.rpc import Rpc
from node.bundle_store import program_of
from node.chain.rpc import RpcClient
from node.chain_view import open_chain
from node.config import load_settings, write_config
from node.data_folder import open_data_folder
from node.deployment_file import write_deployment
from node.devnet import leash
from node.devnet.anvil import run_anvil
from node.journal import Journal
from node.keystore import create_keystore, load_keystore
from node.model_record import model_record
from protocol.errors import AnvilFailedError
from protocol.signing import Account
from proving.bundle import load

log = structlog.get_logger("proofmesh.devnet")

ETHER = 10**18
START_SECONDS = 180.0
STATE_FILE = "devnet.json"


@dataclass(frozen=True)
class ProverPlan:
    """How one prover differs from the others: `price` in wei per ms, `slack` in seconds added to a promise."""

    price: int
    slack: int
    extra: Mapping[str, str] = field(default_factory=dict)
    """More settings for its environment, by their PROOFMESH_ name."""


DEFAULT_PROVERS = (
    ProverPlan(1_000_000_000, 40),
    ProverPlan(2_000_000_000, 25),
    ProverPlan(4_000_000_000, 15),
)


@dataclass(frozen=True)
class Plan:
    """What to start. `bundles` are folders of bundles that the publisher publishes and the provers serve."""

    folder: Path
    anvil: Path
    provers: Sequence[ProverPlan] = DEFAULT_PROVERS
    verifiers: int = 1
    bundles: Sequence[Path] = ()
    royalty_bps: int = 500
    block_seconds: float | None = 1.0
    mine_at_once: bool = True
    """Besides the blocks of the clock, one for each transaction."""
    withdrawal_delay: int = 60
    port: int = 0


@dataclass
class NodeRecord:
    """One node of the devnet, as `devnet.json` shows it. `pid` is that of the process that holds its leash."""

    name: str
    role: str
    account: str
    data_dir: str
    log: str
    addresses: list[str] = field(default_factory=list)
    pid: int = 0
    node_pid: int = 0


@dataclass
class Devnet:
    """A running devnet."""

    pid: int
    rpc_url: str
    chain_id: int
    escrow: str
    registry: str
    start_block: int
    password_file: str
    nodes: list[NodeRecord]
    models: list[dict[str, Any]]

    def node(self, name: str) -> NodeRecord:
        """Return the node of this name."""
        return next(node for node in self.nodes if node.name == name)


class World:
    """Starts the parts, and knows them. Made by `running_devnet`."""

    def __init__(self, plan: Plan, stack: AsyncExitStack) -> None:
        self.plan = plan
        self._stack = stack
        self.processes: dict[str, trio.Process] = {}
        self.devnet: Devnet

    async def start(self) -> None:
        """Start everything; returns when all nodes listen."""
        folder = self.plan.folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        password = folder / "password"
        password.touch(mode=0o600)
        password.write_text(secrets.token_hex(16))
        anvil = await self._stack.enter_async_context(
            run_anvil(
                self.plan.anvil,
                log=folder / "anvil.log",
                port=self.plan.port,
                block_time_s=self.plan.block_seconds,
                arguments=("--mixed-mining",) if self.plan.block_seconds and self.plan.mine_at_once else (),
            )
        )
        log.info("chain is up", rpc=anvil.url)
        deployer = Account(secrets.token_bytes(32))
        await self.fund(anvil.url, deployer.address, 10 * ETHER)
        # A salt of its own: what was signed for an earlier devnet of this chain id is void in this one.
        terms = Terms(True, self.plan.withdrawal_delay, secrets.token_bytes(32))
        deployment = await trio.to_thread.run_sync(deploy, anvil.url, deployer, terms)
        await trio.to_thread.run_sync(_put_directory, anvil.url, deployer)
        self.devnet = Devnet(
            os.getpid(),
            anvil.url,
            deployment.chain_id,
            "0x" + deployment.escrow.hex(),
            "0x" + deployment.registry.hex(),
            deployment.block,
            str(password),
            [],
            [],
        )
        await self._start_nodes(deployment)
        self.save()

    async def _start_nodes(self, deployment: Deployment) -> None:
        await self._prepare("publisher", "publisher", deployment, deposit=0)
        await self._publish()
        await self.spawn("publisher", ["publisher", "run"])
        bootstrap = list(self.devnet.node("publisher").addresses)
        for index in range(self.plan.verifiers):
            name = f"verifier-{index + 1}"
            await self._prepare(name, "verifier", deployment, deposit=0, bootstrap=bootstrap)
        provers = [f"prover-{index + 1}" for index in range(len(self.plan.provers))]
        for name in provers:
            await self._prepare(name, "prover", deployment, deposit=2 * ETHER, bootstrap=bootstrap)
        await self._prepare("client", "client", deployment, deposit=5 * ETHER, bootstrap=bootstrap)
        async with trio.open_nursery() as nursery:
            for index in range(self.plan.verifiers):
                nursery.start_soon(self.spawn, f"verifier-{index + 1}", ["verifier", "run"])
            for name in provers:
                nursery.start_soon(self.start_prover, name)

    async def start_prover(self, name: str, extra: Mapping[str, str] | None = None) -> None:
        """Start (again) a prover that was prepared; `extra` goes into its environment."""
        plan = self.plan.provers[int(name.rsplit("-", 1)[1]) - 1]
        bundles = [word for model in self.devnet.models for word in ("--bundle", model["bundle_id"])]
        environment = {
            "PROOFMESH_PROVER_WEI_PER_MS": str(plan.price),
            "PROOFMESH_PROVER_PROMISE_SLACK_SECONDS": str(plan.slack),
            "PROOFMESH_PROVER_CAPACITY": "2",
            **plan.extra,
            **(extra or {}),
        }
        await self.spawn(name, ["prover", "run", *bundles], environment)

    async def _prepare(
        self, name: str, role: str, deployment: Deployment, *, deposit: int, bootstrap: Sequence[str] = ()
    ) -> None:
        """Make a node's folder: settings, keystore, money."""
        path = self.plan.folder / "nodes" / name
        folder = open_data_folder(path)
        values: dict[str, object] = {
            "rpc_url": self.devnet.rpc_url,
            "bootstrap": list(bootstrap),
        }
        if not folder.config.exists():
            write_config(folder.config, values)
        write_deployment(folder.deployment, deployment)
        password = Path(self.devnet.password_file).read_text()
        account = create_keystore(folder.keystore, password, light=True)
        await self.fund(self.devnet.rpc_url, account.address, 10 * ETHER)
        if deposit:
            with Journal(folder.journal) as journal:
                async with open_chain(load_settings(path, environ={}), account, journal) as chain:
                    await chain.deposit(deposit, "devnet-deposit")
        record = NodeRecord(
            name, role, "0x" + account.address.hex(), str(path), str(self.plan.folder / f"{name}.log")
        )
        self.devnet.nodes.append(record)

    async def _publish(self) -> None:
        path = Path(self.devnet.node("publisher").data_dir)
        folder = open_data_folder(path)
        account = load_keystore(folder.keystore, Path(self.devnet.password_file).read_text())
        with Journal(folder.journal) as journal:
            async with open_chain(load_settings(path, environ={}), account, journal) as chain:
                for source in self.plan.bundles:
                    bundle = load(source)
                    shutil.copytree(source, folder.bundles / bundle.id.hex())
                    manifest = bundle.manifest
                    record = model_record(bundle, self.plan.royalty_bps)
                    await chain.register_program(program_of(manifest))
                    model_id, _ = await chain.publish_model(record)
                    self.devnet.models.append(
                        {
                            "name": manifest.name,
                            "model_id": "0x" + model_id.hex(),
                            "bundle_id": bundle.id.hex(),
                            "program_id": "0x" + manifest.program_id,
                        }
                    )

    async def spawn(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start a node's process and wait until it listens.

        Raises:
            AnvilFailedError: it ended at once; its log says why.
        """
        record = self.devnet.node(name)
        addresses = Path(record.data_dir) / "addresses"
        addresses.unlink(missing_ok=True)
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PROOFMESH_")}
        clean |= {
            "PROOFMESH_DATA_DIR": record.data_dir,
            "PROOFMESH_PASSWORD_FILE": self.devnet.password_file,
            **(environment or {}),
        }
        if record.addresses:
            # A node that comes back is where its peers knew it, as with any operator's fixed port.
            listening = [address.split("/p2p/")[0] for address in record.addresses]
            clean["PROOFMESH_LISTEN"] = ",".join(listening)
        line = [sys.executable, "-m", "proofmesh.main", "--json", *command]
        with open(record.log, "ab") as output:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-S", "-E", leash.__file__, *line],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=clean,
            )
        self.processes[name] = process
        record.pid = process.pid
        with trio.move_on_after(START_SECONDS):
            while process.poll() is None:
                if addresses.exists() and (text := addresses.read_text()).strip():
                    record.addresses = text.split()
                    record.node_pid = _child_of(process.pid)
                    log.info("node is up", name=name)
                    return
                await trio.sleep(0.05)
        raise AnvilFailedError(f"The node {name} did not start; see {record.log}.")

    async def stop(self, name: str, *, hard: bool = False) -> None:
        """Stop a node: as its operator would, or (hard) as a power cut would."""
        process = self.processes.pop(name)
        if hard:
            os.kill(self.devnet.node(name).node_pid, 9)
        elif process.stdin is not None:
            await process.stdin.aclose()
        await process.wait()

    async def stop_all(self) -> None:
        """Stop every node, at once."""
        async with trio.open_nursery() as nursery:
            for name in list(self.processes):
                nursery.start_soon(self.stop, name)

    @staticmethod
    async def fund(rpc_url: str, account: bytes, amount: int) -> None:
        """Give an account ETH; a power that only a development chain has."""
        async with RpcClient(rpc_url) as rpc:
            held = int(await rpc.call("eth_getBalance", "0x" + account.hex(), "latest"), 16)
            await rpc.call("anvil_setBalance", "0x" + account.hex(), hex(held + amount))

    def save(self) -> None:
        """Write `devnet.json`, whole or not at all."""
        path = self.plan.folder / STATE_FILE
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self.devnet), indent=2, sort_keys=True) + "\n")
        os.replace(fresh, path)


@asynccontextmanager
async def running_devnet(plan: Plan) -> AsyncIterator[World]:
    """Run a devnet for the length of a block."""
    async with AsyncExitStack() as stack:
        world = World(plan, stack)
        try:
            await world.start()
            yield world
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 10):
                await world.stop_all()


def read_devnet(folder: Path) -> Devnet | None:
    """Return the devnet that `devnet.json` in this folder describes, None if there is none."""
    try:
        fields = json.loads((folder / STATE_FILE).read_text())
        return Devnet(**{**fields, "nodes": [NodeRecord(**node) for node in fields["nodes"]]})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None


def _child_of(pid: int) -> int:
    """Return the pid of the command on a leash."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else pid


def _put_directory(rpc_url: str, deployer: Account) -> None:
    with Rpc(rpc_url) as rpc:
        put_directory(rpc, lambda what, to, data, value: rpc.transact(deployer, to, data, value))
