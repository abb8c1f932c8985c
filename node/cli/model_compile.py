# SPDX-License-Identifier: GPL-3.0-or-later
"""`proofmesh model compile`: from an ONNX file or a Circom circuit to an audited bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.arguments import Session
from node.cli.bundles import store
from node.cli.model_report import describe
from node.model_settings import SettingsFile, read_settings
from node.rows_file import read_rows
from protocol.errors import CompileSettingsError, UsageError
from proving.backends.auto import choose
from proving.backends.base import Format, ModelSource
from proving.backends.circom import read_folder
from proving.backends.registry import all_backends, get
from proving.figures import metrics_of
from proving.fixedpoint.accuracy import report
from proving.fixedpoint.calibrate import Target, calibrate
from proving.fixedpoint.quantise import quantise
from proving.groth16.registration import Registrar
from proving.importer.external import read_model
from proving.importer.model import import_model
from proving.manifest import Metric, Provenance
from proving.private_weights import UNREGISTERED
from proving.publish import Publication, build, onnx_source
from proving.settings import WeightMode


def compile_model(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="An ONNX file, or a .circom file beside its inputs.toml.")],
    settings: Annotated[
        Path | None, typer.Argument(help="JSON: inputs with ranges, what the proof reveals (docs/MODELS.md).")
    ] = None,
    name: Annotated[str, typer.Option(help="A name for people.")] = "model",
    backend: Annotated[str, typer.Option(help="Proof system, or `auto` for the cheapest that fits.")] = "auto",
    calibration: Annotated[
        Path | None,
        typer.Option(help="Rows of real inputs (.json, .csv, .npy): finds the least precision that decides as the "
                          "float model does, and measures the error. Needs proofmesh[train]."),
    ] = None,
    agreement: Annotated[float, typer.Option(help="Share of calibration rows that must be decided alike.")] = 1.0,
    max_error: Annotated[
        float | None, typer.Option(help="Largest error of a probability (0.05), or of a regressor's value.")
    ] = None,
) -> None:
    """Compile a model to a circuit, make development keys, audit them, and keep the bundle."""
    session: Session = context.obj
    source, provenance, accuracy = _source(session, model, settings, calibration, Target(agreement, max_error))
    if backend == "auto":
        backend = _chosen(session, source)
    session.output.step("Compiling, making keys (development: anybody could forge proofs under them) ...")
    publication = Publication(name, accuracy, provenance, *_owner(session, source))
    bundle = build(source, session.folder().bundles, publication, backend)
    session.output.step("Auditing ...")
    store(session).audit_here(bundle)
    describe(session, bundle)


def _chosen(session: Session, source: ModelSource) -> str:
    """Return the cheapest backend that fits; where only one can, its own errors are the clearest."""
    usual = "circom" if source.format is Format.CIRCOM else "groth16"
    others = [each for each in all_backends() if each.name not in ("groth16", "circom") and each.traits.settles]
    if not others:
        return usual
    choice = choose(source, [get(usual), *others])
    session.output.step(f"Backend {choice.why}")
    return choice.name


def _owner(session: Session, source: ModelSource) -> tuple[bytes, Registrar]:
    """Return the secret and the registrar of private weights; other models need neither keystore nor chain."""
    if source.settings.weights.mode is WeightMode.CONSTANT:
        return b"", UNREGISTERED
    account, settings = session.account(), session.settings()
    return account.secret(), Registrar(account.address, settings.chain_id, settings.registry or bytes(20))


def _source(
    session: Session, model: Path, settings: Path | None, calibration: Path | None, target: Target
) -> tuple[ModelSource, Provenance, tuple[Metric, ...]]:
    if model.suffix == ".circom":
        if settings is not None or calibration is not None:
            raise UsageError("A Circom circuit takes its settings from inputs.toml, and no calibration.")
        return read_folder(model.parent, model.name), Provenance(), ()
    if settings is None:
        raise UsageError("An ONNX model needs a settings file.", remedy="See docs/MODELS.md for a template.")
    chosen = read_settings(settings)
    try:
        data = read_model(model)
    except OSError as error:
        raise UsageError(f"{model} cannot be read ({error.strerror}).") from None
    if calibration is None:
        return onnx_source(data, chosen.settings), chosen.provenance, ()
    return _calibrated(session, data, chosen, calibration, target)


def _calibrated(
    session: Session, data: bytes, chosen: SettingsFile, rows_file: Path, target: Target
) -> tuple[ModelSource, Provenance, tuple[Metric, ...]]:
    if chosen.precision_given:
        raise CompileSettingsError("The settings name bits of precision; leave them out, or the calibration.")
    rows = read_rows(rows_file, chosen.settings.inputs)
    session.output.step(f"Calibrating on {len(rows)} rows ...")
    graph = import_model(data)
    found = calibrate(data, graph, chosen.settings, rows, target)
    settings = found.settings
    session.output.step(
        f"{settings.fractional_bits} fractional bits of activations and {settings.weight_bits} of weights are enough: "
        f"{found.constraints:,} constraints, largest error {found.max_error:.2g}."
    )
    measured = report(data, graph, quantise(graph, settings), rows)
    return onnx_source(data, settings), chosen.provenance, metrics_of(measured, "calibration_")
