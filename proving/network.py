# SPDX-License-Identifier: GPL-3.0-or-later
"""A model as exact rationals: dense layers with ReLU between them, up to the logits."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Dense:
    """`weights[j][i]` leads from input i to output j."""

    weights: tuple[tuple[Fraction, ...], ...]
    biases: tuple[Fraction, ...]


@dataclass(frozen=True, slots=True)
class Network:
    """`layers` with ReLU between them; the last gives one logit (two classes) or one a class.

    `labels` are the classes in the model's order, as text; with one logit the last is the positive class.
    """

    input_size: int
    layers: tuple[Dense, ...]
    labels: tuple[str, ...]

    @property
    def is_binary(self) -> bool:
        return len(self.layers[-1].biases) == 1
