# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh commit`, `prove` and `verify`: without the market; the input never leaves this machine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.arguments import Session, address_bytes, fixed_bytes
from node.cli.bundles import confined, find
from node.cli.output import hexed
from node.opening_file import fresh_secrets, read_opening, write_opening
from protocol import bounded_json
from protocol.binding import local_binding
from protocol.errors import ProofInvalidError, UsageError
from protocol.scalars import BN254_SCALAR_ORDER
from proving.inputs import parse_inputs, read_inputs
from proving.prover import prove as make_proof
from proving.prover import verify as check_proof
from proving.readout import read_out, sentence
from proving.statement.opening import commitments_of

MAX_CHAIN_ID = 2**63 - 1
MAX_PROOF_FILE = 1 << 20


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command("commit")(commit)
    app.command("prove")(prove)
    app.command("verify")(verify)


def commit(
    context: typer.Context,
    bundle: Annotated[str, typer.Argument(help="Id or folder of a bundle.")],
    inputs: Annotated[Path, typer.Argument(help="JSON file: numbers by name, or a list of them.")],
    opening: Annotated[Path, typer.Option(help="Where to write what opens the commitments. Keep it secret.")],
) -> None:
    """Commit to a record now, so that an issuer can attest it, or a proof refer to it, later."""
    session: Session = context.obj
    manifest = find(session, bundle).manifest
    values = parse_inputs(manifest.inputs, read_inputs(inputs))
    layout = manifest.statement_layout
    drawn = fresh_secrets(len(layout.groups) - 1)
    write_opening(opening, drawn)
    commitments = commitments_of(layout, values, drawn)
    for number, commitment in commitments.items():
        session.output.say(f"Commitment{f' of group {number}' if number else ''}: {commitment}")
    session.output.result(
        {"opening": str(opening), "commitments": {str(number): str(each) for number, each in commitments.items()}}
    )


def prove(
    context: typer.Context,
    bundle: Annotated[str, typer.Argument(help="Id or folder of a bundle.")],
    inputs: Annotated[Path, typer.Argument(help="JSON file: numbers by name, or a list of them.")],
    out: Annotated[Path, typer.Option(help="Where to write the proof.")] = Path("proof.json"),
    opening: Annotated[
        Path | None, typer.Option(help="Opening of `proofmesh commit`: prove on exactly that commitment.")
    ] = None,
    chain_id: Annotated[int, typer.Option(min=0, max=MAX_CHAIN_ID, help="Chain on which the proof is to be used.")] = 0,
    consumer: Annotated[str, typer.Option(help="Contract that is to accept it.")] = "0x" + "00" * 20,
    subject: Annotated[str, typer.Option(help="Wallet that it speaks for.")] = "0x" + "00" * 20,
) -> None:
    """Prove locally: the input stays here; the proof is bound to a chain, contract and wallet."""
    session: Session = context.obj
    found = find(session, bundle)
    values = parse_inputs(found.manifest.inputs, read_inputs(inputs))
    binding = local_binding(chain_id, address_bytes(consumer), address_bytes(subject))
    layout = found.manifest.statement_layout
    own = read_opening(opening) if opening is not None else fresh_secrets(len(layout.groups) - 1)
    if len(own.groups) != len(layout.groups) - 1:
        raise UsageError(f"The opening must open {len(layout.groups)} commitments, as the program has them.")
    session.output.step("Proving ...")
    result = confined(session, found, make_proof, str(found.folder), values, own, binding)
    fields = {
        "format": "proofmesh.proof.v1",
        "bundle_id": found.id.hex(),
        "program_id": found.manifest.program_id,
        "chain_id": chain_id,
        "consumer": consumer,
        "subject": subject,
        "public_inputs": [str(value) for value in result.public_inputs],
        "proof": hexed(result.proof),
    }
    out.write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n")
    said = read_out(found.manifest, result.public_inputs, values, own)
    session.output.say(f"Output {sentence(said)}.")
    session.output.say(f"Witness {result.witness_ms:.1f} ms, proof {result.proving_ms:.1f} ms, written to {out}.")
    session.output.result(
        {
            "proof": str(out),
            "outputs": [str(value) for value in result.public_inputs[1:-1]],
            **said,
            "witness_ms": round(result.witness_ms, 1),
            "proving_ms": round(result.proving_ms, 1),
        }
    )


def verify(
    context: typer.Context,
    bundle: Annotated[str, typer.Argument(help="Id or folder of the bundle.")],
    proof: Annotated[Path, typer.Argument(help="The proof file.")],
) -> None:
    """Check a proof of `proofmesh prove`: program, binding and the proof itself."""
    session: Session = context.obj
    found = find(session, bundle)
    fields = _proof_fields(proof)
    if fields["program_id"] != found.manifest.program_id:
        raise ProofInvalidError("The proof is of another program than this bundle's.")
    binding = local_binding(fields["chain_id"], fields["consumer"], fields["subject"])
    inputs = fields["public_inputs"]
    if inputs[-1] != binding:
        raise ProofInvalidError("The proof is bound to another chain, contract or wallet than it says.")
    if not check_proof(found.manifest.words, fields["proof"], inputs):
        raise ProofInvalidError("The proof does not verify.")
    said = read_out(found.manifest, inputs)
    session.output.say(f" Output {sentence(said)}.", lead="Valid.", style="bold green")
    session.output.result({"valid": True, "outputs": [str(value) for value in inputs[1:-1]], **said})


def _proof_fields(path: Path) -> dict[str, Any]:
    """Return the typed fields of a proof file, or one error."""
    try:
        text = path.read_text()
        fields = bounded_json.loads(text) if len(text) <= MAX_PROOF_FILE else None
        if not isinstance(fields, dict) or fields.get("format") != "proofmesh.proof.v1":
            raise ValueError
        inputs = [str(value) for value in fields["public_inputs"]]
        if not 2 <= len(inputs) <= 512 or any(not re.fullmatch(r"[0-9]{1,77}", value) for value in inputs):
            raise ValueError
        numbers = tuple(int(value) for value in inputs)
        if any(value >= BN254_SCALAR_ORDER for value in numbers):
            raise ValueError
        if type(fields["chain_id"]) is not int or not 0 <= fields["chain_id"] <= MAX_CHAIN_ID:
            raise ValueError
        return {
            "program_id": str(fields["program_id"]),
            "chain_id": fields["chain_id"],
            "consumer": address_bytes(fields["consumer"]),
            "subject": address_bytes(fields["subject"]),
            "public_inputs": numbers,
            "proof": fixed_bytes(fields["proof"], 256, "a proof"),
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        raise ProofInvalidError(f"{path} is not a proof file.") from None
