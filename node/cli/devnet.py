# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh devnet`: a whole market on this machine, for trying things out."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import trio
import typer

from node.cli.arguments import Session, address_bytes, wei
from node.cli.output import ether
from node.data_folder import open_data_folder
from node.devnet.anvil import find_anvil
from node.devnet.world import DEFAULT_PROVERS, Devnet, Plan, World, read_devnet, running_devnet
from node.log import configure_logging
from node.shutdown import run_until_signal
from protocol.errors import AnvilFailedError, ConfigError

app = typer.Typer(no_args_is_help=True)

UP_SECONDS = 90
DOWN_SECONDS = 60
"""Each node finishes what it has in hand; a busy machine takes its time."""
Bundles = Annotated[list[Path] | None, typer.Option("--bundle", help="Folder of a bundle to publish. Repeatable.")]
Anvil = Annotated[Path | None, typer.Option(help="The anvil to run; else PATH, then node_modules.")]
Provers = Annotated[int, typer.Option(min=0, max=3, help="How many provers.")]
Verifiers = Annotated[int, typer.Option(min=0, max=3, help="How many verifiers.")]
BlockTime = Annotated[
    int, typer.Option(min=0, max=60, help="Seconds from block to block; 0: also one for each transaction at once.")
]


@app.command()
def up(
    context: typer.Context,
    bundle: Bundles = None,
    anvil: Anvil = None,
    provers: Provers = 3,
    verifiers: Verifiers = 1,
    block_time: BlockTime = 0,
) -> None:
    """Start anvil, deploy the contracts, start the nodes; they run until `devnet down`."""
    session: Session = context.obj
    folder = _folder(session)
    known = read_devnet(folder)
    if known is not None and _alive(known.pid):
        raise ConfigError(f"A devnet runs in {folder} already.", remedy="Run `proofmesh devnet down` first.")
    find_anvil(anvil)
    command = [sys.executable, "-m", "proofmesh.main", "devnet", "run"]
    command += ["--provers", str(provers), "--verifiers", str(verifiers), "--block-time", str(block_time)]
    for path in bundle or []:
        command += ["--bundle", str(path.resolve())]
    if anvil is not None:
        command += ["--anvil", str(anvil)]
    with open_data_folder(folder).locked():  # not while another one starts
        (folder / "devnet.json").unlink(missing_ok=True)
    session.output.step("Starting chain, contracts and nodes ...")
    with (folder / "devnet.log").open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PROOFMESH_DATA_DIR": str(session.settings().data_dir)},
        )
    found = None
    try:
        for _ in range(UP_SECONDS * 10):
            found = read_devnet(folder)
            if found is not None or process.poll() is not None:
                break
            time.sleep(0.1)
    finally:
        if found is None:  # also when Ctrl-C came
            process.terminate()
            process.wait(DOWN_SECONDS)
    if found is None:
        raise AnvilFailedError(f"The devnet did not start; see {folder / 'devnet.log'}.")
    _show(session, found)


@app.command(hidden=True)
def run(
    context: typer.Context,
    bundle: Bundles = None,
    anvil: Anvil = None,
    provers: Provers = 3,
    verifiers: Verifiers = 1,
    block_time: BlockTime = 0,
) -> None:
    """Run a devnet in the foreground until Ctrl-C."""
    session: Session = context.obj
    configure_logging(level="info", format="console")
    folder = _folder(session)
    plan = Plan(
        folder,
        find_anvil(anvil),
        DEFAULT_PROVERS[:provers],
        verifiers,
        tuple(bundle or ()),
        block_seconds=block_time or 1.0,
        mine_at_once=block_time == 0,
    )

    async def program() -> None:
        async with running_devnet(plan):
            await trio.sleep_forever()

    with open_data_folder(folder).locked():
        for left in (folder / "nodes").glob("*"):
            _clear(left)
        try:
            run_until_signal(program)
        finally:
            (folder / "devnet.json").unlink(missing_ok=True)


@app.command()
def status(context: typer.Context) -> None:
    """Show the devnet: RPC, contracts, nodes, models, and how to use it."""
    session: Session = context.obj
    _show(session, _running(session))


@app.command()
def faucet(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="Account that gets the ETH.")],
    amount: Annotated[str, typer.Argument(help="For example 10eth.")] = "10eth",
) -> None:
    """Give an account ETH on the devnet."""
    session: Session = context.obj
    found, account, value = _running(session), address_bytes(address), wei(amount)
    trio.run(World.fund, found.rpc_url, account, value)
    session.output.say(f"0x{account.hex()} got {ether(value)}.")
    session.output.result({"account": account, "amount_wei": str(value)})


@app.command()
def down(context: typer.Context) -> None:
    """Stop the devnet and all of its processes; its chain is gone."""
    session: Session = context.obj
    found = _running(session)
    os.kill(found.pid, signal.SIGTERM)
    session.output.step("Stopping nodes and chain ...")
    for _ in range(DOWN_SECONDS * 10):
        if not _alive(found.pid):
            session.output.say("The devnet is down.")
            session.output.result({"down": True})
            return
        time.sleep(0.1)
    raise AnvilFailedError(
        f"The devnet (process {found.pid}) does not stop.", remedy="Wait and run it again, or kill that process."
    )


def _running(session: Session) -> Devnet:
    found = read_devnet(_folder(session))
    if found is None or not _alive(found.pid):
        raise ConfigError("No devnet runs here.", remedy="Run `proofmesh devnet up`.")
    return found


def _folder(session: Session) -> Path:
    return session.folder_for_init().path / "devnet"


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, IndexError, ProcessLookupError):
        return False


def _clear(folder: Path) -> None:
    """Remove a node's folder of an earlier devnet: its chain is gone, and its nonces with it."""
    shutil.rmtree(folder, ignore_errors=True)


def _show(session: Session, found: Devnet) -> None:
    output = session.output
    output.say(f"Chain {found.chain_id} at {found.rpc_url}; Escrow {found.escrow}, Registry {found.registry}")
    output.table(
        "Nodes",
        ["name", "account", "process", "address"],
        [[n.name, n.account, n.node_pid or "-", n.addresses[0] if n.addresses else "-"] for n in found.nodes],
    )
    for model in found.models:
        output.say(f"Model {model['name']}: bundle {model['bundle_id']}, model {model['model_id']}")
    client = found.node("client")
    output.say(f"Use it: export PROOFMESH_DATA_DIR={client.data_dir} PROOFMESH_PASSWORD_FILE={found.password_file}")
    output.result(asdict(found))
