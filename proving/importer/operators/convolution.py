# SPDX-License-Identifier: GPL-3.0-or-later
"""Convolutions over any number of spatial axes: Conv, ConvTranspose."""

from __future__ import annotations

import math

import numpy as np

from protocol.errors import ModelTooLargeError
from proving.importer.call import Call, Rules
from proving.importer.kernels import apply_kernels
from proving.importer.limits import MAX_ENTRIES
from proving.importer.values import Elements, Fixed, Value, Variable
from proving.importer.windows import channel_tables, positions, windows
from proving.sparse import Array


def _operands(call: Call) -> tuple[Elements, Fixed, Fixed | None, int]:
    """Return input [N, C, ...], kernel, bias and the number of groups."""
    value, kernel, bias = call.variable(0), call.constant(1), call.fixed(2)
    groups = call.node.integer("group", 1)
    if len(value.shape) < 3 or len(kernel.shape) != len(value.shape):
        raise call.node.malformed("needs an input and a kernel of the same rank, at least 3")
    if groups < 1 or value.shape[1] % groups:
        raise call.node.malformed("has a number of groups that does not divide its channels")
    return value.elements, kernel, bias, groups


def convolve(call: Call, elements: Elements, kernel: Fixed, bias: Fixed | None, groups: int) -> Elements:
    """Return elements [N, M, spatial...] of the convolution of [N, C, spatial...] with [M, C/groups, taps...]."""
    node = call.node
    outputs = kernel.shape[0]
    if outputs % groups or kernel.shape[1] != elements.shape[1] // groups:
        raise node.malformed("has a kernel that does not fit its input's channels")
    if bias is not None and bias.shape != (outputs,):
        raise node.malformed("has a bias of another size than its kernel")
    if (stated := node.integers("kernel_shape")) and stated != kernel.shape[2:]:
        raise node.malformed("has another kernel shape than its kernel")
    axes = windows(node, elements.shape[2:], kernel.shape[2:])
    table, _ = positions(axes)
    if elements.shape[0] * elements.shape[1] * table.size * (outputs // groups) > MAX_ENTRIES:
        raise ModelTooLargeError(f"{node.title} has more than {MAX_ENTRIES} multiply-adds.")
    weights = Fixed(kernel.values.reshape(groups, outputs // groups, -1), kernel.type, kernel.trained)
    result = apply_kernels(call.builder, channel_tables(elements, table, groups), weights, bias)
    return _spatial(result, elements.shape[0], tuple(each.outputs for each in axes))


def _spatial(result: Elements, batch: int, spatial: tuple[int, ...]) -> Elements:
    """Return [M, N * positions] as [N, M, spatial...]."""
    return np.moveaxis(result.reshape(len(result), batch, *spatial), 0, 1)


def _conv(call: Call) -> Value:
    elements, kernel, bias, groups = _operands(call)
    return Variable(convolve(call, elements, kernel, bias, groups), call.value().type)


def _conv_transpose(call: Call) -> Value:
    """Each output position reads the inputs whose kernel reaches it."""
    elements, kernel, bias, groups = _operands(call)
    channels, outputs = elements.shape[1] // groups, kernel.shape[1]
    if kernel.shape[0] != elements.shape[1] or (bias is not None and bias.shape != (groups * outputs,)):
        raise call.node.malformed("has a kernel or bias that does not fit its input's channels")
    table, spatial = _transposed_positions(call, elements.shape[2:], kernel.shape[2:])
    if elements.shape[0] * elements.shape[1] * table.size * outputs > MAX_ENTRIES:
        raise ModelTooLargeError(f"{call.node.title} has more than {MAX_ENTRIES} multiply-adds.")
    # [groups, C/group, M/group, taps] -> [groups, M/group, C/group * taps]
    turned = kernel.values.reshape(groups, channels, outputs, -1).transpose(0, 2, 1, 3)
    weights = Fixed(turned.reshape(groups, outputs, -1), kernel.type, kernel.trained)
    result = apply_kernels(call.builder, channel_tables(elements, table, groups), weights, bias)
    return Variable(_spatial(result, elements.shape[0], spatial), call.value().type)


def _transposed_positions(call: Call, spatial: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[Array,
                                                                                                   tuple[int, ...]]:
    node, rank = call.node, len(spatial)
    strides = node.integers("strides") or (1,) * rank
    dilations = node.integers("dilations") or (1,) * rank
    extra = node.integers("output_padding") or (0,) * rank
    pads = node.integers("pads") or (0,) * (2 * rank)
    wanted = node.integers("output_shape")[-rank:]
    if any(len(each) != rank for each in (strides, dilations, extra)) or len(pads) != 2 * rank:
        raise node.malformed("has strides, dilations or pads of another rank than its input")
    if min(strides) < 1 or min(dilations) < 1 or min(extra) < 0 or min(pads) < 0 or (wanted and min(wanted) < 1):
        raise node.malformed("has a stride, dilation, pad or output shape out of range")
    mode = node.text("auto_pad", "NOTSET")
    sizes: list[int] = []
    table, inside = np.zeros((1, 1), dtype=np.int64), np.ones((1, 1), dtype=np.bool_)
    for axis in range(rank):
        full = strides[axis] * (spatial[axis] - 1) + extra[axis] + (kernel[axis] - 1) * dilations[axis] + 1
        begin, size = pads[axis], full - pads[axis] - pads[axis + rank]
        if wanted or mode.startswith("SAME"):
            size = wanted[axis] if wanted else spatial[axis] * strides[axis]
            total = max(0, full - size)
            begin = total - total // 2 if mode == "SAME_LOWER" else total // 2
            if not wanted and mode == "SAME_UPPER":
                begin = total // 2
        if size < 1 or size * kernel[axis] * len(table) * table.shape[1] > MAX_ENTRIES:
            raise ModelTooLargeError(f"{node.title} has an unacceptable output size.")
        reach = np.arange(size)[:, None] + begin - np.arange(kernel[axis])[None, :] * dilations[axis]
        place = reach // strides[axis]
        within = (reach % strides[axis] == 0) & (place >= 0) & (place < spatial[axis])
        shape = (len(table) * size, table.shape[1] * kernel[axis])
        table = ((table * spatial[axis])[:, None, :, None] + place[None, :, None, :]).reshape(shape)
        inside = (inside[:, None, :, None] & within[None, :, None, :]).reshape(shape)
        sizes.append(size)
    if math.prod(sizes) == 0:
        raise node.malformed("has an empty output")
    return np.where(inside, table, -1), tuple(sizes)


RULES: Rules = {"Conv": _conv, "ConvTranspose": _conv_transpose}
