# SPDX-License-Identifier: GPL-3.0-or-later
"""Trained layers whose weights are no part of the circuit: one circuit for every owner of an architecture.

A weight is the unsigned integer `u = w + 2^(bits-1)` of the program's Parameter node, so that the products `u x`
are small and positive; with `z = sum u x - 2^(bits-1) sum x` the layer is linear in them. Nothing here but the
parameters' values depends on the weights: scales and bounds come from architecture, settings and input ranges.

A weight has `weight_bits` fractional bits where it multiplies an activation. Where it multiplies a raw input, it has
those for the input as a fraction of its declared range: the owner of an income of 300,000 writes down the weight
of income / 2^19. A bias has `fractional_bits` and BIAS_WHOLE_BITS before the point, with what the inputs' `low` adds
to it; it is made of limbs of `bits` bits, parameters like any other, of which the highest two overlap rather than
give it more bits than that: what a bias could be widens every interval behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protocol.errors import WeightError
from proving.fixedpoint.affine import to_integers
from proving.fixedpoint.lowering import Lowering, Value
from proving.fixedpoint.program import Gather, Linear, Multiply, Parameter, Ref
from proving.importer import graph
from proving.settings import ModelSettings, WeightMode
from proving.sparse import SAFE, Array, Sparse, exact, from_entries, times

BIAS_WHOLE_BITS = 8
"""A bias has at least so many bits before the point, its sign included."""


@dataclass(frozen=True, slots=True, eq=False)
class Slots:
    """The parameters of one layer: entry e of its matrix is parameter `weight[e]`, and so on.

    The limbs of bias i are the parameters from `bias[i]` on, the lowest first.
    """

    weight: Array
    first: int
    count: int
    bias: Array


class PrivateWeights:
    """The Parameter node of a program, and the values that its owner gives it."""

    def __init__(self, lowering: Lowering, nodes: Sequence[graph.Node], wanted: Sequence[graph.Ref]) -> None:
        settings = lowering.settings
        self._lowering = lowering
        self._bits = settings.weights.bits
        self._places = bias_places(settings)
        self._limbs = len(self._places)
        self._slots: dict[graph.Ref, Slots] = {}
        size = 0
        for ref in wanted:
            node = nodes[ref]
            if isinstance(node, graph.Linear) and node.trained:
                self._slots[ref] = slots = self._allotted(node, size)
                size = max(slots.first + slots.count, int(slots.bias.max(initial=0)) + self._limbs)
        if not size:
            raise WeightError("The model has no trained layer whose weights could be private.")
        lowering.layer = "private weights"
        self._ref = lowering.add(Parameter(size, self._bits), settings.weight_bits)
        self.values = np.zeros(size, dtype=np.int64)

    def _allotted(self, node: graph.Linear, first: int) -> Slots:
        entries = len(node.matrix.indices)
        tied = np.arange(entries, dtype=np.int64) if node.tied is None else node.tied
        kinds, weight = np.unique(tied, return_inverse=True)
        bias_tied = np.arange(node.matrix.rows, dtype=np.int64) if node.bias_tied is None else node.bias_tied
        _, bias = np.unique(bias_tied, return_inverse=True)
        start = first + len(kinds)
        return Slots(first + weight.astype(np.int64), first, len(kinds), start + self._limbs * bias.astype(np.int64))

    def layer(self, ref: graph.Ref, node: graph.Linear, sources: Sequence[Value]) -> Value:
        """Return a trained layer over values that stand for reals.

        Raises:
            WeightError: a weight does not fit its bits.
        """
        lowering, slots, source = self._lowering, self._slots[ref], self._lowering.joined(sources)
        precision = _precision(node.matrix, slots, source, lowering.settings.weight_bits)
        self._write_weights(node, slots, precision)
        moved = node.bias_tied is None and source.offset is not None
        offset = np.zeros(source.size, np.int64) if source.offset is None or moved else source.offset
        self._write_bias(node, slots, source if moved else None)
        places = source.scale[node.matrix.indices] + precision[slots.weight - slots.first]
        scale = max(int(places.max(initial=0)), lowering.precision)
        products, of_entry = self._products(node.matrix, slots, sources, source.size)
        up = exact(np.array([1 << each for each in range(scale + 1)], dtype=object))[scale - places]
        sources_of_sum = (products, self._ref, *(each.ref for each in sources))
        product_count, parameter_count = lowering.bounds[products].size, len(self.values)
        matrix, bias = self._sum(node.matrix, slots, of_entry, up, offset, (product_count, parameter_count))
        unit = 1 << (scale - lowering.precision)
        limbs, constant = self._bias_terms(slots, node.matrix.rows, matrix.width, product_count, unit)
        matrix = _added(matrix, limbs)
        total = exact(bias.astype(object) + constant)
        result = lowering.add(Linear(sources_of_sum, matrix, total), scale)
        return lowering.value(result, scale)

    def _products(
        self, matrix: Sparse, slots: Slots, sources: Sequence[Value], width: int
    ) -> tuple[Ref, Array]:
        """Return the products of parameters and sources, each pair once, and which one each entry takes."""
        lowering = self._lowering
        pairs, of_entry = np.unique(slots.weight * width + matrix.indices, return_inverse=True)
        weights = lowering.add(Gather((self._ref,), pairs // width), lowering.settings.weight_bits)
        refs = tuple(each.ref for each in sources)
        operands = lowering.add(Gather(refs, pairs % width), max(lowering.scales[each] for each in refs))
        scale = lowering.scales[weights] + lowering.scales[operands]
        return lowering.add(Multiply(weights, operands), scale), of_entry.astype(np.int64)

    def _sum(
        self, matrix: Sparse, slots: Slots, of_entry: Array, up: Array, offset: Array, counts: tuple[int, int]
    ) -> tuple[Sparse, Array]:
        """Return `sum 2^up (u - half) (x + offset)` over products, parameters and sources, and its constant."""
        half = 1 << (self._bits - 1)
        products, parameters = counts
        row, moves = matrix.row_of_entry(), offset[matrix.indices]
        reach = max(half, max(abs(int(offset.min(initial=0))), abs(int(offset.max(initial=0)))))
        # Integers of numpy where a sum of all terms of a row stays far below 2^62.
        if up.dtype == object or int(up.max(initial=0)) * reach * half * len(row) >= SAFE:
            up, moves = up.astype(object), moves.astype(object)
        width = products + parameters + matrix.width
        result = from_entries(
            matrix.rows,
            width,
            np.tile(row, 3),
            np.concatenate([of_entry, products + slots.weight, products + parameters + matrix.indices]),
            np.concatenate([up, up * moves, -half * up]),
        )
        constant = from_entries(matrix.rows, 1, row, np.zeros(len(row), dtype=np.int64), -half * up * moves)
        return result, times(constant, np.ones(1, dtype=np.int64))

    def _bias_terms(self, slots: Slots, rows: int, width: int, start: int, unit: int) -> tuple[Sparse, int]:
        factors = np.array([unit << place for place in self._places], dtype=object)
        column = start + (slots.bias[:, None] + np.arange(self._limbs)[None, :]).reshape(-1)
        row = np.repeat(np.arange(rows, dtype=np.int64), self._limbs)
        matrix = from_entries(rows, width, row, column, np.tile(exact(factors), rows))
        return matrix, -(unit << (bias_bits(self._lowering.settings) - 1))

    def _write_weights(self, node: graph.Linear, slots: Slots, precision: Array) -> None:
        values = node.matrix.values.astype(np.float64, copy=False)
        weights = np.zeros(slots.count, dtype=np.float64)
        weights[slots.weight - slots.first] = values
        if not np.array_equal(weights[slots.weight - slots.first], values):
            raise WeightError(f"Layer {self._lowering.layer!r} has different values for one shared weight.")
        scaled = np.rint(np.ldexp(weights, precision))
        half = float(1 << (self._bits - 1))
        peak = float(np.abs(scaled).max(initial=0))
        if not bool(np.all((scaled >= -half) & (scaled < half))):
            needed = int(peak).bit_length() + 1 if peak < 2.0**200 else 200
            raise WeightError(
                f"Layer {self._lowering.layer!r} has a weight that needs {needed} bits, and private weights have "
                f"{self._bits}, {self._lowering.settings.weight_bits} of them fractional.",
                remedy="Set more bits for the weights or fewer weight_bits, or narrow the declared input ranges.",
            )
        self.values[slots.first : slots.first + slots.count] = (scaled + half).astype(np.int64)

    def _write_bias(self, node: graph.Linear, slots: Slots, moved: Value | None) -> None:
        reals = node.bias.astype(np.float64)
        if moved is not None and moved.offset is not None:
            lows = np.ldexp(moved.offset.astype(np.float64), -moved.scale)
            entries = node.matrix.values * lows[node.matrix.indices]
            reals = reals + np.bincount(node.matrix.row_of_entry(), weights=entries, minlength=node.matrix.rows)
        width = bias_bits(self._lowering.settings)
        rest = to_integers(np.rint(np.ldexp(reals, self._lowering.precision))).astype(object) + (1 << (width - 1))
        if any(not 0 <= each < 1 << width for each in rest):
            raise WeightError(
                f"Layer {self._lowering.layer!r} has a bias beyond {width} bits, "
                f"{self._lowering.precision} of them fractional.",
                remedy="Scale the features so that they are centred, or narrow the declared input ranges.",
            )
        for limb, place in reversed(list(enumerate(self._places))):
            high = np.minimum(rest >> place, (1 << self._bits) - 1)
            self.values[slots.bias + limb] = high.astype(np.int64)
            rest = rest - (high << place)


def bias_bits(settings: ModelSettings) -> int:
    """Return how many bits a bias has, its sign included."""
    return max(settings.weights.bits, settings.fractional_bits + BIAS_WHOLE_BITS)


def bias_places(settings: ModelSettings) -> tuple[int, ...]:
    """Return the place of the lowest bit of each limb of a bias."""
    bits, total = settings.weights.bits, bias_bits(settings)
    return tuple(min(start, total - bits) for start in range(0, total, bits))


def wanted(settings: ModelSettings) -> bool:
    """Say whether weights are parameters."""
    return settings.weights.mode is not WeightMode.CONSTANT


def _precision(matrix: Sparse, slots: Slots, source: Value, weight_bits: int) -> Array:
    """Return the fractional bits of each weight: `weight_bits` where its sources are of size 1."""
    part, exponent = np.frexp(source.span)
    exponent = exponent - (part == 0.5)
    precision = np.full(slots.count, -(1 << 30), dtype=np.int64)
    np.maximum.at(precision, slots.weight - slots.first, weight_bits + exponent[matrix.indices].astype(np.int64))
    return precision


def _added(left: Sparse, right: Sparse) -> Sparse:
    return from_entries(
        left.rows,
        left.width,
        np.concatenate([left.row_of_entry(), right.row_of_entry()]),
        np.concatenate([left.indices, right.indices]),
        np.concatenate([left.values, right.values]),
    )
