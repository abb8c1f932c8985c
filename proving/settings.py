# SPDX-License-Identifier: GPL-3.0-or-later
"""What a publisher decides about a circuit: input ranges, precision, and what the proof reveals."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation, localcontext
from enum import StrEnum
from fractions import Fraction
from math import ceil

from protocol.errors import CompileSettingsError

MAX_INPUTS = 4096
MAX_INPUT_BITS = 62
MAX_LOW = 1 << 62
MIN_FRACTIONAL_BITS, MAX_FRACTIONAL_BITS = 4, 24
DEFAULT_BITS = 8
"""Fractional bits of activations and of weights, where no calibration chooses them."""
MAX_INPUT_SCALE = 32
MAX_GROUPS = 8
MAX_THRESHOLD_DIGITS = 18
LN_DIGITS = 80
"""Decimal digits of the logarithm behind a threshold. `decimal` rounds `ln` correctly on every machine, and
the logarithm of a rational other than 1 is irrational, so 80 digits settle the rounding."""


class Visibility(StrEnum):
    """Who sees an input: only who knows the commitment's opening, or everybody who sees the statement."""

    PRIVATE = "private"
    PUBLIC = "public"


class Encoding(StrEnum):
    """How a raw integer input stands for a number."""

    INTEGER = "integer"
    FLOAT32 = "float32"


class Reveal(StrEnum):
    """What the statement says of the output: its value, its value to the client alone, one bit, or a commitment."""

    PUBLIC = "public"
    SEALED = "sealed"
    PREDICATE = "predicate"
    COMMITTED = "committed"


class Predicate(StrEnum):
    """The one bit: score at or beyond a threshold; the most likely class is `label`; `label` is among the top k."""

    THRESHOLD = "threshold"
    CLASS = "class"
    TOP_K = "top_k"


class WeightMode(StrEnum):
    """Weights in the circuit, or private: folded into a per-model verifying key, or hashed in the circuit."""

    CONSTANT = "constant"
    FOLDED = "folded"
    POSEIDON = "poseidon"


@dataclass(frozen=True, slots=True)
class WeightSpec:
    """`bits` is the width of a private weight (signed range `-2^(bits-1)` to `2^(bits-1) - 1`)."""

    mode: WeightMode = WeightMode.CONSTANT
    bits: int = 8

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 32:
            raise CompileSettingsError("A private weight must have 2 to 32 bits.")


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """What the proof reveals, and of what.

    `target`: "scores" (the graph's head), "label" (position of the largest score), or the name of an ONNX output.
    `score_bits`: fractional bits of a value that is shown, sealed or committed; the rest is cut on purpose, since a
    full score of a linear model can give its integer inputs away.
    A threshold is a decimal string: a probability (`threshold_on` "probability": of the positive class, for a head
    with sigmoid or two classes) or a score. `at_most` turns it round: 1 where `score <= threshold`.
    `threshold_public`: not a constant of the program but an integer public input at the scale `score_bits`.
    """

    reveal: Reveal
    target: str = "scores"
    score_bits: int = 8
    predicate: Predicate | None = None
    threshold: str | None = None
    threshold_on: str = "probability"
    threshold_public: bool = False
    at_most: bool = False
    label: str | None = None
    k: int = 1

    def __post_init__(self) -> None:
        if (self.predicate is not None) != (self.reveal is Reveal.PREDICATE):
            raise CompileSettingsError("A kind of predicate goes with predicate output, and only with it.")
        constant = self.predicate is Predicate.THRESHOLD and not self.threshold_public
        if (self.threshold is not None) != constant:
            raise CompileSettingsError("A threshold goes with a threshold predicate that is no public input.")
        if (self.label is not None) != (self.predicate in (Predicate.CLASS, Predicate.TOP_K)):
            raise CompileSettingsError("A label goes with the predicates class and top_k.")
        if self.threshold_on not in ("probability", "score"):
            raise CompileSettingsError("threshold_on must be probability or score.")
        if self.k < 1 or (self.k != 1 and self.predicate is not Predicate.TOP_K):
            raise CompileSettingsError("k goes with top_k and is at least 1.")
        if self.threshold is not None and self.threshold_on == "probability":
            probability(self.threshold)


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Everything besides the model file that the circuit depends on.

    `fractional_bits` is the precision of activations, `weight_bits` that of weights (fractional bits too); with
    private weights, how many of their `weights.bits` are fractional.
    """

    inputs: tuple[InputRange, ...]
    output: OutputSpec
    weights: WeightSpec = WeightSpec()
    fractional_bits: int = DEFAULT_BITS
    weight_bits: int = DEFAULT_BITS

    def __post_init__(self) -> None:
        if not self.inputs or not 1 <= sum(each.count for each in self.inputs) <= MAX_INPUTS:
            raise CompileSettingsError(f"A model must have 1 to {MAX_INPUTS} inputs.")
        if len({each.name for each in self.inputs}) != len(self.inputs):
            raise CompileSettingsError("Two inputs have the same name.")
        for name in ("fractional_bits", "weight_bits"):
            if not 1 <= getattr(self, name) <= MAX_FRACTIONAL_BITS:
                raise CompileSettingsError(f"{name} must be 1 to {MAX_FRACTIONAL_BITS}.")
        if not 0 <= self.output.score_bits <= MAX_FRACTIONAL_BITS:
            raise CompileSettingsError(f"score_bits must be 0 to {MAX_FRACTIONAL_BITS}.")


class OutputMode(StrEnum):
    """What the proof says of the score: its value, or one bit."""

    PUBLIC = "public"
    PREDICATE = "predicate"


@dataclass(frozen=True, slots=True)
class InputRange:
    """A field of `count` raw integer inputs, each `low <= x <= high`, where `high = low + 2^bits - 1`.

    The model sees the real number `x / 2^scale`, or, with `encoding` float32, the float whose place in the order of
    all floats is x (`low` 0, 32 bits; only comparisons take it). `group` 0 is in the statement's main commitment;
    each further group has a commitment of its own (made earlier, or by somebody else). Public inputs stand in the
    statement, packed, and are in no commitment.
    """

    name: str
    low: int
    bits: int
    count: int = 1
    scale: int = 0
    visibility: Visibility = Visibility.PRIVATE
    encoding: Encoding = Encoding.INTEGER
    group: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_INPUTS:
            raise CompileSettingsError(f"Input {self.name!r} must have a count of 1 to {MAX_INPUTS}.")
        if not 0 <= self.scale <= MAX_INPUT_SCALE:
            raise CompileSettingsError(f"Input {self.name!r} must have a scale of 0 to {MAX_INPUT_SCALE} bits.")
        if not 0 <= self.group < MAX_GROUPS:
            raise CompileSettingsError(f"Input {self.name!r} must have a group of 0 to {MAX_GROUPS - 1}.")
        if self.encoding is Encoding.FLOAT32 and (self.low, self.bits, self.scale) != (0, 32, 0):
            raise CompileSettingsError(f"Input {self.name!r}: float32 encoding has low 0, 32 bits and scale 0.")
        if not 1 <= self.bits <= MAX_INPUT_BITS:
            raise CompileSettingsError(f"Input {self.name!r} must have 1 to {MAX_INPUT_BITS} bits.")
        if abs(self.low) > MAX_LOW:
            raise CompileSettingsError(f"The lower end of input {self.name!r} is beyond 2^62.")
        if not 1 <= len(self.name) <= 64 or not self.name.isprintable():
            raise CompileSettingsError("The name of an input must have 1 to 64 printable characters.")

    @property
    def high(self) -> int:
        return self.low + (1 << self.bits) - 1

    @property
    def magnitude(self) -> int:
        """The largest absolute value in the range."""
        return max(abs(self.low), abs(self.high))

    @staticmethod
    def covering(name: str, low: int, high: int) -> InputRange:
        """Return the narrowest range that starts at `low` and holds `high`."""
        if high < low:
            raise CompileSettingsError(f"Input {name!r} has an empty range.")
        return InputRange(name, low, max(1, (high - low).bit_length()))


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything besides the model file that the circuit depends on.

    `threshold` is a probability of the positive class, as a decimal string; predicate mode only.
    `fractional_bits` is the precision of activations; `score_bits` that of a public score. A public score
    is cut on purpose: at full precision the score of a linear model can give its integer inputs away.
    """

    inputs: tuple[InputRange, ...]
    output: OutputMode
    threshold: str | None = None
    fractional_bits: int = 16
    score_bits: int = 8

    def __post_init__(self) -> None:
        if not 1 <= len(self.inputs) <= MAX_INPUTS:
            raise CompileSettingsError(f"A model must have 1 to {MAX_INPUTS} inputs.")
        if len({each.name for each in self.inputs}) != len(self.inputs):
            raise CompileSettingsError("Two inputs have the same name.")
        if not MIN_FRACTIONAL_BITS <= self.fractional_bits <= MAX_FRACTIONAL_BITS:
            raise CompileSettingsError(
                f"fractional_bits must be {MIN_FRACTIONAL_BITS} to {MAX_FRACTIONAL_BITS}."
            )
        if not 0 <= self.score_bits <= self.fractional_bits:
            raise CompileSettingsError("score_bits must be 0 to fractional_bits.")
        if (self.threshold is not None) != (self.output is OutputMode.PREDICATE):
            raise CompileSettingsError("A threshold goes with predicate output, and only with it.")
        if self.threshold is not None:
            probability(self.threshold)


def probability(text: str) -> Fraction:
    """Parse a probability threshold strictly between 0 and 1, such as "0.7"; exact.

    Raises:
        CompileSettingsError: it is no such decimal, or has more than 18 digits after the point.
    """
    refusal = CompileSettingsError("The threshold must be a decimal between 0 and 1, such as 0.7.")
    if len(text) > MAX_THRESHOLD_DIGITS + 2 or not text.isascii():
        raise refusal
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise refusal from None
    if not value.is_finite() or not 0 < value < 1:
        raise refusal
    if value.adjusted() < -MAX_THRESHOLD_DIGITS:
        # "1e-999999999" would be a fraction of a billion digits.
        raise refusal
    return Fraction(value)


def logit_threshold(threshold: str, scale_bits: int) -> int:
    """Return the least integer T with `T / 2^scale_bits >= ln(p / (1 - p))`.

    Then `score >= T` holds for exactly those integer scores whose probability is at least p.
    """
    if (p := probability(threshold)) == Fraction(1, 2):
        return 0
    odds = p / (1 - p)
    with localcontext() as context:
        context.prec = LN_DIGITS
        logit = (Decimal(odds.numerator) / Decimal(odds.denominator)).ln()
    return ceil(Fraction(logit) * (1 << scale_bits))
