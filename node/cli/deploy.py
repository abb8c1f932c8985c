# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh deploy` and `proofmesh chain check`: the contracts of a market, put on a chain and looked at there."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import trio
import typer

from contracts import deploy as deployer
from contracts.deploy import Survey
from contracts.deployment import DEFAULT_SALT, Deployment, Terms
from contracts.inspection import Finding, inspect
from contracts.rpc import Rpc
from node.chain.client import ChainClient
from node.chain.records import Call
from node.chain.rpc import RpcClient
from node.chain.store import TransactionStore
from node.chain.transactions import SendingPolicy, TransactionSender
from node.cli.arguments import Session, fixed_bytes, network_of, seconds
from node.cli.output import ether
from node.deployment_file import read_deployment, require_room, write_deployment
from node.journal import open_journal
from node.settings import Settings
from protocol.errors import ConfigError
from protocol.hashing import keccak256

chain_app = typer.Typer(no_args_is_help=True)
RpcUrl = Annotated[str | None, typer.Option("--rpc", help="JSON-RPC of the chain.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command("deploy")(deploy)
    app.add_typer(chain_app, name="chain", help="The contracts on the chain.")


def deploy(
    context: typer.Context,
    rpc: RpcUrl = None,
    chain_id: Annotated[int | None, typer.Option(help="Refuse any other chain; else that of the settings.")] = None,
    allow_dev: Annotated[
        bool, typer.Option("--allow-dev", help="Accept programs with single-party keys: not for real funds.")
    ] = False,
    withdrawal_delay: Annotated[
        str, typer.Option(help="Between asking for a withdrawal or cancel and its effect, for example 1h.")
    ] = "1h",
    salt: Annotated[str | None, typer.Option(help="32 bytes, for a market of its own beside others.")] = None,
    output: Annotated[Path | None, typer.Option(help="The deployment file; else in the data folder.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and cost; send nothing.")] = False,
) -> None:
    """Deploy Registry, verifier, Escrow and TokenDesk, and write where they are.

    Their addresses follow from the code, the options and the salt (CREATE2): they are the same on every chain and
    whoever deploys. What is there already is found and kept, so running this again is harmless. Nobody owns the
    contracts. The directory of peers, one for all markets of a chain, is added if it is missing (130,000 gas).
    The file `deployment.json` is all that other nodes need: `proofmesh init --deployment FILE`.
    """
    session: Session = context.obj
    settings = session.settings(rpc_url=rpc, chain_id=chain_id)
    terms = Terms(allow_dev, seconds(withdrawal_delay), fixed_bytes(salt, 32, "a salt") if salt else DEFAULT_SALT)
    path = output or session.folder().deployment
    with Rpc(settings.rpc_url) as reader:
        found = deployer.survey(reader, session.address(), terms, settings.chain_id)
        require_room(path, found.chain_id, found.contracts[2].address)
        _show_survey(session, found, with_result=dry_run)
        if dry_run:
            return
        deployment = _carry_out(session, settings, reader, found)
    write_deployment(path, deployment)
    session.output.say(f"Written to {path}. Next: `proofmesh chain check`; others: `init --deployment FILE`.")
    outcome = {"deployed": True, "start_block": deployment.block, "file": str(path)}
    session.output.result(_survey_fields(found) | outcome)


@chain_app.callback()
def chain_group() -> None:
    """The contracts on the chain."""


@chain_app.command("check")
def check(context: typer.Context, rpc: RpcUrl = None) -> None:
    """Compare the contracts on the chain with those that this version was built with, and with the settings.

    Exit code 4 if anything differs: then send no money there.
    """
    session: Session = context.obj
    findings = contract_findings(session, session.settings(rpc_url=rpc))
    rows = [[each.subject, "ok" if each.good else "DIFFERS", each.detail] for each in findings]
    session.output.table("proofmesh chain check", ["what", "", "found"], rows)
    good = all(each.good for each in findings)
    session.output.result({"good": good, "findings": [vars(each) for each in findings]})
    if not good:
        raise typer.Exit(4)


def contract_findings(session: Session, settings: Settings) -> tuple[Finding, ...]:
    """Return what a look at the contracts of the settings gives."""
    network = network_of(settings)
    if settings.registry is None:
        raise ConfigError("The address of the Registry is not set.", remedy="Set registry in config.toml.")
    with Rpc(settings.rpc_url) as reader:
        return inspect(reader, network, settings.registry, read_deployment(session.folder().deployment))


def _carry_out(session: Session, settings: Settings, reader: Rpc, found: Survey) -> Deployment:
    """Send what is missing by the node's own sender: journalled first, one owner of the nonces."""
    folder, account = session.folder(), session.account()
    policy = SendingPolicy(poll_s=settings.poll_ms / 1000, confirmations=1)

    async def run() -> Deployment:
        async with RpcClient(settings.rpc_url) as rpc:
            client = ChainClient(rpc)
            store = TransactionStore(journal)
            sender = TransactionSender(client, account, found.chain_id, store, policy)
            await sender.resume()

            async def submit(to: bytes, data: bytes, value: int) -> None:
                name = f"deploy-{keccak256(to + data).hex()}-"
                # A transaction that an earlier run signed is followed, not sent again.
                signed = (each.key for each in store.unfinished(account.address) if each.key.startswith(name))
                key = next(signed, name + secrets.token_hex(8))
                await sender.send(key, Call(to, data, value))

            def send(what: str, to: bytes, data: bytes, value: int) -> None:
                session.output.step(f"{what} ...")
                trio.from_thread.run(submit, to, data, value)

            def everything() -> Deployment:
                deployment = deployer.carry_out(reader, found, send)
                deployer.put_directory(reader, send)
                return deployment

            # Stopped by Ctrl-C at once: what was signed is journalled, and the next run goes on with it.
            return await trio.to_thread.run_sync(  # type: ignore[call-arg]  # stubs older than trio
                everything, abandon_on_cancel=True
            )

    with folder.locked(), open_journal(folder) as journal:
        return trio.run(run)


def _show_survey(session: Session, found: Survey, *, with_result: bool) -> None:
    say = session.output.say
    session.output.table(
        f"Chain {found.chain_id}",
        ["contract", "address", ""],
        [
            [each.name, f"0x{each.address.hex()}", "is there" if each.name in found.present else "to be deployed"]
            for each in found.contracts
        ],
    )
    if found.terms.allow_dev:
        say("Development keys will be accepted: anybody can forge proofs under them. Not for real funds.")
    if found.missing:
        proxy = "" if found.has_factory else ", the deterministic-deployment proxy among it"
        say(f"About {ether(found.cost_wei)} for {found.gas} gas{proxy}; {ether(found.most_wei)} must be there at most.")
        say(f"The account has {ether(found.balance_wei)}.")
    if with_result:
        session.output.result(_survey_fields(found) | {"deployed": False})


def _survey_fields(found: Survey) -> dict[str, object]:
    return {
        "chain_id": found.chain_id,
        "allow_dev": found.terms.allow_dev,
        "salt": found.terms.salt,
        "withdrawal_delay_seconds": found.terms.withdrawal_delay_seconds,
        "contracts": {each.name: each.address for each in found.contracts},
        "missing": [each.name for each in found.missing],
        "proxy_missing": not found.has_factory,
        "gas": found.gas,
        "cost_wei": str(found.cost_wei),
        "most_wei": str(found.most_wei),
        "balance_wei": str(found.balance_wei),
    }
