# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh init`, `doctor`, `status`, `config show`: the data folder, and whether everything is there."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import trio
import typer
from rich.text import Text

from contracts.deployment import Deployment
from node.chain_view import open_chain
from node.cli.arguments import Session, address_bytes
from node.cli.deploy import contract_findings
from node.config import resolve, write_config
from node.confine.confinement import expected
from node.deployment_file import read_deployment, write_deployment
from node.devnet.anvil import find_anvil
from node.executor import pool_of
from node.keystore import create_keystore, keystore_address
from node.net import load_or_create
from node.shutdown import only_error
from node.status_file import read_status
from protocol.errors import ConfigError, DeployedCodeError, ProofmeshError

config_app = typer.Typer(no_args_is_help=True)
LEAST_FREE_BYTES = 500_000_000
STALE_SECONDS = 30
"""A running node writes how it is every five seconds; one that has not for so long hangs."""


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command("init")(init)
    app.command("doctor")(doctor)
    app.command("status")(status)
    app.add_typer(config_app, name="config", help="The settings.")


def init(
    context: typer.Context,
    network: Annotated[
        str | None, typer.Option(help="devnet (this machine) or custom. [default: devnet; custom with --deployment]")
    ] = None,
    deployment: Annotated[Path | None, typer.Option(help="Where the contracts are: what `deploy` wrote.")] = None,
    chain_id: Annotated[int | None, typer.Option(help="Id of the chain.")] = None,
    escrow: Annotated[str | None, typer.Option(help="Address of the Escrow.")] = None,
    registry: Annotated[str | None, typer.Option(help="Address of the Registry.")] = None,
    start_block: Annotated[int | None, typer.Option(help="Block in which the Escrow was deployed.")] = None,
    light: Annotated[bool, typer.Option(help="A keystore that opens fast and resists less; for tests.")] = False,
) -> None:
    """Make the data folder: a keystore with a new account, a network key, a commented config.toml.

    After `proofmesh account import` the account that was imported is kept.
    """
    session: Session = context.obj
    contracts = _deployment(deployment) if deployment is not None else None
    network = network or ("custom" if contracts else "devnet")
    values: dict[str, object] = {
        "network": network,
        "chain_id": chain_id,
        "escrow": address_bytes(escrow) if escrow else None,
        "registry": address_bytes(registry) if registry else None,
        "start_block": start_block,
        "rpc_url": session.flags.get("rpc_url"),
    }
    values = {key: value for key, value in values.items() if value is not None}
    known = values.keys() | ({"chain_id"} if contracts else set())
    if network == "custom" and not {"chain_id", "rpc_url"} <= known:
        raise ConfigError(
            "A custom network needs its chain.", remedy="Give --chain-id or --deployment and, in front, --rpc."
        )
    if network not in ("devnet", "custom"):
        raise ConfigError(f"{network!r} is no network.", remedy="Use devnet or custom.")
    folder = session.folder_for_init()
    imported = folder.keystore.exists()
    if imported and folder.config.exists():
        raise ConfigError(f"{folder.path} has a keystore already.", remedy="Choose another --data-dir.")
    if not imported and folder.journal.exists():
        raise ConfigError(
            f"{folder.path} has the journal of an account whose keystore is gone.",
            remedy="Bring it back by `proofmesh account import`, or choose another --data-dir for a new account.",
        )
    password = "" if imported else session.password(confirm=True)
    if contracts is not None:
        write_deployment(folder.deployment, contracts)
    if not folder.config.exists():
        write_config(folder.config, values)
    if not imported:
        create_keystore(folder.keystore, password, light=light)
    address = keystore_address(folder.keystore)
    identity = load_or_create(folder.path)
    session.output.say(f"Account 0x{address.hex()}, peer {identity.peer_id}, in {folder.path}.")
    session.output.say("Next: fund the account, then `proofmesh wallet deposit`.")
    session.output.result({"account": address, "peer_id": identity.peer_id, "data_dir": str(folder.path)})


def _deployment(path: Path) -> Deployment:
    found = read_deployment(path)
    if found is None:
        raise ConfigError(f"There is no {path}.", remedy="Give the file that `proofmesh deploy` wrote.")
    return found


def doctor(context: typer.Context) -> None:
    """Check what this node needs: Python, disk, keystore, confined workers, anvil, RPC and chain, contracts."""
    session: Session = context.obj
    rows = [_checked(name, look, session) for name, look in _CHECKS.items()]
    session.output.table("proofmesh doctor", ["check", "", "detail"], [[n, _mark(s), d] for n, s, d in rows])
    session.output.result({"checks": [{"name": n, "state": s, "detail": d} for n, s, d in rows]})
    if any(state == "failed" for _, state, _ in rows):
        raise typer.Exit(3)


def status(context: typer.Context) -> None:
    """Show how the node of this data folder is: jobs by phase, peers, tasks; as it wrote it a few seconds ago."""
    session: Session = context.obj
    found = read_status(session.folder())
    if found is None:
        raise ConfigError("No node has run on this data folder.", remedy="Start one, or choose another --data-dir.")
    age = int(time.time()) - int(found["at"])
    by_relay = f", {found['peers_by_relay']} of them by a relay" if found.get("peers_by_relay") else ""
    running = age <= STALE_SECONDS and Path(f"/proc/{found['pid']}").exists()
    said = "runs" if running else "ended, or hangs"
    peers = f"{found['peers_connected']} peers connected{by_relay}"
    session.output.say(f"Process {found['pid']} {said}; {age} s ago: {peers}.")
    if found.get("carried_for_others"):
        session.output.say(f"{found['carried_for_others']} connections carried for others.")
    if found["storage"]["halted"]:
        session.output.say(f"Nothing new is promised: {found['storage']['halted']}.")
    for role, phases in found["jobs"].items():
        said = ", ".join(f"{count} {phase}" for phase, count in sorted(phases.items())) or "no jobs"
        session.output.say(f"{role}: {said}")
    session.output.result({**found, "age_seconds": age, "running": running})


def _checked(name: str, look: Callable[[Session], str], session: Session) -> tuple[str, str, str]:
    try:
        return name, "ok", look(session)
    except ProofmeshError as error:
        optional = name in ("anvil", "workers") and isinstance(error, ConfigError)
        return name, "missing" if optional else "failed", str(error)
    except BaseExceptionGroup as group:
        return name, "failed", str(only_error(group))


def _python(session: Session) -> str:
    return f"{sys.version.split()[0]}, {sys.platform}"


def _folder(session: Session) -> str:
    folder = session.folder()
    folder.require_free(LEAST_FREE_BYTES)
    return f"{folder.path}, {shutil.disk_usage(folder.path).free // 10**9} GB free"


def _keystore(session: Session) -> str:
    return f"account 0x{session.address().hex()}"


def _anvil(session: Session) -> str:
    return str(find_anvil())


def _workers(session: Session) -> str:
    """Start one, as a bundle's audit would, and say what it has given up."""

    async def look() -> None:
        async with pool_of(session.settings(), session.folder(), 1) as pool:
            await pool.run(os.getpid)

    trio.run(look)
    offered = expected()
    if offered.files and offered.network_and_processes:
        return "confined: no other files, no network, no processes"
    raise ConfigError(
        "Workers have limits on memory and time alone; a hostile bundle that takes one over could do more.",
        remedy="Run this node on Linux 5.13 or later, on x86-64.",
    )


def _chain(session: Session) -> str:
    settings = session.settings()

    async def look() -> str:
        async with open_chain(settings) as chain:
            code = await chain.client.code(chain.network.escrow)
            if not code:
                raise ConfigError("There is no contract at the Escrow's address.", remedy="Check escrow.")
            header = await chain.client.header("latest")
            return f"chain {settings.chain_id}, block {header.number if header else '?'}, Escrow found"

    return trio.run(look)


def _contracts(session: Session) -> str:
    wrong = [each for each in contract_findings(session, session.settings()) if not each.good]
    if wrong:
        raise DeployedCodeError(f"{wrong[0].subject}: {wrong[0].detail}.", remedy="See `proofmesh chain check`.")
    return "as this version was built with"


_CHECKS: dict[str, Callable[[Session], str]] = {
    "python": _python,
    "data folder": _folder,
    "keystore": _keystore,
    "workers": _workers,
    "anvil": _anvil,
    "chain": _chain,
    "contracts": _contracts,
}


def _mark(state: str) -> Text:
    return {"ok": Text("ok", "green"), "missing": Text("missing", "yellow")}.get(state, Text("failed", "bold red"))


@config_app.callback()
def config_group() -> None:
    """The settings."""


@config_app.command("show")
def show(context: typer.Context) -> None:
    """Show every setting and where its value comes from: flag, environment, file or default."""
    session: Session = context.obj
    resolved = resolve(session.data_dir, session.flags)
    fields = resolved.settings.model_dump(mode="json")
    rows: list[tuple[str, object, str]] = []
    for key, origin in resolved.origins.items():
        value: object = fields
        for part in key.split("."):
            value = value[part] if isinstance(value, dict) else value
        rows.append((key, "(set)" if key in ("rpc_url", "rpc_urls") and value else value, origin))
    session.output.table("Settings", ["key", "value", "from"], rows)
    session.output.result({key: {"value": value, "from": origin} for key, value, origin in rows})
