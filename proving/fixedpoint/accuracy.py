# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a program is from its float model, measured on real rows. Figures only: no circuit depends on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protocol.errors import InputShapeError
from proving.fixedpoint.batch import Evaluator
from proving.fixedpoint.cost import layer_costs
from proving.fixedpoint.float_model import Answers, by_onnxruntime, of_scores, real_inputs
from proving.fixedpoint.program import Approximation, Program
from proving.importer.graph import Graph
from proving.sparse import Array

Rows = Sequence[Sequence[int]] | Array


@dataclass(frozen=True, slots=True)
class AccuracyReport:
    """Plain figures, for a table and for a bundle.

    `agreement`: the share of rows on which circuit and float model decide alike (None: the model decides nothing).
    Errors are of probabilities for classifiers, else of the model's values. `layers`: constraints by layer, as
    estimated from bounds, or as emitted. What only a backend knows is None until it says so.
    """

    rows: int
    agreement: float | None
    max_error: float
    mean_error: float
    float_accuracy: float | None
    circuit_accuracy: float | None
    layers: tuple[tuple[str, int], ...]
    approximations: tuple[Approximation, ...]
    proving_ms: float | None = None
    key_bytes: int | None = None
    gas: int | None = None

    @property
    def constraints(self) -> int:
        return sum(count for _, count in self.layers)


def report(
    model: bytes, graph: Graph, program: Program, rows: Rows, truth: Sequence[str | int] | None = None,
    layers: tuple[tuple[str, int], ...] | None = None,
) -> AccuracyReport:
    """Compare a program with its float model on raw rows; `truth` are the right labels, if known.

    `layers`: the emitted circuit's constraints by layer (`EmittedCircuit.costs`), estimated if not given.

    Raises:
        ProvingError: onnxruntime is not installed, or cannot run the model.
        InputShapeError, InputRangeError: the rows are none of this model's inputs.
    """
    evaluator = Evaluator(program)
    expected = float_answers(model, graph, program, rows)
    found = circuit_answers(graph, program, evaluator, rows)
    agreement, largest, mean = differences(expected, found)
    return AccuracyReport(
        rows=len(rows),
        agreement=agreement,
        max_error=largest,
        mean_error=mean,
        float_accuracy=_share_right(graph, expected, truth),
        circuit_accuracy=_share_right(graph, found, truth),
        layers=layer_costs(program, evaluator.bounds) if layers is None else layers,
        approximations=program.approximations,
    )


def float_answers(model: bytes, graph: Graph, program: Program, rows: Rows) -> Answers:
    """Return what the float model says of raw rows."""
    fields = program.inputs[:-1] if program.output.threshold_public else program.inputs
    inputs = real_inputs(fields, np.asarray(rows))
    return by_onnxruntime(model, graph, program.output, inputs)


def circuit_answers(graph: Graph, program: Program, evaluator: Evaluator, rows: Rows) -> Answers:
    """Return what the program says of raw rows. A threshold that is a public input does not enter."""
    raw = np.asarray(rows)
    if program.output.threshold_public:
        raw = np.hstack([raw, np.full((len(raw), 1), program.inputs[-1].low)])
    scores = evaluator.scores(raw).astype(np.float64) / 2.0**program.scale_bits
    return of_scores(graph, program.output, scores)


def differences(expected: Answers, found: Answers) -> tuple[float | None, float, float]:
    """Return the share of equal decisions (None if there are none), the largest and the mean error of a value."""
    if expected.values.shape != found.values.shape:
        raise InputShapeError(
            f"The model's output has shape {expected.values.shape}, the program's {found.values.shape}."
        )
    errors = np.abs(expected.values - found.values)
    agreement = None
    if len(expected.decisions) and len(found.decisions):
        agreement = float((expected.decisions == found.decisions).mean())
    return agreement, float(errors.max(initial=0)), float(errors.mean()) if errors.size else 0.0


def _share_right(graph: Graph, answers: Answers, truth: Sequence[str | int] | None) -> float | None:
    """Return how many most likely classes are right."""
    labels = graph.head.labels
    if truth is None or len(labels) < 2 or answers.values.shape[1] != len(labels):
        return None
    chosen = answers.values.argmax(axis=1)
    return float(np.mean([labels[int(place)] == str(right) for place, right in zip(chosen, truth, strict=True)]))
