# SPDX-License-Identifier: GPL-3.0-or-later
"""A program in the making: nodes with their bounds, and the real numbers that their integers stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from protocol.errors import CompileSettingsError
from proving.fixedpoint.bounds import Bounds, bounds_of
from proving.fixedpoint.program import Approximation, Gather, Linear, Node, Ref, Rescale
from proving.settings import ModelSettings
from proving.sparse import SAFE, Array, Sparse, diagonal, exact

WIDE_BITS = 160
"""Values of more bits than this are rescaled before they are multiplied further."""


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """What a node's integers stand for: element i is the real `(n[i] + offset[i]) / 2^scale[i]`.

    `span[i]` (float64) estimates how large the real gets, leaving `offset` aside: a weight on it is rounded
    accordingly. `exact`: the integers are the graph's own numbers, unrounded. `coded[i]`: n is not a number but
    the place of a float32 among all floats, for comparisons in trees alone.
    """

    ref: Ref
    scale: Array
    span: Array
    offset: Array | None = None
    exact: bool = False
    coded: Array | None = None

    @property
    def size(self) -> int:
        return len(self.scale)

    def take(self, ref: Ref, index: Array) -> Value:
        """Return what node `ref` stands for, whose elements are these elements at `index`."""
        offset = None if self.offset is None else self.offset[index]
        coded = None if self.coded is None else self.coded[index]
        if offset is not None and not np.any(offset != 0):
            offset = None
        if coded is not None and not coded.any():
            coded = None
        return Value(ref, self.scale[index], self.span[index], offset, self.exact, coded)


class Lowering:
    """Collects a program's nodes; `layer` labels those that are added."""

    def __init__(self, settings: ModelSettings) -> None:
        self.settings = settings
        self.inputs = settings.inputs
        self.layer = ""
        self.nodes: list[Node] = []
        self.scales: list[int] = []
        self.labels: list[str] = []
        self.bounds: list[Bounds] = []
        self.approximations: list[Approximation] = []

    @property
    def precision(self) -> int:
        """The fractional bits of activations."""
        return self.settings.fractional_bits

    def add(self, node: Node, scale: int, bounds: Bounds | None = None) -> Ref:
        """Append a node and return its position."""
        if bounds is None:
            bounds = bounds_of(node, self.nodes, self.bounds, self.inputs, self.layer)
        self.nodes.append(node)
        self.scales.append(scale)
        self.labels.append(self.layer)
        self.bounds.append(bounds)
        return len(self.nodes) - 1

    def note(self, approximation: Approximation) -> None:
        """Record what a layer is off."""
        self.approximations.append(approximation)

    def bits(self, ref: Ref) -> int:
        """Return how many bits the largest value of a node has."""
        return self.bounds[ref].magnitude.bit_length()

    def joined(self, values: Sequence[Value]) -> Value:
        """Return several vectors as one (`ref` is that of the first alone)."""
        if len(values) == 1:
            return values[0]
        return Value(
            values[0].ref,
            np.concatenate([each.scale for each in values]),
            np.concatenate([each.span for each in values]),
            _filled([each.offset for each in values], values, np.int64),
            all(each.exact for each in values),
            _filled([each.coded for each in values], values, np.bool_),
        )

    def gathered(self, values: Sequence[Value], index: Array) -> Value:
        """Return `concat(values)[index]`."""
        joined = self.joined(values)
        if len(values) == 1 and len(index) == joined.size and np.array_equal(index, np.arange(joined.size)):
            return joined
        ref = self.add(Gather(tuple(each.ref for each in values), index), int(joined.scale.max(initial=0)))
        return joined.take(ref, index)

    def plain(self, value: Value, scale: int | None = None) -> Value:
        """Return a value without offset and with one scale (at least `scale`) for all elements; it costs nothing.

        Raises:
            CompileSettingsError: an element is no number but a float32's place in the order of floats.
        """
        self.refuse_coded(value)
        common = max(int(value.scale.max(initial=0)), 0 if scale is None else scale)
        up = common - value.scale
        ref = value.ref
        if value.offset is not None:
            ref = self.shifted(ref, value.offset)
        if up.any():
            factors = np.array([1 << each for each in up.tolist()], dtype=object)
            ref = self.linear((ref,), diagonal(exact(factors)), np.zeros(value.size, np.int64), common)
        return replace(value, ref=ref, offset=None, scale=np.full(value.size, common, np.int64))

    def refuse_coded(self, value: Value) -> None:
        """Raise CompileSettingsError where an element is a float32's place in the order of floats."""
        if value.coded is not None and value.coded.any():
            raise CompileSettingsError(
                f"Layer {self.layer!r} computes with an input whose encoding is float32: only trees can take it."
            )

    def linear(self, sources: tuple[Ref, ...], matrix: Sparse, bias: Array, scale: int) -> Ref:
        """Append a Linear of integers."""
        return self.add(Linear(sources, matrix, bias), scale)

    def shifted(self, ref: Ref, constant: Array | int) -> Ref:
        """Return a node that is `ref` plus a constant. Bounds move with it, and a Linear takes it into its bias."""
        size = self.bounds[ref].size
        constants = exact(np.broadcast_to(np.asarray(constant, dtype=object), (size,)))
        if not np.any(constants != 0):
            return ref
        node = self.nodes[ref]
        bounds = Bounds(_plus(self.bounds[ref].low, constants), _plus(self.bounds[ref].high, constants))
        if isinstance(node, Linear):
            moved = Linear(node.sources, node.matrix, _plus(node.bias, constants))
        else:
            moved = Linear((ref,), diagonal(np.ones(size, dtype=np.int64)), constants)
        return self.add(moved, self.scales[ref], bounds)

    def rescaled(self, value: Value, scale: int, relu: bool = False) -> Value:
        """Return a value rounded to the nearest at `scale` fractional bits, or its positive part; one decomposition."""
        value = self.plain(value)
        shift = max(0, int(value.scale[0]) - scale) if value.size else 0
        if not relu and not shift:
            return value
        ref = self.shifted(value.ref, (1 << shift) >> 1)
        ref = self.add(Rescale(ref, shift, relu), scale if shift else int(value.scale.max(initial=0)))
        return replace(value, ref=ref, scale=value.scale - shift, exact=value.exact and not shift)

    def narrowed(self, value: Value) -> Value:
        """Return a value at the precision of activations, if it has more."""
        return self.rescaled(value, self.precision) if int(value.scale.max(initial=0)) > self.precision else value

    def aligned(self, values: Sequence[Value]) -> tuple[tuple[Ref, ...], int]:
        """Return several values as plain integers at one scale: references, and the scale."""
        scale = max(int(each.scale.max(initial=0)) for each in values)
        return tuple(self.plain(each, scale).ref for each in values), scale

    def value(self, ref: Ref, scale: int, exact_value: bool = False, span: float = 1.0) -> Value:
        """Return what a plain node stands for."""
        size = self.bounds[ref].size
        return Value(ref, np.full(size, scale, np.int64), np.full(size, span), None, exact_value)


def _plus(left: Array, right: Array) -> Array:
    if left.dtype != object and right.dtype != object:
        total: Array = left + right
        if not len(total) or max(abs(int(total.max())), abs(int(total.min()))) < SAFE:
            return total
    return exact(left.astype(object) + right.astype(object))


def _filled(parts: Sequence[Array | None], values: Sequence[Value], kind: type) -> Array | None:
    if all(each is None for each in parts):
        return None
    return np.concatenate(
        [np.zeros(v.size, kind) if each is None else each for each, v in zip(parts, values, strict=True)]
    )
