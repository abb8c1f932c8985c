# SPDX-License-Identifier: GPL-3.0-or-later
"""Pooling: MaxPool, AveragePool, GlobalMaxPool, GlobalAveragePool.

An average is a sum divided by a power of two, which fixed point does exactly, and a factor between 1 and 2,
which a pass moves into the next layer's weights.
"""

from __future__ import annotations

import math

import numpy as np

from protocol.errors import ModelTooLargeError
from proving.importer.arithmetic import largest
from proving.importer.builder import Builder
from proving.importer.call import Call, Rules
from proving.importer.limits import MAX_ELEMENTS
from proving.importer.values import Elements, Value, Variable
from proving.importer.windows import positions, windows
from proving.sparse import Array


def averages(builder: Builder, table: Elements, counts: Array) -> Elements:
    """Return the sum of each row of elements (-1: none) divided by its count."""
    counts = np.broadcast_to(np.asarray(counts, dtype=np.int64), (len(table),))
    halvings = np.array([int(each - 1).bit_length() for each in counts.tolist()])
    powers = np.ldexp(1.0, halvings)
    sums = builder.combine(table, (1.0 / powers)[:, None])
    factors = powers / counts
    return sums if bool((factors == 1).all()) else builder.elementwise(sums, factors, np.zeros(len(sums)))


def _pooled(call: Call) -> tuple[Elements, Array, Array, tuple[int, ...]]:
    """Return a table of elements [N * C * windows, taps], its taps in input and pads, and the output's shape."""
    value = call.variable()
    if len(value.shape) < 3:
        raise call.node.malformed("needs an input of rank 3 or more")
    axes = windows(call.node, value.shape[2:], call.node.integers("kernel_shape"))
    table, pads = positions(axes)
    batch, channels = value.shape[:2]
    if batch * channels * table.size > 2 * MAX_ELEMENTS:
        raise ModelTooLargeError(f"{call.node.title} reads too many values.")
    flat = value.elements.reshape(batch * channels, -1)
    taken = np.where(table[None] >= 0, flat[:, np.maximum(table, 0)], -1)
    shape = (batch, channels, *(each.outputs for each in axes))
    return taken.reshape(-1, table.shape[1]), table, pads, shape


def _max_pool(call: Call) -> Value:
    if len(call.node.outputs) > 1 and call.node.outputs[1]:
        raise call.node.unsupported("returns positions, which is not supported")
    table, _, _, shape = _pooled(call)
    if bool((table.max(axis=1) < 0).any()):
        raise call.node.malformed("has a window in the padding only")
    return Variable(largest(call.builder, table).reshape(shape), call.value().type)


def _average_pool(call: Call) -> Value:
    table, places, pads, shape = _pooled(call)
    counted = places >= 0
    if call.node.integer("count_include_pad"):
        counted = counted | pads
    counts = counted.sum(axis=1)
    if not bool(counts.all()):
        raise call.node.malformed("has a window in the padding only")
    counts = np.tile(counts, shape[0] * shape[1])
    return Variable(averages(call.builder, table, counts).reshape(shape), call.value().type)


def _global(call: Call) -> tuple[Elements, tuple[int, ...]]:
    value = call.variable()
    if len(value.shape) < 2:
        raise call.node.malformed("needs an input of rank 2 or more")
    batch, channels, *spatial = value.shape
    table = value.elements.reshape(batch * channels, math.prod(spatial))
    return table, (batch, channels, *(1 for _ in spatial))


def _global_average(call: Call) -> Value:
    table, shape = _global(call)
    return Variable(averages(call.builder, table, np.array(table.shape[1])).reshape(shape), call.value().type)


def _global_max(call: Call) -> Value:
    table, shape = _global(call)
    return Variable(largest(call.builder, table).reshape(shape), call.value().type)


RULES: Rules = {
    "AveragePool": _average_pool,
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_max,
    "MaxPool": _max_pool,
}
