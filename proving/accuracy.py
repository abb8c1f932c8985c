# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the circuit is from the float model, measured on real rows. Figures only: no decision uses them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from protocol.errors import ProvingError
from proving.backend import CompiledModel
from proving.interpreter import run
from proving.ir import Program
from proving.manifest import Metric
from proving.settings import OutputMode

DEFAULT_THRESHOLD = 0.5


def compare(model: bytes, compiled: CompiledModel, rows: Sequence[Sequence[int]]) -> tuple[Metric, ...]:
    """Return `calibration_rows`, `decision_agreement` and `max_probability_error` against onnxruntime.

    A decision is the predicate's bit where there is one, else the most likely class.

    Raises:
        ProvingError: onnxruntime is not installed, or the model gives no probabilities.
    """
    floats = float_probabilities(model, rows, len(compiled.labels))
    agreed, worst = 0, 0.0
    for row, expected in zip(rows, floats, strict=True):
        found = circuit_probabilities(compiled.program, row)
        agreed += _decision(compiled.program, expected) == _decision(compiled.program, found)
        worst = max(worst, *(abs(a - b) for a, b in zip(expected, found, strict=True)))
    return (
        Metric(name="calibration_rows", value=str(len(rows))),
        Metric(name="decision_agreement", value=f"{agreed / len(rows):.6f}"),
        Metric(name="max_probability_error", value=f"{worst:.9f}"),
    )


def float_probabilities(model: bytes, rows: Sequence[Sequence[int]], classes: int) -> list[list[float]]:
    """Return the probability of each class for each row, by onnxruntime."""
    try:
        import numpy
        import onnxruntime
    except ImportError:
        raise ProvingError("onnxruntime is not installed.", remedy="Install proofmesh[train].") from None
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: numpy.asarray(rows, dtype=numpy.float32)}
    for result in session.run(None, feed):
        if isinstance(result, numpy.ndarray) and result.shape == (len(rows), classes):
            return [[float(each) for each in row] for row in result]
    raise ProvingError("The model has no output of probabilities (export with zipmap=False).")


def circuit_probabilities(program: Program, row: Sequence[int]) -> list[float]:
    """Return the probability of each class by the fixed-point program."""
    logits = [math.ldexp(float(score), -program.scale_bits) for score in run(program, row).scores]
    if len(logits) == 1:
        positive = 1 / (1 + math.exp(-max(-700.0, min(700.0, logits[0]))))
        return [1 - positive, positive]
    powers = [math.exp(each - max(logits)) for each in logits]
    return [each / sum(powers) for each in powers]


def decision_threshold(program: Program) -> float:
    """Return the probability of the positive class from which a binary program decides for it."""
    if program.output.mode is not OutputMode.PREDICATE:
        return DEFAULT_THRESHOLD
    logit = math.ldexp(float(program.output.threshold), -program.scale_bits)
    return 1 / (1 + math.exp(-logit))


def _decision(program: Program, probabilities: Sequence[float]) -> int:
    if len(probabilities) == 2:
        return int(probabilities[1] >= decision_threshold(program))
    return max(range(len(probabilities)), key=probabilities.__getitem__)
