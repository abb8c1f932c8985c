# SPDX-License-Identifier: GPL-3.0-or-later
"""The interpreter for many rows at once: the same integers, by numpy.

A node's values are int64 where its bounds fit (sums may wrap around on the way: modulo 2^64 the end is right),
Python integers (dtype object) elsewhere. Large batches take matrix products in float64 where every partial sum is an
integer below 2^53, so that none is rounded, whatever the order of the additions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from protocol.errors import InputRangeError, InputShapeError
from proving.fixedpoint.bounds import Bounds, program_bounds
from proving.fixedpoint.program import (
    Constant,
    Gather,
    Input,
    Linear,
    Maximum,
    Multiply,
    NonNegative,
    Parameter,
    Piecewise,
    Program,
    Quotient,
    Ref,
    Rescale,
    Select,
    Thermometer,
    sources_of,
)
from proving.sparse import SAFE, Array, Sparse, times, wrap, wrapping_times

EXACT_FLOAT = float(1 << 53)
DENSE_ROWS = 8
"""From this many rows on, a matrix product over dense blocks is faster than sums over the sparse entries."""
DENSE_FLOATS, DENSE_INTEGERS = 32, 2
"""A block is dense enough for a matrix product if one in so many of its places is used."""
BLOCK = 256
"""Rows of a matrix that make one dense block."""
BATCH = 256
"""Rows of data that are evaluated together."""


def run_batch(program: Program, rows: Sequence[Sequence[int]] | Array) -> Array:
    """Return the scores for raw integer inputs, [rows, scores]: int64, or Python integers where they do not fit.

    Raises:
        InputShapeError: wrong number of inputs.
        InputRangeError: an input is outside its range.
    """
    return Evaluator(program).scores(rows)


class Evaluator:
    """A program with its bounds, to be evaluated often."""

    def __init__(self, program: Program, bounds: Sequence[Bounds] | None = None) -> None:
        self.program = program
        self.bounds = program_bounds(program) if bounds is None else bounds
        self._narrow = [each.magnitude < SAFE for each in self.bounds]

    def trace(self, raw_inputs: Sequence[int] | Array) -> tuple[Array, ...]:
        """Return the vector of every node for one row of raw inputs."""
        inputs = self._unsigned(_integers([list(raw_inputs)]))
        values: list[Array] = []
        for ref in range(len(self.program.nodes)):
            values.append(self._value(ref, values, inputs))
        return tuple(each[:, 0] for each in values)

    def scores(self, rows: Sequence[Sequence[int]] | Array) -> Array:
        """Return the scores of each row, [rows, scores]."""
        return self.values(self.program.scores, rows)

    def values(self, ref: Ref, rows: Sequence[Sequence[int]] | Array) -> Array:
        """Return the vector of one node for each row, [rows, size]."""
        inputs = self._unsigned(_integers(rows))
        parts = [self._part(ref, inputs[:, start : start + BATCH]) for start in range(0, inputs.shape[1], BATCH)]
        return np.concatenate(parts, axis=1).T

    def _part(self, wanted: Ref, inputs: Array) -> Array:
        values: list[Array] = []
        for ref in range(wanted + 1):
            values.append(self._value(ref, values, inputs))
            for done in self._last_use.get(ref, ()):
                if done != wanted:
                    values[done] = values[done][:0]
        return values[wanted]

    @cached_property
    def _last_use(self) -> dict[Ref, list[Ref]]:
        last = {source: ref for ref, node in enumerate(self.program.nodes) for source in sources_of(node)}
        found: dict[Ref, list[Ref]] = {}
        for source, ref in last.items():
            found.setdefault(ref, []).append(source)
        return found

    def _unsigned(self, rows: Array) -> Array:
        fields = self.program.inputs
        size = sum(each.count for each in fields)
        if rows.ndim != 2 or rows.shape[1] != size:
            raise InputShapeError(f"The program takes {size} inputs, rows of shape {rows.shape} were given.")
        low = np.repeat(np.array([each.low for each in fields], dtype=object), [each.count for each in fields])
        high = np.repeat(np.array([each.high for each in fields], dtype=object), [each.count for each in fields])
        if rows.dtype != object and max(max(abs(low)), max(abs(high))) < SAFE:
            low, high = low.astype(np.int64), high.astype(np.int64)
        outside = np.argwhere((rows < low) | (rows > high))
        if len(outside):
            names = [each.name for each in fields for _ in range(each.count)]
            raise InputRangeError(f"A value of input {names[outside[0][1]]!r} is outside its range.")
        unsigned: Array = (rows - low).T.astype(np.int64)
        return unsigned

    def _value(self, ref: Ref, values: Sequence[Array], inputs: Array) -> Array:
        """Return one node's values, [size, rows of data]."""
        node = self.program.nodes[ref]
        match node:
            case Input():
                return inputs
            case Parameter():
                known = self.program.parameter_values
                return _repeated(np.zeros(0, np.int64) if known is None else known, inputs.shape[1])
            case Constant():
                return _repeated(node.values, inputs.shape[1])
            case Gather():
                return _joined(values, node.sources)[node.index]
            case Linear():
                return self._linear(ref, node, _joined(values, node.sources))
            case Multiply():
                kind = self._kind(ref)
                left, right = (values[each].astype(kind, copy=False) for each in (node.left, node.right))
                product: Array = left * right
                return product
            case Rescale():
                source = values[node.source]
                return self._as_bounded(ref, (np.maximum(source, 0) if node.relu else source) >> node.shift)
            case Maximum():
                return self._as_bounded(ref, np.maximum(values[node.left], values[node.right]))
            case NonNegative():
                return (values[node.source] >= 0).astype(np.int64)
            case Select():
                chosen = np.where(values[node.condition] == 1, values[node.then], values[node.otherwise])
                return self._as_bounded(ref, chosen)
            case Quotient():
                return self._as_bounded(ref, values[node.left] // values[node.right])
            case Thermometer():
                lengths = [len(each) for each in node.thresholds]
                source = values[node.source][np.repeat(np.arange(len(lengths)), lengths)]
                thresholds = np.array([each for row in node.thresholds for each in row], dtype=source.dtype)
                return (source > thresholds[:, None]).astype(np.int64)
            case Piecewise():
                return self._piecewise(ref, node, values)

    def _piecewise(self, ref: Ref, node: Piecewise, values: Sequence[Array]) -> Array:
        thermometer = self.program.nodes[node.thermometer]
        assert isinstance(thermometer, Thermometer)
        counts = np.array([len(each) for each in thermometer.thresholds], dtype=np.int64)
        ones, starts = values[node.thermometer], np.cumsum(counts) - counts
        running = np.concatenate([np.zeros((1, ones.shape[1]), np.int64), np.cumsum(ones, axis=0)])
        segment = running[starts + counts] - running[starts] + (starts + np.arange(len(counts)))[:, None]
        kind = self._kind(ref)
        source = values[node.source]
        x = source.astype(kind) if kind is object else wrap(source)
        lines = (node.slopes, node.intercepts)
        slopes, intercepts = (each.astype(kind) if kind is object else wrap(each) for each in lines)
        result: Array = slopes[segment] * x + intercepts[segment]
        return result

    def _kind(self, ref: Ref) -> Any:
        return np.int64 if self._narrow[ref] else object

    def _as_bounded(self, ref: Ref, values: Array) -> Array:
        return values.astype(self._kind(ref), copy=False)

    def _linear(self, ref: Ref, node: Linear, source: Array) -> Array:
        bias = node.bias[:, None]
        if not self._narrow[ref]:
            sums: Array = times(node.matrix, source).astype(object) + bias.astype(object)
            return sums
        if source.dtype == object:
            source = wrap(source)
        if source.shape[1] < DENSE_ROWS:
            return wrapping_times(node.matrix, source) + wrap(bias)
        return _times(node.matrix, source) + wrap(bias)


def _times(matrix: Sparse, vectors: Array) -> Array:
    """Return `matrix @ vectors` modulo 2^64, a block of rows at a time, over the columns that it uses."""
    result = np.empty((matrix.rows, vectors.shape[1]), dtype=np.int64)
    for start in range(0, matrix.rows, BLOCK):
        end = min(start + BLOCK, matrix.rows)
        span = slice(int(matrix.indptr[start]), int(matrix.indptr[end]))
        used, place = np.unique(matrix.indices[span], return_inverse=True)
        block = Sparse(len(used), matrix.indptr[start : end + 1] - span.start, place, matrix.values[span])
        result[start:end] = _block_times(block, vectors[used])
    return result


def _block_times(block: Sparse, vectors: Array) -> Array:
    entries, area = len(block.indices), block.rows * block.width
    peak = float(max(abs(int(vectors.max(initial=0))), abs(int(vectors.min(initial=0)))))
    terms = int(np.diff(block.indptr).max(initial=1))
    floats = block.magnitude() * peak * terms < EXACT_FLOAT
    if entries * (DENSE_FLOATS if floats else DENSE_INTEGERS) < area:
        return wrapping_times(block, vectors)
    kind = np.float64 if floats else np.int64
    dense = np.zeros((block.rows, block.width), dtype=kind)
    dense[block.row_of_entry(), block.indices] = block.values if floats else wrap(block.values)
    product: Array = (dense @ vectors.astype(kind)).astype(np.int64)
    return product


def _joined(values: Sequence[Array], sources: Sequence[Ref]) -> Array:
    return values[sources[0]] if len(sources) == 1 else np.concatenate([values[each] for each in sources])


def _repeated(values: Array, rows: int) -> Array:
    return np.broadcast_to(values[:, None], (len(values), rows))


def _integers(rows: Sequence[Sequence[int]] | Array) -> Array:
    """Return rows as int64 or Python integers; whole floats are taken, anything else is refused."""
    array = rows if isinstance(rows, np.ndarray) else np.array([list(row) for row in rows])
    if array.dtype == object or array.dtype.kind in "iub":
        return array if array.dtype == object else array.astype(np.int64, copy=False)
    if array.dtype.kind == "f" and bool(np.all(np.isfinite(array))) and bool(np.all(array == np.rint(array))):
        return np.array([[int(each) for each in row] for row in array.tolist()], dtype=object)
    raise InputShapeError("Rows must hold whole numbers.")
