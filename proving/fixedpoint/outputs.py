# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a program: from scores at full precision to the small unsigned integers that a statement carries.

All decisions are made on the scores at full precision; only values that are shown, sealed or committed are cut.

A threshold that is a public input is the last field of the program's inputs, one integer t at the scale `score_bits`
that is compared with the score: whoever makes the program gives its Input node one element more than
`ModelSettings.inputs` has (`input_size`), the last one, and takes the field's range from `FinishedOutput.inputs`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

import numpy as np

from protocol.errors import CompileSettingsError
from proving.fixedpoint.program import (
    Constant,
    Gather,
    Linear,
    Multiply,
    Node,
    NonNegative,
    Ref,
    Rescale,
    Revealed,
    Select,
)
from proving.importer.graph import Link
from proving.settings import (
    MAX_INPUT_BITS,
    MAX_LOW,
    InputRange,
    ModelSettings,
    OutputSpec,
    Predicate,
    Reveal,
    Visibility,
    logit_threshold,
    probability,
)
from proving.sparse import Array, exact, from_rows

THRESHOLD_NAME = "threshold"
_DECIMAL = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The vector that the output speaks of: a node, its exact bounds, its scale, and what its elements mean."""

    ref: Ref
    low: Array
    high: Array
    scale_bits: int
    link: Link
    labels: tuple[str, ...]

    @property
    def count(self) -> int:
        return len(self.low)


@dataclass(frozen=True, slots=True)
class FinishedOutput:
    """Nodes to append, and the fields of Program that come of them."""

    nodes: tuple[Node, ...]
    revealed: Revealed
    inputs: tuple[InputRange, ...]
    threshold: int | None


def input_size(settings: ModelSettings) -> int:
    """Return the size of the program's Input node."""
    return sum(each.count for each in settings.inputs) + settings.output.threshold_public


def finish(settings: ModelSettings, scores: Scores, input_node: Ref, first: Ref) -> FinishedOutput:
    """Return the nodes behind the scores, to be appended at position `first`.

    Raises:
        CompileSettingsError: the output that the settings ask for does not fit the model's scores.
    """
    end = _End(settings, scores, input_node, first)
    spec = settings.output
    if spec.reveal is Reveal.PREDICATE:
        if spec.target == "label":
            raise CompileSettingsError("A predicate speaks of scores; for one label, choose the predicate class.")
        ref = end.threshold() if spec.predicate is Predicate.THRESHOLD else end.rank()
        revealed = Revealed(ref, "predicate", 1, 1, 0, 0)
    elif spec.target == "label":
        ref = end.label()
        revealed = Revealed(ref, "label", 1, max(1, (end.classes - 1).bit_length()), 0, 0)
    else:
        revealed = end.cut()
    return FinishedOutput(tuple(end.nodes), revealed, end.inputs, end.constant)


def score_threshold(spec: OutputSpec, link: Link, scale_bits: int) -> int:
    """Return the integer T such that `z >= T` (or `z <= T`, `at_most`) is the predicate for a score z at this scale.

    Raises:
        CompileSettingsError: the threshold is no decimal, or no probability where it must be one.
    """
    if spec.threshold is None:
        raise CompileSettingsError("The predicate has no threshold.")
    if spec.threshold_on == "probability" and link is not Link.NONE:
        least = logit_threshold(spec.threshold, scale_bits)
        # The logarithm of a rational other than 1 is irrational: only at even odds is the threshold itself a score.
        between = spec.at_most and probability(spec.threshold) != Fraction(1, 2)
        return least - 1 if between else least
    if spec.threshold_on == "probability":
        exactly = probability(spec.threshold)
    elif _DECIMAL.fullmatch(spec.threshold):
        exactly = Fraction(spec.threshold)
    else:
        raise CompileSettingsError("A threshold on a score must be a decimal such as -1.25.")
    return (floor if spec.at_most else ceil)(exactly * (1 << scale_bits))


class _End:
    def __init__(self, settings: ModelSettings, scores: Scores, input_node: Ref, first: Ref) -> None:
        self._spec, self._scores, self._first = settings.output, scores, first
        self._input, self._input_size = input_node, input_size(settings)
        self.nodes: list[Node] = []
        self.inputs = settings.inputs
        self.constant: int | None = None

    @property
    def classes(self) -> int:
        return 2 if self._binary else self._scores.count

    @property
    def _binary(self) -> bool:
        """One logit, that of the second label."""
        return self._scores.count == 1 and self._scores.link is Link.SIGMOID

    def cut(self) -> Revealed:
        """All scores with `score_bits` fractional bits, made unsigned."""
        scores, shift = self._scores, max(0, self._scores.scale_bits - self._spec.score_bits)
        offset = -(min(int(each) for each in scores.low) >> shift)
        bits = max(1, ((max(int(each) for each in scores.high) >> shift) + offset).bit_length())
        if bits > MAX_INPUT_BITS or abs(offset) > MAX_LOW:
            raise CompileSettingsError(f"An output of {bits} bits is too wide; lower score_bits.")
        ref = scores.ref
        if offset:
            rows = [{index: 1} for index in range(scores.count)]
            ref = self._linear((ref,), scores.count, rows, [offset << shift] * scores.count)
        if shift:
            ref = self._add(Rescale(ref, shift, relu=False))
        return Revealed(ref, self._spec.target, scores.count, bits, offset, scores.scale_bits - shift)

    def threshold(self) -> Ref:
        """One bit: the score is at least the threshold, or at most."""
        spec, scores = self._spec, self._scores
        row = self._positive()
        sign = -1 if spec.at_most else 1
        if not spec.threshold_public:
            self.constant = score_threshold(spec, scores.link, scores.scale_bits)
            difference = self._linear((scores.ref,), scores.count, [_times(row, sign)], [-sign * self.constant])
            return self._add(NonNegative(difference))
        field = self._threshold_field(row)
        self.inputs = (*self.inputs, field)
        down, up = _powers(scores.scale_bits, spec.score_bits)
        column = scores.count + self._input_size - 1
        combined = {**_times(row, sign * up), column: -sign * down}
        width = scores.count + self._input_size
        # The Input node holds t - low.
        difference = self._linear((scores.ref, self._input), width, [combined], [-sign * down * field.low])
        return self._add(NonNegative(difference))

    def _threshold_field(self, row: dict[int, int]) -> InputRange:
        """Cover all thresholds between "always" and "never"."""
        if any(each.name == THRESHOLD_NAME for each in self.inputs):
            raise CompileSettingsError(f"With a public threshold, no other input can be named {THRESHOLD_NAME!r}.")
        low = sum(int((self._scores.low if c > 0 else self._scores.high)[i]) * c for i, c in row.items())
        high = sum(int((self._scores.high if c > 0 else self._scores.low)[i]) * c for i, c in row.items())
        down, up = _powers(self._scores.scale_bits, self._spec.score_bits)
        least, most = low * up // down - 1, high * up // down + 1
        bits = (most - least).bit_length()
        if bits > MAX_INPUT_BITS or abs(least) > MAX_LOW:
            raise CompileSettingsError(f"A public threshold of {bits} bits is too wide; lower score_bits.")
        return InputRange(
            THRESHOLD_NAME, least, bits, scale=self._spec.score_bits, visibility=Visibility.PUBLIC
        )

    def _positive(self) -> dict[int, int]:
        """The one score that a threshold speaks of, as coefficients of the scores."""
        scores = self._scores
        if scores.count == 1:
            as_probability = self._spec.threshold_on == "probability" and not self._spec.threshold_public
            if as_probability and scores.link is Link.NONE:
                raise CompileSettingsError("The model has no probability; set threshold_on to score.")
            return {0: 1}
        if scores.count == 2 and len(scores.labels) == 2:
            return {0: -1, 1: 1} if scores.link is Link.SOFTMAX else {1: 1}
        raise CompileSettingsError(
            f"A threshold needs one score or two classes, and the model has {scores.count} scores."
        )

    def rank(self) -> Ref:
        """One bit: at most k - 1 classes come before the label, as ArgMax counts: of equals the first."""
        scores, label = self._scores, self._label_index()
        if self._spec.k >= self.classes:
            raise CompileSettingsError(f"Of {self.classes} classes, every one is among the top {self._spec.k}.")
        if self._binary:
            return self._add(NonNegative(self._linear((scores.ref,), 1, [{0: 1 if label else -1}], [-label])))
        others = [index for index in range(scores.count) if index != label]
        ahead = self._linear(
            (scores.ref,),
            scores.count,
            [{other: 1, label: -1} for other in others],
            [0 if other < label else -1 for other in others],
        )
        beats = self._add(NonNegative(ahead))
        if len(others) == 1:
            return self._linear((beats,), 1, [{0: -1}], [1])
        if self._spec.k == 1 and len(others) == 2:
            neither = self._linear((beats,), 2, [{0: -1}, {1: -1}], [1, 1])
            left, right = (self._gather((neither,), [each]) for each in (0, 1))
            return self._add(Multiply(left, right))
        row = dict.fromkeys(range(len(others)), -1)
        return self._add(NonNegative(self._linear((beats,), len(others), [row], [self._spec.k - 1])))

    def _label_index(self) -> int:
        if len(self._scores.labels) != self.classes or self.classes < 2:
            raise CompileSettingsError("The model is no classifier: it has no labels to speak of.")
        if self._spec.label not in self._scores.labels:
            known = ", ".join(repr(each) for each in self._scores.labels[:8])
            raise CompileSettingsError(f"The model has no label {self._spec.label!r}; it has {known}.")
        return self._scores.labels.index(self._spec.label)

    def label(self) -> Ref:
        """The position of the largest score, the first of equals: a tournament in which neighbours meet."""
        scores = self._scores
        if self._binary:
            return self._add(NonNegative(self._linear((scores.ref,), 1, [{0: 1}], [-1])))
        if self.classes < 2:
            raise CompileSettingsError("The model is no classifier: it has one score.")
        values, count = scores.ref, scores.count
        places = self._add(Constant(np.arange(count, dtype=np.int64)))
        while count > 1:
            left, right = list(range(0, count - 1, 2)), list(range(1, count, 2))
            pairs = len(left)
            difference = [{a: 1, b: -1} for a, b in zip(left, right, strict=True)]
            first = self._add(NonNegative(self._linear((values,), count, difference, [0] * pairs)))
            rest = [count - 1] if count % 2 else []
            halves = []
            for vector in (values, places):
                chosen = Select(first, self._gather((vector,), left), self._gather((vector,), right))
                if vector == values and count == 2:
                    halves.append(values)
                    continue
                winners = self._add(chosen)
                if rest:
                    # The odd one out meets nobody in this round; its place is behind the winners'.
                    winners = self._gather((winners, vector), [*range(pairs), pairs + rest[0]])
                halves.append(winners)
            values, places = halves
            count = pairs + len(rest)
        return places

    def _linear(self, sources: tuple[Ref, ...], width: int, rows: Sequence[dict[int, int]], bias: list[int]) -> Ref:
        return self._add(Linear(sources, from_rows(width, rows), exact(bias)))

    def _gather(self, sources: tuple[Ref, ...], index: list[int]) -> Ref:
        return self._add(Gather(sources, np.array(index, dtype=np.int64)))

    def _add(self, node: Node) -> Ref:
        self.nodes.append(node)
        return self._first + len(self.nodes) - 1


def _times(row: dict[int, int], factor: int) -> dict[int, int]:
    return {index: coefficient * factor for index, coefficient in row.items()}


def _powers(scale_bits: int, score_bits: int) -> tuple[int, int]:
    """Return what brings a threshold at `score_bits`, and a score at `scale_bits`, to one scale."""
    return 1 << max(0, scale_bits - score_bits), 1 << max(0, score_bits - scale_bits)
