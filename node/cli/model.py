# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh model`: from a trained model to a program that the market knows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import trio
import typer

from node.bundle_store import BundleStore, program_of
from node.chain_view import ChainView
from node.cli.arguments import Session, fixed_bytes
from node.cli.bundles import audit, find, store
from node.cli.chain_command import with_chain
from node.cli.model_compile import compile_model
from node.cli.model_history import report_history
from node.cli.model_report import describe, inspect
from node.client_api import Client
from node.model_history import history_of
from node.model_record import model_record
from node.shutdown import run_until_signal
from protocol.errors import ManifestError
from proving.bundle import Bundle, load
from proving.manifest import Manifest

app = typer.Typer(no_args_is_help=True)
MAX_ROYALTY_BPS = 5_000
"""The Registry takes no more."""


app.command("compile")(compile_model)


@app.command("add")
def add(context: typer.Context, folder: Annotated[Path, typer.Argument(help="Folder of a bundle.")]) -> None:
    """Take a bundle from a folder into the store, audited."""
    session: Session = context.obj
    bundle = trio.run(store(session).take, load(folder))
    audit(session, bundle)
    describe(session, bundle)


@app.command("audit")
def audit_model(
    context: typer.Context,
    bundle: Annotated[str, typer.Argument(help="Id or folder of a bundle.")],
    powers_of_tau: Annotated[
        Path | None, typer.Option("--ptau", help="Powers of tau, for keys that come from a ceremony.")
    ] = None,
) -> None:
    """Recompile the model, compare the circuit, check the whole proving key, make and verify a proof with it."""
    session: Session = context.obj
    found = find(session, bundle)
    result = audit(session, found, powers_of_tau)
    for check in result.checks:
        session.output.say(f" {check}", lead="  yes", style="green")
    session.output.say(
        f"{result.constraints} constraints, a proof takes about {result.proving_ms} ms. The audit compiled the model "
        f"in {result.compile_ms} ms and checked the key in {result.key_ms} ms."
    )
    session.output.result(
        {
            "bundle_id": result.bundle_id,
            "program_id": result.program_id,
            "circuit_hash": result.circuit_hash,
            "constraints": result.constraints,
            "proving_ms": result.proving_ms,
            "compile_ms": result.compile_ms,
            "key_ms": result.key_ms,
            "checks": list(result.checks),
        }
    )


@app.command()
def publish(
    context: typer.Context,
    bundle: Annotated[str, typer.Argument(help="Id or folder of a bundle.")],
    royalty_bps: Annotated[
        int, typer.Option(min=0, max=MAX_ROYALTY_BPS, help="Your share of each price, in 1/100 of a percent.")
    ] = 0,
    licence: Annotated[str | None, typer.Option(help="Licence of the model.")] = None,
    uri: Annotated[str, typer.Option(help="Where people read about it.")] = "",
    parent: Annotated[str | None, typer.Option(help="Id of the model that this one replaces.")] = None,
) -> None:
    """Register the program and publish the model with its provenance; both are immutable."""
    session: Session = context.obj
    found = find(session, bundle)
    parent_id = fixed_bytes(parent, 32, "a model id") if parent else None
    record = model_record(found, royalty_bps, uri, licence=licence, parent_model=parent_id)

    async def work(chain: ChainView) -> None:
        registered = await chain.register_program(program_of(found.manifest))
        model_id, published = await chain.publish_model(record)
        session.output.say(f"Program 0x{record.program_id.hex()} (gas {registered.gas_used})")
        session.output.say(f"Model   0x{model_id.hex()} (gas {published.gas_used})")
        session.output.result(
            {
                "program_id": record.program_id,
                "model_id": model_id,
                "bundle_id": found.id,
                "transaction_hash": published.transaction_hash,
                "gas": registered.gas_used + published.gas_used,
            }
        )

    with_chain(session, work)


@app.command("list")
def list_models(context: typer.Context) -> None:
    """List the bundles that are here, and the models on the chain."""
    session: Session = context.obj
    kept = store(session)
    here, unreadable = _bundles_here(kept)
    session.output.table(
        "Bundles here",
        ["bundle", "name", "inputs", "constraints", "audited"],
        [[i.hex(), m.name, len(m.inputs), m.constraints, "yes" if kept.audit_of(i) else "no"] for i, m in here],
    )
    for identity, reason in unreadable.items():
        session.output.say(f"{identity.hex()}: {reason}")
    published: list[dict[str, Any]] = []

    async def work(chain: ChainView) -> None:
        published.extend(
            {
                "model_id": event.model_id,
                "publisher": event.publisher,
                "bundle_id": event.record.bundle_id,
                "program_id": event.record.program_id,
                "royalty_bps": event.record.royalty_bps,
                "licence": event.record.licence,
            }
            for event in await chain.models()
        )

    if session.settings().escrow is not None:
        with_chain(session, work, sign=False)
        session.output.table(
            "Models on the chain",
            ["model", "bundle", "royalty (bps)", "licence"],
            [[m["model_id"].hex(), m["bundle_id"].hex(), m["royalty_bps"], m["licence"]] for m in published],
        )
    session.output.result(
        {
            "bundles": [{"bundle_id": i, "name": m.name, "program_id": m.program_id} for i, m in here],
            "unreadable": [{"bundle_id": i, "reason": reason} for i, reason in unreadable.items()],
            "models": published,
        }
    )


def _bundles_here(kept: BundleStore) -> tuple[list[tuple[bytes, Manifest]], dict[bytes, str]]:
    """Return the bundles on disk by their manifests, and why others cannot be read: damaged, or of another version."""
    here, unreadable = [], {}
    for identity in kept.ids():
        try:
            here.append((identity, kept.manifest(identity)))
        except ManifestError as error:
            unreadable[identity] = error.message
    return here, unreadable


@app.command()
def history(context: typer.Context, model: Annotated[str, typer.Argument(help="Id of a model.")]) -> None:
    """Print what the chain knows of a model: publisher, origin, ancestors, advice, and the proofs that were paid."""
    session: Session = context.obj
    model_id = fixed_bytes(model, 32, "a model id")

    async def work(chain: ChainView) -> None:
        report_history(session, await history_of(chain, model_id))

    with_chain(session, work, sign=False)


@app.command()
def show(context: typer.Context, bundle: Annotated[str, typer.Argument(help="Id or folder of a bundle.")]) -> None:
    """Show a bundle: inputs, what the output means, accuracy, provenance, keys."""
    session: Session = context.obj
    describe(session, find(session, bundle))


@app.command("inspect")
def inspect_model(
    context: typer.Context, bundle: Annotated[str, typer.Argument(help="Id or folder of a bundle.")]
) -> None:
    """Show where a model's constraints go, what a proof costs on this machine, and how accurate the circuit is."""
    session: Session = context.obj
    inspect(session, find(session, bundle))


@app.command()
def pull(
    context: typer.Context,
    bundle: Annotated[str, typer.Argument(help="Id of a bundle.")],
    source: Annotated[list[str] | None, typer.Option("--from", help="Multiaddress of a peer. Repeatable.")] = None,
) -> None:
    """Fetch a bundle from peers, chunk by chunk, check it and audit it."""
    session: Session = context.obj
    bundle_id = fixed_bytes(bundle, 32, "a bundle id")
    account = session.account()
    found: list[Bundle] = []

    async def program() -> None:
        flags = {**session.flags, "bootstrap": source} if source else session.flags
        async with Client(session.settings().data_dir, account=account, settings=flags) as client:
            context_ = client.node.context
            peers = [peer.peer for peer in context_.transport.peers()]
            await context_.bundles.pull(context_.transport, bundle_id, source or peers)
            bundle_here = context_.bundles.load(bundle_id)
            await context_.bundles.audited(bundle_here, context_.workers)
            found.append(bundle_here)

    run_until_signal(program)
    if found:
        describe(session, found[0])
