# SPDX-License-Identifier: GPL-3.0-or-later
"""One real model end to end: train, calibrate, compile, audit, prove a held-out row, settle on-chain, and measure."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import roc_auc_score

from examples.models import torch_models
from examples.models.data import Data, load
from examples.models.local_ezkl import NOT_INSTALLED, found, measure_ezkl
from examples.models.onchain import Settler
from examples.models.train import train
from proving import prover
from proving.audit import audit
from proving.backends.base import ModelSource, Proved
from proving.backends.circom import read_folder
from proving.fixedpoint.accuracy import circuit_answers, float_answers, report
from proving.fixedpoint.calibrate import Target, calibrate
from proving.fixedpoint.float_model import Answers, linked
from proving.groth16.compiled import CompiledModel, compile_model
from proving.importer.graph import Graph
from proving.importer.model import import_model
from proving.manifest import PROVING_KEY_NAME
from proving.publish import Publication, build, onnx_source
from proving.readout import read_out
from proving.settings import ModelSettings, OutputSpec, Predicate, Reveal
from proving.statement.commitment import derive_blinding, order_secrets

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = ROOT / "tests" / "models.toml"
TARGET = Target(agreement=1.0, max_error=0.01)
ALLOWED = 0.005
"""Share of held-out rows that the circuit may decide otherwise than onnxruntime; one row in any case."""
SHOWN_ERROR = 0.03
"""Largest error of a probability that one proof shows: its scores are cut to 8 fractional bits besides."""
_SECRET = b"proofmesh real models"
_BORN = [1990, 200, 2026, 100]
"""The record for the Circom circuit: year and day of birth, and the public day."""
Metrics = dict[str, float | int | None]


@dataclass(frozen=True)
class Entry:
    """A model of tests/models.toml."""

    name: str
    data: str
    kind: str
    env: str
    reveal: str
    threshold: str | None = None
    backend: str = "groth16"

    @property
    def skipped(self) -> str | None:
        """Why the model cannot be proved here; None if it can."""
        return NOT_INSTALLED if self.backend == "ezkl" and not found() else None

    @property
    def output(self) -> OutputSpec:
        match self.reveal:
            case "predicate":
                return OutputSpec(Reveal.PREDICATE, predicate=Predicate.THRESHOLD, threshold=self.threshold)
            case "near":
                return OutputSpec(
                    Reveal.PREDICATE, predicate=Predicate.THRESHOLD, threshold=self.threshold,
                    threshold_on="score", at_most=True,
                )  # fmt: skip
            case "label":
                return OutputSpec(Reveal.PUBLIC, target="label")
            case "sealed":
                return OutputSpec(Reveal.SEALED)
            case _:
                return OutputSpec(Reveal.PUBLIC)


def entries() -> tuple[Entry, ...]:
    """Return all models of tests/models.toml."""
    return tuple(Entry(**each) for each in tomllib.loads(ENTRIES.read_text())["model"])


def measure(entry: Entry, settler: Settler, work: Path) -> Metrics:
    """Take a model all the way and return its figures; None where a figure has no meaning for it.

    Raises:
        ProofmeshError: one of the steps fails.
        RuntimeError: the settled proof does not say what the float model says of its row.
    """
    if entry.kind == "circom":
        source = read_folder(ROOT / "examples" / "circom", "of_age.circom")
        figures, said = _settled(entry, source, _BORN, settler, work)
        _require(said["values"] == [1.0], entry)
        return figures
    if entry.env == "torch":
        model, data = torch_models.read(entry.name)
        if entry.backend == "ezkl":
            return measure_ezkl(model, data, work / entry.name)
    else:
        data = load(entry.data)
        model = train(entry.kind, data)
    asked = ModelSettings(data.fields, entry.output)
    settings = calibrate(model, import_model(model), asked, data.rows[data.fit], TARGET).settings
    compiled = compile_model(model, settings)
    figures = _compared(model, compiled, data, settings)
    row = [int(value) for value in data.rows[data.held_out[0]]]
    cost, said = _settled(entry, onnx_source(model, settings), row, settler, work)
    _require(agrees(said, float_answers(model, compiled.graph, compiled.program, [row]), compiled.graph), entry)
    return figures | cost


def reached(figures: Metrics) -> bool:
    """Say whether a model's circuit decides as onnxruntime does, within what is allowed."""
    rows, wrong = figures.get("rows"), figures.get("disagreements")
    return rows is None or wrong is None or wrong <= max(1, math.floor(ALLOWED * rows))


def _require(holds: bool, entry: Entry) -> None:
    if not holds:
        raise RuntimeError(f"The settled proof of {entry.name} does not say what the model says.")


def agrees(said: dict[str, Any], expected: Answers, graph: Graph) -> bool:
    """Compare what a proof of one row says, read by the client, with what onnxruntime says of it."""
    if "predicate" in said:
        return bool(said["predicate"] == expected.decisions[0])
    if "label" in said:
        return bool(said["label"] == graph.head.labels[int(expected.decisions[0])])
    shown = said["values"]
    scores = np.array([list(shown.values()) if isinstance(shown, dict) else shown], dtype=np.float64)
    values = linked(graph.head.link, scores, len(graph.head.labels))
    return values.shape == expected.values.shape and bool(np.abs(values - expected.values).max() <= SHOWN_ERROR)


def _compared(model: bytes, compiled: CompiledModel, data: Data, settings: ModelSettings) -> Metrics:
    graph, program = compiled.graph, compiled.program
    rows, labels = data.rows[data.held_out], data.labels[data.held_out]
    compared = report(model, graph, program, rows, labels.tolist())
    figures: Metrics = {
        "rows": len(rows),
        "disagreements": None if compared.agreement is None else round((1 - compared.agreement) * len(rows)),
        "max_error": compared.max_error,
        "float_accuracy": compared.float_accuracy,
        "circuit_accuracy": compared.circuit_accuracy,
        "majority": float(np.bincount(labels).max() / len(labels)),
        "activation_bits": settings.fractional_bits,
        "weight_bits": settings.weight_bits,
    }
    if int(labels.max()) == 1:
        said = float_answers(model, graph, program, rows), circuit_answers(graph, program, compiled.evaluator, rows)
        sign = -1 if settings.output.at_most else 1
        for name, each in zip(("float", "circuit"), said, strict=True):
            figures[f"{name}_auc"] = float(roc_auc_score(labels, sign * each.values[:, -1]))
            if figures[f"{name}_accuracy"] is None:
                figures[f"{name}_accuracy"] = float((each.decisions == labels).mean())
    return figures


def _settled(
    entry: Entry, source: ModelSource, row: list[int], settler: Settler, work: Path
) -> tuple[Metrics, dict[str, Any]]:
    """Build and audit the bundle, settle an order for one row with it, and read the proof as its client."""
    bundle = build(source, work, Publication(entry.name))
    audited = audit(bundle)
    manifest = bundle.manifest
    salt = hashlib.sha256(json.dumps(asdict(entry)).encode()).digest()
    groups = [derive_blinding(_SECRET, bytes([each.number])) for each in manifest.statement_layout.groups[1:]]
    secrets = order_secrets(_SECRET, salt, groups)
    commitment = prover.witness(bundle.folder, row, secrets).commitment
    made: list[Proved] = []

    def prove(binding: int) -> Proved:
        made.append(prover.prove(bundle.folder, row, secrets, binding))
        return made[-1]

    gas = settler.settle(bundle, commitment, prove, salt)
    if not prover.verify(manifest.words, made[0].proof, made[0].public_inputs):
        raise RuntimeError(f"The proof of {entry.name} does not verify.")
    figures: Metrics = {
        "constraints": manifest.constraints,
        "domain": manifest.domain,
        "key_bytes": manifest.file(PROVING_KEY_NAME).size,
        "proving_ms": audited.proving_ms,
        "register_gas": gas.register,
        "verify_gas": gas.verify,
        "settle_gas": gas.settle,
    }
    return figures, read_out(manifest, made[0].public_inputs, row, secrets)
