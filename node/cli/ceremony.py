# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh ceremony`: keys that nobody can forge proofs under, as long as one contributor forgets his secret.

    proofmesh ceremony start BUNDLE key-0.zkey --ptau powers.ptau      # whoever publishes
    proofmesh ceremony contribute key-0.zkey key-1.zkey --name Alice   # one after another, on their own machines
    proofmesh ceremony contribute key-1.zkey key-2.zkey --name Bob
    proofmesh ceremony finish BUNDLE key-2.zkey --ptau powers.ptau --beacon 0x...   # a public random value
    proofmesh ceremony verify BUNDLE final.zkey --ptau powers.ptau     # anybody

Files are snarkjs' own: contributors may use `snarkjs zkey contribute`, and `snarkjs zkey verify` checks the result.
"""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from node.cli.arguments import Session
from node.cli.bundles import find, store
from node.cli.model_report import describe
from node.cli.output import hexed
from protocol.errors import UsageError
from proving.backends.registry import get
from proving.bundle import Bundle
from proving.constraints.system import ConstraintSystem
from proving.groth16 import ceremony
from proving.private_weights import require_weights
from proving.publish import Publication, build_from_ceremony

app = typer.Typer(no_args_is_help=True)

MIN_BEACON_BYTES = 16
BundleArgument = Annotated[
    str, typer.Argument(metavar="BUNDLE", help="Id or folder of the model's bundle (with development keys).")
]
PtauOption = Annotated[Path, typer.Option("--ptau", help="Powers of tau (.ptau) that the ceremony builds on.")]


@app.command()
def start(
    context: typer.Context,
    bundle: BundleArgument,
    out: Annotated[Path, typer.Argument(help="Where to write the key for the first contributor.")],
    ptau: PtauOption,
) -> None:
    """Make the key that the first contributor takes."""
    session: Session = context.obj
    _must_be_new(out)
    session.output.step("Compiling, checking the powers of tau, computing the first key ...")
    digest = ceremony.start(_system(find(session, bundle)), _file(ptau), out)
    session.output.say(f"Circuit hash, to be published: {digest.hex()}")
    session.output.say(f"First contribution: {out}")
    session.output.result({"zkey": str(out), "circuit_digest": digest})


@app.command()
def contribute(
    context: typer.Context,
    previous: Annotated[Path, typer.Argument(help="The key of the one before you.")],
    following: Annotated[Path, typer.Argument(help="Where to write yours.")],
    name: Annotated[str, typer.Option(help="Under which your contribution is listed.")],
    entropy: Annotated[
        str,
        typer.Option(help="Anything hard to guess, beside this machine's randomness.", prompt=True, hide_input=True),
    ],
) -> None:
    """Add your secret to the key and forget it. One honest contributor is enough for all."""
    session: Session = context.obj
    _must_be_new(following)
    seed = entropy.encode() + secrets.token_bytes(32)
    digest = ceremony.contribute(_file(previous), following, seed, name)
    session.output.say(f"Your contribution, to be published by you: {digest.hex()}")
    session.output.say(f"Pass on: {following}")
    session.output.result({"zkey": str(following), "contribution": digest})


@app.command()
def verify(
    context: typer.Context,
    bundle: BundleArgument,
    zkey: Annotated[Path, typer.Argument(help="The key after the last contribution.")],
    ptau: PtauOption,
) -> None:
    """Check every point of a key against circuit and powers of tau, and every contribution to it."""
    session: Session = context.obj
    session.output.step("Compiling, then checking every point of the key ...")
    transcript = ceremony.verify(_system(find(session, bundle)), _file(ptau), _file(zkey))
    _print_transcript(session, transcript)


@app.command()
def finish(
    context: typer.Context,
    bundle: BundleArgument,
    zkey: Annotated[Path, typer.Argument(help="The key of the last contributor.")],
    ptau: PtauOption,
    beacon: Annotated[str, typer.Option(help="A random value that became public after the last contribution: 0x...")],
    iterations: Annotated[int, typer.Option(help="The beacon is hashed 2^N times, so that nobody can aim it.")] = 10,
) -> None:
    """Close the ceremony with a beacon, verify all of it, and make the bundle with its keys."""
    session: Session = context.obj
    found = find(session, bundle)
    manifest = found.manifest
    if manifest.private_weights:
        require_weights(found)
        raise UsageError("A ceremony of a model with private weights starts from its ONNX file.")
    with tempfile.TemporaryDirectory(prefix="proofmesh-ceremony-") as folder:
        final = Path(folder) / "final.zkey"
        session.output.step("Applying the beacon, then checking every point of the key ...")
        ceremony.finish(_file(zkey), final, _beacon(beacon), iterations)
        publication = Publication(manifest.name, manifest.accuracy, manifest.provenance)
        made = build_from_ceremony(
            found.source, session.folder().bundles, publication, manifest.backend, final, _file(ptau)
        )
    store(session, ptau).audit_here(made)
    describe(session, made)


def _system(bundle: Bundle) -> ConstraintSystem:
    system: ConstraintSystem = get(bundle.manifest.backend).compile(bundle.source).circuit.system
    return system


def _print_transcript(session: Session, transcript: ceremony.Transcript) -> None:
    session.output.say(
        f" Transcript 0x{transcript.digest.hex()}", lead="The ceremony holds.", style="bold green"
    )
    session.output.table(
        "Contributions",
        ["by", "digest"],
        [[each.name or "-", each.digest.hex()[:32] + "..."] for each in transcript.steps],
    )
    session.output.result(
        {
            "transcript": transcript.digest,
            "circuit_digest": transcript.circuit_digest,
            "contributions": [{"name": each.name, "digest": hexed(each.digest)} for each in transcript.steps],
        }
    )


def _beacon(text: str) -> bytes:
    digits = text.removeprefix("0x")
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        raise UsageError("The beacon must be hexadecimal, such as a block's hash.") from None
    if len(value) < MIN_BEACON_BYTES:
        raise UsageError(f"The beacon must have at least {MIN_BEACON_BYTES} bytes.")
    return value


def _file(path: Path) -> Path:
    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    return path


def _must_be_new(path: Path) -> None:
    if path.exists():
        raise UsageError(f"{path} is there already.", remedy="Name another file; nothing is overwritten.")
