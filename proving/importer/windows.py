# SPDX-License-Identifier: GPL-3.0-or-later
"""Sliding windows over one or two (or more) spatial axes: which input position each tap of each window reads."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from protocol.errors import ModelTooLargeError
from proving.importer.limits import MAX_ENTRIES
from proving.importer.node import Node
from proving.sparse import Array


@dataclass(frozen=True, slots=True)
class Window:
    """One axis: `begin` and `end` are the pads."""

    size: int
    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int
    outputs: int


def windows(node: Node, spatial: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[Window, ...]:
    """Read strides, pads, dilations, auto_pad and ceil_mode of a convolution or pooling node."""
    rank = len(spatial)
    if len(kernel) != rank or not rank or any(each < 1 for each in kernel):
        raise node.malformed("has a kernel of another rank than its input")
    strides = node.integers("strides") or (1,) * rank
    dilations = node.integers("dilations") or (1,) * rank
    pads = node.integers("pads") or (0,) * (2 * rank)
    if len(strides) != rank or len(dilations) != rank or len(pads) != 2 * rank:
        raise node.malformed("has strides, dilations or pads of another rank than its input")
    if min(strides) < 1 or min(dilations) < 1 or min(pads) < 0:
        raise node.malformed("has a stride or dilation below 1 or a negative pad")
    mode = node.text("auto_pad", "NOTSET")
    found = []
    for axis in range(rank):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        begin, end = pads[axis], pads[axis + rank]
        if mode in ("SAME_UPPER", "SAME_LOWER"):
            wanted = -(-spatial[axis] // strides[axis])
            total = max(0, (wanted - 1) * strides[axis] + reach - spatial[axis])
            begin = total // 2 if mode == "SAME_UPPER" else total - total // 2
            end = total - begin
        elif mode == "VALID":
            begin = end = 0
        elif mode not in ("NOTSET", ""):
            raise node.malformed(f"has auto_pad {mode:.20}")
        room = spatial[axis] + begin + end - reach
        if room < 0:
            raise node.malformed("has a kernel larger than its padded input")
        outputs = room // strides[axis] + 1
        if node.integer("ceil_mode"):
            outputs = -(-room // strides[axis]) + 1
            if (outputs - 1) * strides[axis] >= spatial[axis] + begin:
                outputs -= 1  # a window that starts in the end pad does not count
        found.append(Window(spatial[axis], kernel[axis], strides[axis], dilations[axis], begin, end, outputs))
    if math.prod(each.outputs * each.kernel for each in found) > MAX_ENTRIES:
        raise ModelTooLargeError(f"{node.title} has more than {MAX_ENTRIES} multiply-adds.")
    return tuple(found)


def positions(axes: tuple[Window, ...]) -> tuple[Array, Array]:
    """Return for each window and tap the input's position (flat, -1 for padding), and whether it is in the pads.

    Both are [windows, taps]; a tap that is neither input nor pad (beyond the end, with ceil_mode) is in neither.
    """
    table = np.zeros((1, 1), dtype=np.int64)
    inside = np.ones((1, 1), dtype=np.bool_)
    padded = np.ones((1, 1), dtype=np.bool_)
    for axis in axes:
        start = np.arange(axis.outputs, dtype=np.int64)[:, None] * axis.stride - axis.begin
        place = start + np.arange(axis.kernel, dtype=np.int64)[None, :] * axis.dilation
        within = (place >= 0) & (place < axis.size)
        counted = place < axis.size + axis.end
        shape = (len(table) * axis.outputs, table.shape[1] * axis.kernel)

        def spread(old: Array, new: Array, how: np.ufunc, shape: tuple[int, int] = shape) -> Array:
            return np.asarray(how(old[:, None, :, None], new[None, :, None, :])).reshape(shape)

        table = spread(table * axis.size, place, np.add)
        inside, padded = spread(inside, within, np.logical_and), spread(padded, counted, np.logical_and)
    return np.where(inside, table, -1), padded & ~inside


def channel_tables(elements: Array, table: Array, groups: int) -> list[Array]:
    """Return for each group the elements that each output position reads, [N * windows, channels/group * taps].

    `elements` is [N, C, spatial...], `table` the positions [windows, taps], -1 for padding.
    """
    batch, channels = elements.shape[:2]
    flat = elements.reshape(batch, groups, channels // groups, -1)
    taken = np.where(table[None, None, None] >= 0, flat[:, :, :, np.maximum(table, 0)], -1)
    # [N, groups, C/group, windows, taps] -> [groups, N, windows, C/group, taps]
    ordered = taken.transpose(1, 0, 3, 2, 4)
    return list(ordered.reshape(groups, batch * len(table), -1))
