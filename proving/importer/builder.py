# SPDX-License-Identifier: GPL-3.0-or-later
"""The graph under construction: nodes, the numbering of their elements, and where probabilities came from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from protocol.errors import ModelTooLargeError, WeightError
from proving.importer import rows
from proving.importer.graph import Apply, Constant, Function, Gather, Linear, Node, Ref, Relu, Round, Rounding, Scaler
from proving.importer.limits import MAX_ELEMENTS, MAX_ENTRIES, MAX_MAGNITUDE, MAX_MOVED
from proving.importer.values import Elements, Value, Variable
from proving.sparse import Array, Sparse

_NO_INTEGERS, _NO_NUMBERS = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float64)


class Reading(StrEnum):
    """How a node's elements came from scores; only what keeps the order of the scores."""

    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"
    NORMALISED = "normalised"
    POSITION = "position"
    LABEL = "label"


@dataclass(frozen=True, slots=True, eq=False)
class Origin:
    """`scores[i]` is the element that element i of the node was read from.

    For a position (ArgMax) or a label there are as many scores as classes, for any one element.
    """

    reading: Reading
    scores: Elements
    labels: tuple[str, ...] = ()


class Builder:
    """Collects nodes. `label` is the ONNX node that is being imported, for messages and reports."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.labels: list[str] = []
        self.label = ""
        self.origins: dict[Ref, Origin] = {}
        self.scalers: dict[Ref, tuple[Elements, Scaler]] = {}
        """Affine maps that are an ml Scaler: what it reads, and its numbers."""
        self._starts: list[int] = [0]
        self._entries = 0
        self._moved = 0

    def spend(self, count: int) -> None:
        """Count the values of an operator's result, and refuse a model that moves too many about."""
        self._moved += count
        if self._moved > MAX_MOVED:
            raise ModelTooLargeError(f"The model moves more than {MAX_MOVED} values (at {self.label:.80}).")

    def size(self, ref: Ref) -> int:
        """Return how many elements a node has."""
        return self._starts[ref + 1] - self._starts[ref]

    def start(self, ref: Ref) -> int:
        """Return the number of a node's first element."""
        return self._starts[ref]

    def emit(self, node: Node, size: int, origin: Origin | None = None) -> Elements:
        """Append a node and return the numbers of its elements, int64[size]."""
        start = self._starts[-1]
        if start + size > MAX_ELEMENTS:
            raise ModelTooLargeError(f"The model has more than {MAX_ELEMENTS} values (at {self.label:.80}).")
        if origin is not None:
            self.origins[len(self.nodes)] = origin
        self.nodes.append(node)
        self.labels.append(self.label)
        self._starts.append(start + size)
        return np.arange(start, start + size, dtype=np.int64)

    def refs(self, elements: Array) -> Array:
        """Return the node that each element belongs to."""
        return np.searchsorted(np.array(self._starts), elements, side="right") - 1

    def locate(self, elements: Array) -> tuple[tuple[Ref, ...], Array, int]:
        """Return the nodes behind elements, each element's place in their concatenation, and its length.

        An element of -1 (none) stays -1.
        """
        known = elements[elements >= 0]
        if not known.size:
            return (0,), np.full(elements.shape, -1, dtype=np.int64), self.size(0)
        ref, last = (int(each) for each in self.refs(np.array([known.min(), known.max()])))
        if ref == last:
            return (ref,), np.where(elements >= 0, elements - self._starts[ref], -1), self.size(ref)
        refs = np.flatnonzero(np.bincount(self.refs(known)))
        sizes = np.array([self.size(int(ref)) for ref in refs])
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        shift = offsets[:-1] - np.array([self._starts[int(ref)] for ref in refs])
        places = elements + shift[np.searchsorted(refs, self.refs(np.maximum(elements, 0))).clip(0, len(refs) - 1)]
        return tuple(int(ref) for ref in refs), np.where(elements >= 0, places, -1), int(offsets[-1])

    def vector(self, elements: Array) -> Ref:
        """Return a node whose elements are these, flattened: the node itself if they are all of it, in order."""
        flat = elements.reshape(-1)
        if flat.size and flat[-1] - flat[0] == flat.size - 1:
            ref = int(self.refs(flat[:1])[0])
            if flat[0] == self._starts[ref] and flat.size == self.size(ref) and bool((np.diff(flat) == 1).all()):
                return ref
        sources, places, _ = self.locate(flat)
        self.emit(Gather(sources, places), flat.size)
        return len(self.nodes) - 1

    def variable(self, value: Value) -> Variable:
        """Return a value as elements; known numbers become a Constant node."""
        if isinstance(value, Variable):
            return value
        numbers = value.numbers.reshape(-1)
        self.check(numbers)
        if value.trained:
            empty = Sparse(self.size(0), np.zeros(len(numbers) + 1, dtype=np.int64), _NO_INTEGERS, _NO_NUMBERS)
            return Variable(self.linear((0,), empty, numbers, True).reshape(value.shape), value.type)
        distinct, inverse = np.unique(numbers, return_inverse=True)
        elements = self.emit(Constant(distinct), len(distinct))
        return Variable(elements[inverse].reshape(value.shape), value.type)

    def check(self, values: Array) -> None:
        """Refuse numbers that are no numbers, or that no fixed point holds."""
        if not bool(np.isfinite(values).all()):
            raise WeightError(f"A number in {self.label:.80} is NaN or infinite.")
        if values.size and float(np.abs(values).max()) > MAX_MAGNITUDE:
            raise WeightError(f"A number in {self.label:.80} is beyond 2^64.")

    def linear(self, sources: tuple[Ref, ...], matrix: Sparse, bias: Array, trained: bool = False,
               tied: Array | None = None, bias_tied: Array | None = None) -> Elements:
        """Append an affine map and return its elements."""
        self._entries += len(matrix.indices)
        if self._entries > MAX_ENTRIES:
            raise ModelTooLargeError(f"The model has more than {MAX_ENTRIES} multiply-adds (at {self.label:.80}).")
        self.check(matrix.values)
        self.check(bias)
        return self.emit(Linear(sources, matrix, bias, trained, tied, bias_tied), matrix.rows)

    def combine(self, table: Array, factors: Any, offsets: Any = 0.0) -> Elements:
        """Return `sum over j of factors[i, j] * element table[i, j], plus offsets[i]`: structure, no weights."""
        sources, places, width = self.locate(table)
        values = np.broadcast_to(np.asarray(factors, dtype=np.float64), table.shape)
        matrix = rows.from_table(width, places, values)
        bias = np.array(np.broadcast_to(np.asarray(offsets, dtype=np.float64), (len(table),)))
        return self.linear(sources, matrix, bias)

    def elementwise(self, elements: Array, factors: Array, offsets: Array, trained: bool = False,
                    tied: Array | None = None, bias_tied: Array | None = None) -> Elements:
        """Return `factors[i] * elements[i] + offsets[i]` in the shape of `elements`."""
        flat = elements.reshape(-1)
        sources, places, width = self.locate(flat)
        if trained:
            matrix = Sparse(width, np.arange(len(flat) + 1, dtype=np.int64), places, np.array(factors))
        else:
            matrix = rows.from_table(width, places[:, None], factors[:, None])
        return self.linear(sources, matrix, offsets, trained, tied, bias_tied).reshape(elements.shape)

    def _unary(self, elements: Array, origin: Reading | None, make: Any) -> Elements:
        """Apply to each distinct element once."""
        distinct, inverse = distinct_elements(elements)
        source = self.vector(distinct)
        result = self.emit(make(source), len(distinct), None if origin is None else Origin(origin, distinct))
        return result[inverse].reshape(elements.shape)

    def relu(self, elements: Array) -> Elements:
        return self._unary(elements, None, Relu)

    def apply(self, elements: Array, function: Function) -> Elements:
        reading = Reading.SIGMOID if function is Function.SIGMOID else None
        return self._unary(elements, reading, lambda source: Apply(source, function))

    def round(self, elements: Array, rounding: Rounding) -> Elements:
        return self._unary(elements, None, lambda source: Round(source, rounding))

    def fixed(self, elements: Array) -> Array | None:
        """Return the numbers behind elements of Constant nodes only, or None."""
        refs = self.refs(elements)
        if not all(isinstance(self.nodes[int(ref)], Constant) for ref in np.unique(refs)):
            return None
        flat, owners = elements.reshape(-1), refs.reshape(-1)
        found = np.empty(len(flat), dtype=np.float64)
        for ref in np.unique(owners):
            node = self.nodes[int(ref)]
            assert isinstance(node, Constant)
            chosen = owners == ref
            found[chosen] = node.values[flat[chosen] - self.start(int(ref))]
        return found.reshape(elements.shape)


def distinct_elements(elements: Elements) -> tuple[Elements, Elements]:
    """Return the distinct elements, rising, and the place of each element among them (flattened)."""
    flat = elements.reshape(-1)
    if not flat.size or bool((np.diff(flat) == 1).all()):
        return flat, np.arange(flat.size, dtype=np.int64)
    low, high = int(flat.min()), int(flat.max())
    if high - low > SPREAD * flat.size:
        distinct, inverse = np.unique(flat, return_inverse=True)
        return distinct, inverse
    present = np.zeros(high - low + 1, dtype=np.bool_)
    present[flat - low] = True
    return np.flatnonzero(present) + low, (np.cumsum(present) - 1)[flat - low]


SPREAD = 16
"""Elements are counted in a table where it is not more than so many times larger than their number, else sorted."""
