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
MAX_THRESHOLD_DIGITS = 18
LN_DIGITS = 80
"""Decimal digits of the logarithm behind a threshold. `decimal` rounds `ln` correctly on every machine, and
the logarithm of a rational other than 1 is irrational, so 80 digits settle the rounding."""


class OutputMode(StrEnum):
    """What the proof says of the score: its value, or one bit."""

    PUBLIC = "public"
    PREDICATE = "predicate"


@dataclass(frozen=True, slots=True)
class InputRange:
    """One raw integer input: `low <= x <= high`, where `high = low + 2^bits - 1`."""

    name: str
    low: int
    bits: int

    def __post_init__(self) -> None:
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
