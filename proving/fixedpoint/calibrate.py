# SPDX-License-Identifier: GPL-3.0-or-later
"""The precision that a model needs: the settings that reach a target at the least constraints.

Activations and weights are first given the same precision, the least that is enough; then each is lowered alone as
far as the target allows. Cost is estimated from bounds; no circuit is emitted. With private weights, each
candidate takes the narrowest weights that hold this owner's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from protocol.errors import CompileSettingsError, WeightError
from proving.fixedpoint.accuracy import Rows, circuit_answers, differences, float_answers
from proving.fixedpoint.batch import Evaluator
from proving.fixedpoint.cost import total_cost
from proving.fixedpoint.float_model import Answers
from proving.fixedpoint.program import Program
from proving.fixedpoint.quantise import quantise
from proving.importer.graph import Graph, Link
from proving.settings import MAX_FRACTIONAL_BITS, ModelSettings, WeightMode

LEAST_BITS = 3
NARROW = 6
"""Weights have seldom more whole bits than this: where the search for their width begins."""
MOST_ROWS = 512
"""More rows are measured only once the search is over."""
WIDEST_WEIGHT = 32
PROBABILITY_ERROR = 0.05
"""The largest error of a probability that is asked for by default."""


@dataclass(frozen=True, slots=True)
class Target:
    """`agreement`: least share of equal decisions. `max_error`: of a probability, or of a regressor's value.

    None is PROBABILITY_ERROR for classifiers; for plain values it must be given. Decisions alone are a poor
    measure: of the calibration rows few lie near a boundary, and others may.
    """

    agreement: float = 1.0
    max_error: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """Settings with what they give on the calibration rows."""

    settings: ModelSettings
    constraints: int
    agreement: float | None
    max_error: float

    def reaches(self, target: Target) -> bool:
        """Say whether the target is reached."""
        decided = self.agreement is None or self.agreement >= target.agreement
        return decided and (target.max_error is None or self.max_error <= target.max_error)


def calibrate(model: bytes, graph: Graph, settings: ModelSettings, rows: Rows, target: Target) -> Candidate:
    """Return the cheapest settings that reach the target on raw calibration rows; all else is as in `settings`.

    Raises:
        CompileSettingsError: no precision reaches it, or the model gives plain values and no error is given.
        ProvingError: onnxruntime is not installed.
    """
    sample = np.asarray(rows)[:MOST_ROWS]
    first = _fitting(graph, _with(settings, 8, 8)) or quantise(graph, _with(settings, 8, 8))
    expected = float_answers(model, graph, first, sample)
    if target.max_error is None:
        if not len(expected.decisions) or (graph.head.link is Link.NONE and not graph.head.labels):
            raise CompileSettingsError("The model gives no probabilities; give the maximal error of its values.")
        target = replace(target, max_error=PROBABILITY_ERROR)
    known: dict[tuple[int, int], Candidate | None] = {}

    def measured(precision: int, weights: int) -> Candidate | None:
        if (precision, weights) not in known:
            known[precision, weights] = _measured(graph, _with(settings, precision, weights), sample, expected)
        return known[precision, weights]

    both = _least(lambda bits: measured(bits, bits), target)
    if both is None:
        best = max((each for each in known.values() if each), key=lambda each: -each.max_error, default=None)
        seen = "" if best is None else f" The best had an error of {best.max_error:.3g}."
        raise CompileSettingsError(f"No precision up to {MAX_FRACTIONAL_BITS} bits reaches the target.{seen}")
    bits = both.settings.fractional_bits
    fewer_weights = _lowest(lambda each: measured(bits, each), bits, target)
    fewer_activations = _lowest(lambda each: measured(each, bits), bits, target)
    found = [both, *(each for each in (fewer_weights, fewer_activations) if each is not None)]
    if fewer_weights is not None:
        found += _further(lambda each: measured(each, fewer_weights.settings.weight_bits), bits, target)
    return min(found, key=lambda each: (each.constraints, each.max_error))


def _least(candidate: Callable[[int], Candidate | None], target: Target) -> Candidate | None:
    """Try precisions upwards in steps of two, then the one that was passed over."""
    for bits in range(LEAST_BITS + 1, MAX_FRACTIONAL_BITS + 1, 2):
        found = candidate(bits)
        if found is not None and found.reaches(target):
            below = candidate(bits - 1)
            return below if below is not None and below.reaches(target) else found
    return None


def _lowest(candidate: Callable[[int], Candidate | None], bits: int, target: Target) -> Candidate | None:
    """Lower one precision as long as the target is reached."""
    found = None
    for each in range(bits - 1, LEAST_BITS - 1, -1):
        lower = candidate(each)
        if lower is None or not lower.reaches(target):
            break
        found = lower
    return found


def _further(candidate: Callable[[int], Candidate | None], bits: int, target: Target) -> list[Candidate]:
    lowest = _lowest(candidate, bits, target)
    return [] if lowest is None else [lowest]


def _measured(graph: Graph, settings: ModelSettings, rows: Rows, expected: Answers) -> Candidate | None:
    program = _fitting(graph, settings)
    if program is None:
        return None
    evaluator = Evaluator(program)
    agreement, largest, _ = differences(expected, circuit_answers(graph, program, evaluator, rows))
    chosen = replace(settings, weights=program.weights)
    return Candidate(chosen, total_cost(program, evaluator.bounds), agreement, largest)


def _fitting(graph: Graph, settings: ModelSettings) -> Program | None:
    """Return the program with the narrowest private weights that hold the model's; None if nothing does."""
    if settings.weights.mode is WeightMode.CONSTANT:
        return quantise(graph, settings)
    least, most, found = max(2, settings.weight_bits), WIDEST_WEIGHT, None
    while least <= most:
        bits = (least + most) // 2 if found is not None or most < WIDEST_WEIGHT else min(least + NARROW, most)
        try:
            found = quantise(graph, replace(settings, weights=replace(settings.weights, bits=bits)))
            most = bits - 1
        except WeightError:
            least = bits + 1
    return found


def _with(settings: ModelSettings, precision: int, weights: int) -> ModelSettings:
    return replace(settings, fractional_bits=precision, weight_bits=weights)
