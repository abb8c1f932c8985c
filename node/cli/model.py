# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh model`: from a trained model to a program that the market knows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts.records import ModelRecord
from node.bundle_store import BundleStore, BundleUnknownError, program_of
from node.chain_view import ChainView
from node.cli.arguments import Session, fixed_bytes
from node.cli.chain_command import with_chain
from node.client_api import Client
from node.model_settings import read_settings
from node.shutdown import run_until_signal
from protocol.errors import UsageError
from protocol.scalars import ZERO_HASH
from proving.audit import audit
from proving.bundle import Bundle, build, load
from proving.manifest import Manifest

app = typer.Typer(no_args_is_help=True)


@app.command("compile")
def compile_model(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="The ONNX file.")],
    settings: Annotated[Path, typer.Argument(help="JSON: inputs with ranges, output, threshold (see the README).")],
    name: Annotated[str, typer.Option(help="A name for people.")] = "model",
) -> None:
    """Compile an ONNX model to a circuit, make development keys, and keep the bundle."""
    session: Session = context.obj
    chosen, provenance = read_settings(settings)
    try:
        onnx = model.read_bytes()
    except OSError as error:
        raise UsageError(f"{model} cannot be read ({error.strerror}).") from None
    session.output.step("Compiling, then making keys (single-party: not for real funds) ...")
    bundle = build(onnx, chosen, session.folder().bundles, name, provenance=provenance)
    BundleStore(session.folder().bundles).remember(audit(bundle))
    _describe(session, bundle)


@app.command("add")
def add(context: typer.Context, folder: Annotated[Path, typer.Argument(help="Folder of a bundle.")]) -> None:
    """Take a bundle from a folder into the store, audited."""
    session: Session = context.obj
    bundle = load(folder)
    target = session.folder().bundles / bundle.id.hex()
    if not target.exists():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copytree(folder, target)
    BundleStore(session.folder().bundles).remember(audit(load(target, bundle.id)))
    _describe(session, load(target, bundle.id))


@app.command("audit")
def audit_model(
    context: typer.Context, bundle: Annotated[str, typer.Argument(help="Id or folder of a bundle.")]
) -> None:
    """Recompile the model, compare the circuit, make and verify a proof with the bundle's own keys."""
    session: Session = context.obj
    found = _find(session, bundle)
    result = audit(found)
    BundleStore(session.folder().bundles).remember(result)
    for check in result.checks:
        session.output.say(f"  [green]yes[/] {check}")
    session.output.say(f"{result.constraints} constraints, a proof takes about {result.proving_ms} ms.")
    session.output.result(
        {
            "bundle_id": result.bundle_id,
            "program_id": result.program_id,
            "circuit_hash": result.circuit_hash,
            "constraints": result.constraints,
            "proving_ms": result.proving_ms,
            "checks": list(result.checks),
        }
    )


@app.command()
def publish(
    context: typer.Context,
    bundle: Annotated[str, typer.Argument(help="Id or folder of a bundle.")],
    royalty_bps: Annotated[int, typer.Option(help="Your share of each price, in 1/100 of a percent.")] = 0,
    licence: Annotated[str | None, typer.Option(help="Licence of the model.")] = None,
    uri: Annotated[str, typer.Option(help="Where people read about it.")] = "",
    parent: Annotated[str | None, typer.Option(help="Id of the model that this one replaces.")] = None,
) -> None:
    """Register the program and publish the model with its provenance; both are immutable."""
    session: Session = context.obj
    found = _find(session, bundle)
    source = found.manifest.provenance
    record = ModelRecord(
        program_id=bytes.fromhex(found.manifest.program_id),
        bundle_id=found.id,
        weights_commitment=ZERO_HASH,
        onnx_hash=bytes.fromhex(found.manifest.file("model.onnx").sha256),
        training_data_root=bytes.fromhex(source.training_data_root),
        training_record_hash=bytes.fromhex(source.training_record_hash),
        parent_model=fixed_bytes(parent, 32, "a model id") if parent else bytes.fromhex(source.parent_model),
        royalty_bps=royalty_bps,
        licence=licence if licence is not None else source.licence,
        uri=uri,
    )

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
    store = BundleStore(session.folder().bundles)
    here = [(identity, store.manifest(identity)) for identity in store.ids()]
    session.output.table(
        "Bundles here",
        ["bundle", "name", "inputs", "constraints", "audited"],
        [[i.hex(), m.name, len(m.inputs), m.constraints, "yes" if store.audit_of(i) else "no"] for i, m in here],
    )
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
            "models": published,
        }
    )


@app.command()
def show(context: typer.Context, bundle: Annotated[str, typer.Argument(help="Id or folder of a bundle.")]) -> None:
    """Show a bundle: inputs, what the output means, accuracy, provenance, keys."""
    session: Session = context.obj
    _describe(session, _find(session, bundle))


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
        _describe(session, found[0])


def _find(session: Session, name: str) -> Bundle:
    if (Path(name) / "manifest.json").is_file():
        return load(Path(name))
    try:
        identity = fixed_bytes(name, 32, "a bundle id")
    except UsageError:
        raise BundleUnknownError(f"{name[:80]!r} is no folder of a bundle, and no bundle id.") from None
    return BundleStore(session.folder().bundles).load(identity)


def _describe(session: Session, bundle: Bundle) -> None:
    manifest = bundle.manifest
    session.output.say(f"[bold]{manifest.name}[/]: bundle {bundle.id.hex()}")
    rows = [
        ["program", f"0x{manifest.program_id}"],
        ["output", manifest.output.meaning],
        ["inputs", _inputs(manifest)],
        ["circuit", f"{manifest.constraints} constraints, hash {manifest.circuit_hash[:16]}"],
        ["keys", "dev: single-party, not for real funds" if manifest.dev else manifest.setup_kind],
        *[[f"accuracy: {metric.name}", metric.value] for metric in manifest.accuracy],
        *[[f"trained: {metric.name}", metric.value] for metric in manifest.provenance.metrics],
        ["licence", manifest.provenance.licence or "-"],
        ["about", manifest.provenance.description or "-"],
    ]
    session.output.table("Manifest", ["what", ""], rows)
    session.output.result({"bundle_id": bundle.id, "manifest": json.loads(manifest.to_bytes())})


def _inputs(manifest: Manifest) -> str:
    shown = [f"{each.name} [{each.low}, {each.high}]" for each in manifest.ranges[:8]]
    more = len(manifest.ranges) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
