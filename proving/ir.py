# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixed-point program between a model and its circuit: integers and exact bounds, nothing else.

A raw input x becomes the unsigned u = x - low. A layer computes `z_j = bias_j + sum_i weight_ji v_i`
over the previous layer's integers; ReLU and rescale give `max(z_j, 0) >> shift`. The last layer's z is the
score (one logit) or the scores (one logit a class), at `scale_bits` fractional bits.
"""

from __future__ import annotations

from dataclasses import dataclass

from proving.settings import InputRange, OutputMode


@dataclass(frozen=True, slots=True)
class Interval:
    """All integers from `low` to `high`, both included."""

    low: int
    high: int

    @property
    def sign_bits(self) -> int:
        """The least m with `-2^m <= low` and `high < 2^m`: bits of the magnitude, without the sign."""
        below = (-self.low - 1).bit_length() if self.low < 0 else 0
        above = self.high.bit_length() if self.high > 0 else 0
        return max(below, above)


@dataclass(frozen=True, slots=True)
class Affine:
    """`z = bias + weights . v`; `weights[j]` is the row of output j; `bounds[j]` encloses z_j."""

    weights: tuple[tuple[int, ...], ...]
    biases: tuple[int, ...]
    bounds: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Hidden:
    """An affine map, then ReLU, then a shift right by `shift` bits (floor)."""

    affine: Affine
    shift: int


@dataclass(frozen=True, slots=True)
class Output:
    """How scores become public inputs.

    predicate: one bit, `z >= threshold` (an integer at the score's scale).
    public: each score is cut to `(z + 2^sign_bits) >> shift`, an unsigned number of `width` bits, and
    several are packed into a field element, the first in the lowest bits.
    """

    mode: OutputMode
    threshold: int
    sign_bits: int
    shift: int
    width: int
    per_element: int

    @property
    def offset(self) -> int:
        """What is subtracted from a public score to make it signed."""
        return 1 << (self.sign_bits - self.shift)


@dataclass(frozen=True, slots=True)
class Program:
    """A whole model in integers; the circuit is a function of this alone."""

    inputs: tuple[InputRange, ...]
    hidden: tuple[Hidden, ...]
    score: Affine
    scale_bits: int
    output: Output

    @property
    def output_elements(self) -> int:
        """How many field elements the outputs take in the public inputs."""
        if self.output.mode is OutputMode.PREDICATE:
            return 1
        return -(-len(self.score.biases) // self.output.per_element)
