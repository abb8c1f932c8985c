# SPDX-License-Identifier: GPL-3.0-or-later
"""Float32 thresholds as exact integer cuts of the elements that they are compared with.

What the model compares rises (or falls, behind a scaler below 0) with the integer, since every rounding on the way
keeps the order; so a comparison turns at one integer, which bisection finds by evaluating the model's own float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protocol.errors import WeightError
from proving.fixedpoint.float32_order import numbers
from proving.importer import graph
from proving.settings import Encoding
from proving.sparse import SAFE, Array


@dataclass(frozen=True, slots=True)
class Element:
    """What the integers `low` to `high` of one element of the source stand for.

    The real `(n + offset) / 2^scale`, taken to float32 in one rounding, or the float32 whose place is n.
    """

    low: int
    high: int
    offset: int = 0
    scale: int = 0
    encoding: Encoding = Encoding.INTEGER


@dataclass(frozen=True, slots=True)
class Cut:
    """A comparison that holds for the integers of an element up to `at`; or, if `falling`, for those above."""

    element: int
    at: int
    falling: bool


class Cuts:
    """Where each comparison of an ensemble turns.

    Raises:
        WeightError: an element that is compared passes 2^62.
    """

    def __init__(self, trees: graph.Trees, elements: Sequence[Element]) -> None:
        self._trees, self._elements = trees, elements
        used = {(s.feature, s.threshold, s.strict) for tree in trees.trees for s in tree.splits}
        self._cuts: dict[tuple[int, float, bool], Cut] = {}
        by_feature: dict[int, list[tuple[int, float, bool]]] = {}
        for key in sorted(used):
            by_feature.setdefault(key[0], []).append(key)
        for feature, keys in by_feature.items():
            for key, cut in zip(keys, self._of_feature(feature, keys), strict=True):
                self._cuts[key] = cut

    def of(self, split: graph.Split) -> Cut:
        return self._cuts[split.feature, split.threshold, split.strict]

    def bounds(self, element: int) -> tuple[int, int]:
        return self._elements[element].low, self._elements[element].high

    def _of_feature(self, feature: int, keys: list[tuple[int, float, bool]]) -> list[Cut]:
        """Find by bisection where each comparison turns; all thresholds of one feature at once."""
        element = self._elements[feature]
        if not -SAFE < element.low <= element.high < SAFE:
            raise WeightError("A feature of the tree ensemble passes 2^62; give its input fewer bits.")
        thresholds = np.array([t for _, t, _ in keys], dtype=np.float32)
        strict = np.array([s for _, _, s in keys])
        scaler = self._trees.scaler
        falling = scaler is not None and float(scaler.scale[feature]) < 0
        # At `below` the comparison has its first outcome, at `above` its second, whatever lies between.
        below = np.full(len(keys), element.low - 1, dtype=np.int64)
        above = np.full(len(keys), element.high + 1, dtype=np.int64)
        while (above - below > 1).any():
            middle = below + (above - below) // 2
            open_ = above - below > 1
            value = self._values(feature, element, np.where(open_, middle, element.low))
            holds = np.where(strict, value < thresholds, value <= thresholds) != falling
            below, above = np.where(open_ & holds, middle, below), np.where(open_ & ~holds, middle, above)
        return [Cut(feature, q, falling) for q in below.tolist()]

    def _values(self, feature: int, element: Element, integers: Array) -> Array:
        """Return what the model compares at some integers, float32."""
        if element.encoding is Encoding.FLOAT32:
            values = numbers(integers + element.offset)
        else:
            values = (integers + element.offset).astype(np.float32) * np.float32(2.0**-element.scale)
        scaler = self._trees.scaler
        if scaler is None:
            return values
        with np.errstate(all="ignore"):
            shifted = values - np.float32(scaler.offset[feature])
            return np.asarray(shifted * np.float32(scaler.scale[feature]), dtype=np.float32)
