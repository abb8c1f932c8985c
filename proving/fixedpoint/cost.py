# SPDX-License-Identifier: GPL-3.0-or-later
"""How many constraints a program will have, from its bounds alone: for comparing settings without emitting circuits.

Counts what each node's gadget needs (formulas: proving/constraints/gadgets). It leaves out the statement, and the
wires that the emitter adds for long combinations or saves by using bits again: within a few per cent of the circuit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from proving.fixedpoint.bounds import Bounds, program_bounds
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
from proving.sparse import Array


def layer_costs(program: Program, bounds: Sequence[Bounds] | None = None) -> tuple[tuple[str, int], ...]:
    """Return constraints by layer, in the order of the program; layers that cost nothing are left out."""
    totals: dict[str, int] = {}
    for label, cost in zip(program.labels, node_costs(program, bounds), strict=True):
        if cost:
            totals[label] = totals.get(label, 0) + cost
    return tuple(totals.items())


def total_cost(program: Program, bounds: Sequence[Bounds] | None = None) -> int:
    """Return the constraints of all layers."""
    return sum(node_costs(program, bounds))


def node_costs(program: Program, bounds: Sequence[Bounds] | None = None) -> list[int]:
    """Return the constraints of each node."""
    known = program_bounds(program) if bounds is None else bounds
    return [_cost(ref, node, program.nodes, known) for ref, node in enumerate(program.nodes)]


def _cost(ref: Ref, node: Node, nodes: Sequence[Node], known: Sequence[Bounds]) -> int:
    match node:
        case Constant() | Gather() | Linear() | Parameter():
            return 0
        case Input():
            unchecked = ~_compared(ref, nodes, known)
            return int(_bits(known[ref].high)[unchecked].sum())
        case Multiply():
            return int(np.sum(_open(known[node.left]) & _open(known[node.right])))
        case Piecewise():
            return known[ref].size
        case Rescale():
            return _rescale(node, known[node.source])
        case Maximum():
            left, right = known[node.left], known[node.right]
            low, high = left.low - right.high, left.high - right.low
            undecided = np.asarray((low < 0) & (high > 0), dtype=bool)
            return int((_sign_place(low, high) + 3)[undecided].sum())
        case NonNegative():
            source = known[node.source]
            undecided = np.asarray((source.low < 0) & (source.high >= 0), dtype=bool)
            return int((_sign_place(source.low, source.high) + 2)[undecided].sum())
        case Select():
            leaf = ~_open(known[node.then]) & ~_open(known[node.otherwise])
            return int(np.sum(_open(known[node.condition]) & ~leaf))
        case Quotient():
            return _quotient(known[ref], known[node.right])
        case Thermometer():
            return _thermometer(node, known[node.source])


def _rescale(node: Rescale, source: Bounds) -> int:
    low = np.maximum(source.low, 0) if node.relu else source.low
    high = np.maximum(source.high, 0) if node.relu else source.high
    varies = np.asarray(low >> node.shift != high >> node.shift, dtype=bool)
    signed = varies & np.asarray(source.low < 0, dtype=bool) if node.relu else np.zeros_like(varies)
    cost = int((_sign_place(source.low, source.high) + 3)[signed].sum())
    if node.shift:
        base = (source.low >> node.shift) << node.shift
        cost += int((_bits(source.high - base) + 1)[varies & ~signed].sum())
    return cost


def _quotient(result: Bounds, right: Bounds) -> int:
    q, r = _bits(result.high), _bits(right.high - 1)
    constant, power = ~_open(right), np.asarray(right.low & (right.low - 1) == 0, dtype=bool)
    each = np.where(constant & power, q + r + 1, q + 2 * r + 2)
    return int(each[_open(result)].sum())


def _thermometer(node: Thermometer, source: Bounds) -> int:
    total = 0
    for low, high, thresholds in zip(source.low.tolist(), source.high.tolist(), node.thresholds, strict=True):
        if not thresholds or high - low == 1:
            continue
        edges = (low - 1, *thresholds, high)
        widest = max(edges[k + 1] - edges[k] - 1 for k in range(len(edges) - 1)).bit_length()
        count = len(thresholds)
        total += (count + 1 if count > 1 else 1) + (2 * (widest + 1) if widest else 1)
    return total


def _compared(ref: Ref, nodes: Sequence[Node], known: Sequence[Bounds]) -> Array:
    """Return which inputs a thermometer compares, and so checks."""
    size = known[ref].size
    origin = {ref: np.arange(size, dtype=np.int64)}
    found = np.zeros(size, dtype=bool)
    for each, node in enumerate(nodes):
        if isinstance(node, Gather) and all(source in origin for source in node.sources):
            origin[each] = np.concatenate([origin[source] for source in node.sources])[node.index]
        if isinstance(node, Thermometer) and node.source in origin:
            wide = np.asarray(known[node.source].high > 1, dtype=bool)
            used = np.array([len(each) > 0 for each in node.thresholds], dtype=bool)
            found[origin[node.source][used & wide]] = True
    return found


def _open(bounds: Bounds) -> Array:
    return np.asarray(bounds.low != bounds.high, dtype=bool)


def _sign_place(low: Array, high: Array) -> Array:
    """Return the least m with `-2^m <= low` and `high < 2^m`."""
    return np.maximum(_bits(np.where(low < 0, -1 - low, 0)), _bits(np.where(high > 0, high, 0)))


def _bits(values: Array) -> Array:
    return np.array([int(each).bit_length() for each in values.tolist()], dtype=np.int64)
