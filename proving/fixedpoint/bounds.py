# SPDX-License-Identifier: GPL-3.0-or-later
"""An enclosing interval for every element of every node, exact integers, from weights and declared input ranges.

They decide how many bits each decomposition has, and show that nothing comes near the field's order. Intervals
forget what two values have in common; where one row of a Linear takes both a ReLU and what it was taken of
(absolute value, leaky ReLU), or a product and one of its factors (private weights), the two are looked at together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protocol.errors import WeightError
from proving.fixedpoint.program import (
    Constant,
    Gather,
    Input,
    Linear,
    Maximum,
    Multiply,
    Node,
    NonNegative,
    Parameter,
    Piecewise,
    Program,
    Quotient,
    Ref,
    Rescale,
    Select,
    Thermometer,
)
from proving.settings import InputRange
from proving.sparse import SAFE, Array, Sparse, exact, from_entries, times

FIELD_SAFE_BITS = 240
"""Every intermediate stays below 2^240 in magnitude, clear of the field's 254 bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """`low[i] <= x[i] <= high[i]`: int64, or Python integers where they do not fit (dtype object)."""

    low: Array
    high: Array

    @property
    def size(self) -> int:
        return len(self.low)

    @property
    def magnitude(self) -> int:
        """The largest absolute value that an element could have."""
        if not self.size:
            return 0
        return max(abs(int(self.low.min())), abs(int(self.high.max())))

    def take(self, index: Array) -> Bounds:
        return Bounds(self.low[index], self.high[index])


def analyse(nodes: Sequence[Node], inputs: Sequence[InputRange]) -> tuple[Bounds, ...]:
    """Return the bounds of every node.

    Raises:
        WeightError: a value could pass 2^240.
    """
    found: list[Bounds] = []
    for node in nodes:
        found.append(bounds_of(node, nodes, found, inputs))
    return tuple(found)


def program_bounds(program: Program) -> tuple[Bounds, ...]:
    """Return the bounds of a program's nodes. An error names the layer."""
    found: list[Bounds] = []
    for node, label in zip(program.nodes, program.labels, strict=True):
        found.append(bounds_of(node, program.nodes, found, program.inputs, label))
    return tuple(found)


def bounds_of(
    node: Node, nodes: Sequence[Node], known: Sequence[Bounds], inputs: Sequence[InputRange], label: str = ""
) -> Bounds:
    """Return the bounds of one node, given those of all earlier ones."""
    found = _bounds(node, nodes, known, inputs)
    if found.magnitude >> FIELD_SAFE_BITS:
        where = f"Layer {label!r}" if label else "A layer"
        raise WeightError(f"{where} could reach values beyond 2^{FIELD_SAFE_BITS}.")
    return found


def _bounds(node: Node, nodes: Sequence[Node], known: Sequence[Bounds], inputs: Sequence[InputRange]) -> Bounds:
    match node:
        case Input():
            return input_bounds(inputs)
        case Parameter():
            return Bounds(np.zeros(node.size, np.int64), np.full(node.size, (1 << node.bits) - 1, np.int64))
        case Constant():
            return Bounds(exact(node.values), exact(node.values))
        case Gather():
            return _joined(known, node.sources).take(node.index)
        case Linear():
            return _linear(node, nodes, known)
        case Multiply():
            return _product(known[node.left], known[node.right], same=node.left == node.right)
        case Rescale():
            low, high = known[node.source].low, known[node.source].high
            if node.relu:
                low, high = np.maximum(low, 0), np.maximum(high, 0)
            return Bounds(exact(low >> node.shift), exact(high >> node.shift))
        case Maximum():
            left, right = known[node.left], known[node.right]
            return Bounds(np.maximum(left.low, right.low), np.maximum(left.high, right.high))
        case NonNegative():
            source = known[node.source]
            return Bounds((source.low >= 0).astype(np.int64), (source.high >= 0).astype(np.int64))
        case Select():
            return _choice(known[node.condition], known[node.then], known[node.otherwise])
        case Quotient():
            left, right = known[node.left], known[node.right]
            return Bounds(exact(left.low // right.high), exact(left.high // right.low))
        case Thermometer():
            lengths = [len(each) for each in node.thresholds]
            thresholds = exact([each for row in node.thresholds for each in row])
            source = known[node.source].take(np.repeat(np.arange(len(lengths)), lengths))
            return Bounds((source.low > thresholds).astype(np.int64), (source.high > thresholds).astype(np.int64))
        case Piecewise():
            thermometer = nodes[node.thermometer]
            assert isinstance(thermometer, Thermometer) and thermometer.source == node.source
            return _piecewise(node, thermometer.thresholds, known[node.source])


def input_bounds(inputs: Sequence[InputRange]) -> Bounds:
    """Return the bounds of the Input node."""
    tops = exact([(1 << field.bits) - 1 for field in inputs for _ in range(field.count)])
    return Bounds(np.zeros(len(tops), np.int64), tops)


def _joined(known: Sequence[Bounds], sources: Sequence[Ref]) -> Bounds:
    if len(sources) == 1:
        return known[sources[0]]
    low = np.concatenate([known[each].low for each in sources])
    high = np.concatenate([known[each].high for each in sources])
    return Bounds(low, high)


def _linear(node: Linear, nodes: Sequence[Node], known: Sequence[Bounds]) -> Bounds:
    """A positive coefficient takes the same end of its source's interval, a negative one the other end."""
    source, matrix = _joined(known, node.sources), node.matrix
    below, above = _sums(matrix, source.low, source.high)
    low = _add(node.bias, below)
    high = _add(node.bias, above)
    used = np.zeros(len(matrix.indices), dtype=np.bool_)
    for pair in _pairs(node, nodes, known):
        correction = _together(node, known, pair, used)
        if correction is not None:
            low, high = _add(low, correction[0]), _add(high, correction[1])
    return Bounds(low, high)


def _sums(matrix: Sparse, low: Array, high: Array) -> tuple[Array, Array]:
    positive = matrix.values > 0
    both = np.concatenate([low, high])
    from_low = Sparse(2 * matrix.width, matrix.indptr, matrix.indices + matrix.width * ~positive, matrix.values)
    from_high = Sparse(2 * matrix.width, matrix.indptr, matrix.indices + matrix.width * positive, matrix.values)
    return times(from_low, both), times(from_high, both)


def _add(left: Array, right: Array) -> Array:
    if left.dtype == object or right.dtype == object:
        return exact(left.astype(object) + right.astype(object))
    total = left + right
    if len(total) and max(abs(int(total.min())), abs(int(total.max()))) >= SAFE:
        return total.astype(object)
    return total


@dataclass(frozen=True, slots=True, eq=False)
class _Pair:
    """Two sources of a Linear, by their position: element i of `made` is made from element `of[i]` of `whole`, if any.

    It is the ReLU of it, or its product with a number between the bounds `factor`.
    """

    made: int
    whole: int
    of: Array
    factor: Bounds | None


def _pairs(node: Linear, nodes: Sequence[Node], known: Sequence[Bounds]) -> list[_Pair]:
    place = {ref: position for position, ref in enumerate(node.sources)}
    pairs = []
    for ref, position in place.items():
        each = nodes[ref]
        if isinstance(each, Rescale) and each.relu and each.shift == 0:
            index = np.arange(known[ref].size, dtype=np.int64)
            operands: list[tuple[Ref, Array, Bounds | None]] = [(each.source, index, None)]
        elif isinstance(each, Multiply) and each.left != each.right:
            operands = [(*origin, known[each.left]) for origin in _origins(each.right, nodes, known)]
        else:
            continue
        pairs += [_Pair(position, place[whole], of, factor) for whole, of, factor in operands if whole in place]
    return pairs


def _origins(ref: Ref, nodes: Sequence[Node], known: Sequence[Bounds]) -> list[tuple[Ref, Array]]:
    """Return the nodes that a node's elements are elements of (itself, and what it gathers), and of which; -1: none."""
    found = [(ref, np.arange(known[ref].size, dtype=np.int64))]
    node, start = nodes[ref], 0
    if isinstance(node, Gather):
        for source in node.sources:
            size = known[source].size
            inside = (node.index >= start) & (node.index < start + size)
            found.append((source, np.where(inside, node.index - start, -1)))
            start += size
    return found


def _together(node: Linear, known: Sequence[Bounds], pair: _Pair, used: Array) -> tuple[Array, Array] | None:
    """Return what to add to both sums of each row: the interval of `a m + b x` less those of its terms.

    With m = relu(x) that is linear on either side of 0, so its extremes are at the ends of x's interval and at 0; with
    m = f x it is bilinear, and they are at the corners. An entry of the matrix is taken into account once: `used`.
    """
    matrix = node.matrix
    starts = np.cumsum([0, *(known[each].size for each in node.sources)])
    row, column = matrix.row_of_entry(), matrix.indices
    key = row * matrix.width + column
    mine = np.flatnonzero((column >= starts[pair.made]) & (column < starts[pair.made + 1]))
    mine = mine[pair.of[column[mine] - starts[pair.made]] >= 0]
    place = column[mine] - starts[pair.made]
    partner = row[mine] * matrix.width + starts[pair.whole] + pair.of[place]
    _, which, often = np.unique(partner, return_inverse=True, return_counts=True)
    found = np.searchsorted(key, partner)
    paired = (often[which] == 1) & (found < len(key))
    paired[paired] = key[found[paired]] == partner[paired]
    paired[paired] = ~used[mine[paired]] & ~used[found[paired]]
    mine, found, place = mine[paired], found[paired], place[paired]
    if not len(mine):
        return None
    used[mine] = used[found] = True
    made, whole = known[node.sources[pair.made]].take(place), known[node.sources[pair.whole]].take(pair.of[place])
    factor = None if pair.factor is None else pair.factor.take(place)
    a, b = matrix.values[mine], matrix.values[found]
    peak = [max(abs(int(each.max())), abs(int(each.min()))) for each in (a, b)]
    if peak[0] * made.magnitude + peak[1] * whole.magnitude >= SAFE // 4:
        a, b = a.astype(object), b.astype(object)
    ends = [a * made.low + b * whole.low, a * made.high + b * whole.high]
    if factor is not None:
        if (peak[0] * factor.magnitude + peak[1]) * whole.magnitude >= SAFE // 4:
            a, b = a.astype(object), b.astype(object)
        slopes = [a * each + b for each in (factor.low, factor.high)]
        ends = [slope * end for slope in slopes for end in (whole.low, whole.high)]
    elif bool(np.any((whole.low < 0) & (whole.high > 0))):
        ends.append(np.where((whole.low < 0) & (whole.high > 0), 0, ends[0]))
    least, most = np.minimum.reduce(ends), np.maximum.reduce(ends)
    apart = [np.where(a > 0, a * made.low, a * made.high) + np.where(b > 0, b * whole.low, b * whole.high)]
    apart.append(np.where(a > 0, a * made.high, a * made.low) + np.where(b > 0, b * whole.high, b * whole.low))
    return _by_row(least - apart[0], row[mine], matrix.rows), _by_row(most - apart[1], row[mine], matrix.rows)


def _by_row(values: Array, row: Array, rows: int) -> Array:
    summed = from_entries(rows, 1, row, np.zeros(len(row), dtype=np.int64), values)
    result = np.zeros(rows, dtype=summed.values.dtype)
    result[np.flatnonzero(np.diff(summed.indptr))] = summed.values
    return result


def _product(left: Bounds, right: Bounds, same: bool) -> Bounds:
    if left.magnitude * right.magnitude >= SAFE:
        left = Bounds(left.low.astype(object), left.high.astype(object))
        right = Bounds(right.low.astype(object), right.high.astype(object))
    ends = [a * b for a in (left.low, left.high) for b in (right.low, right.high)]
    low = np.minimum(np.minimum(ends[0], ends[1]), np.minimum(ends[2], ends[3]))
    high = np.maximum(np.maximum(ends[0], ends[1]), np.maximum(ends[2], ends[3]))
    if same:
        low = np.where((left.low <= 0) & (left.high >= 0), 0, np.minimum(ends[0], ends[3]))
    return Bounds(exact(low), exact(high))


def _piecewise(node: Piecewise, thresholds: Sequence[tuple[int, ...]], source: Bounds) -> Bounds:
    """A segment's extremes are at its ends."""
    elements = list(zip(source.low.tolist(), thresholds, source.high.tolist(), strict=True))
    left = exact([end for low, each, _ in elements for end in (low, *(q + 1 for q in each))])
    right = exact([end for _, each, high in elements for end in (*each, high)])
    slopes = node.slopes
    if source.magnitude * max(abs(int(slopes.max())), abs(int(slopes.min()))) >= SAFE // 4:
        slopes = slopes.astype(object)
    values = [_add(slopes * end, node.intercepts) for end in (left, right)]
    counts = np.array([len(each) + 1 for each in thresholds], dtype=np.int64)
    starts = np.cumsum(counts) - counts
    low = np.minimum.reduceat(np.minimum(*values), starts)
    high = np.maximum.reduceat(np.maximum(*values), starts)
    return Bounds(exact(low), exact(high))


def _choice(condition: Bounds, then: Bounds, otherwise: Bounds) -> Bounds:
    always, never = condition.low >= 1, condition.high <= 0
    low = np.where(always, then.low, np.where(never, otherwise.low, np.minimum(then.low, otherwise.low)))
    high = np.where(always, then.high, np.where(never, otherwise.high, np.maximum(then.high, otherwise.high)))
    return Bounds(exact(low), exact(high))
