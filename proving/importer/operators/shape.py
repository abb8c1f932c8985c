# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that move elements and compute nothing: Reshape, Transpose, Slice, Concat, Pad, Expand and kin."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto

from protocol.errors import ModelTooLargeError
from proving.importer import arithmetic
from proving.importer.call import Call, Rules
from proving.importer.limits import MAX_ELEMENTS, MAX_RANK
from proving.importer.operators.labels import one_hot
from proving.importer.operators.linear import matmul
from proving.importer.values import INTEGERS, Fixed, Value, Variable
from proving.sparse import Array


def moved(value: Value, move: Callable[[Array], Array]) -> Value:
    """Return a value whose elements a numpy function has put elsewhere."""
    if isinstance(value, Fixed):
        return Fixed(move(value.values), value.type, value.trained)
    return Variable(move(value.elements), value.type, value.table, value.labels)


def check_size(shape: tuple[int, ...]) -> None:
    """Refuse a tensor too large to be made."""
    if len(shape) > MAX_RANK or any(each < 0 for each in shape) or math.prod(shape) > MAX_ELEMENTS:
        raise ModelTooLargeError(f"A tensor of shape {shape!r:.80} is too large.")


def _reshape(call: Call) -> Value:
    value, wanted = call.value(), call.integers(1)
    if wanted is None:
        raise call.node.malformed("has no shape")
    if call.node.integer("allowzero"):
        shape = wanted
    else:
        shape = tuple(value.shape[i] if each == 0 else each for i, each in enumerate(wanted))
    return moved(value, lambda x: x.reshape(shape))


def _flatten(call: Call) -> Value:
    value = call.value()
    axis = call.node.integer("axis", 1)
    if not -len(value.shape) <= axis <= len(value.shape):
        raise call.node.malformed(f"has an axis {axis} that its input lacks")
    axis = axis + len(value.shape) if axis < 0 else axis
    return moved(value, lambda x: x.reshape(math.prod(x.shape[:axis]), -1 if x.size else math.prod(x.shape[axis:])))


def _transpose(call: Call) -> Value:
    order = call.node.integers("perm") or None
    return moved(call.value(), lambda x: np.transpose(x, order))


def _axes(call: Call) -> tuple[int, ...] | None:
    """Return axes from the operand (since version 13) or the attribute."""
    if call.node.version >= 13:
        return call.integers(1)
    return call.node.integers("axes") if call.node.has("axes") else None


def _squeeze(call: Call) -> Value:
    value, axes = call.value(), _axes(call)
    if axes is None:
        return moved(value, lambda x: np.squeeze(x))
    return moved(value, lambda x: np.squeeze(x, axis=axes))


def _unsqueeze(call: Call) -> Value:
    axes = _axes(call)
    if axes is None:
        raise call.node.malformed("has no axes")
    check_size((1,) * (len(call.value().shape) + len(axes)))
    return moved(call.value(), lambda x: np.expand_dims(x, axes))


def _concat(call: Call) -> Value:
    values = [call.value(index) for index in range(len(call.operands))]
    axis = call.axis(call.node.integer("axis"), len(values[0].shape))
    check_size((sum(math.prod(each.shape) for each in values),))
    if all(isinstance(each, Fixed) for each in values):
        parts = [each.values for each in values if isinstance(each, Fixed)]
        trained = any(each.trained for each in values if isinstance(each, Fixed))
        return Fixed(np.concatenate(parts, axis=axis), values[0].type, trained)
    elements = [call.builder.variable(each).elements for each in values if each.shape[axis]]
    return Variable(np.concatenate(elements, axis=axis), values[0].type)


def _split(call: Call) -> tuple[Value, ...]:
    value = call.value()
    axis = call.axis(call.node.integer("axis"), len(value.shape))
    sizes = call.integers(1) if call.node.version >= 13 else call.node.integers("split") or None
    whole = value.shape[axis]
    if sizes is None:
        parts = call.node.integer("num_outputs", len(call.node.outputs))
        if parts < 1:
            raise call.node.malformed("splits into no parts")
        each = -(-whole // parts)
        sizes = tuple(max(0, min(each, whole - each * index)) for index in range(parts))
    if sum(sizes) != whole or min(sizes) < 0 or len(sizes) < len(call.node.outputs):
        raise call.node.malformed(f"splits {whole} into parts of {sizes!r:.60}")
    ends = np.cumsum(sizes)
    return tuple(_part(value, axis, end - size, end) for size, end in zip(sizes, ends.tolist(), strict=True))


def _part(value: Value, axis: int, start: int, end: int) -> Value:
    return moved(value, lambda x: np.take(x, np.arange(start, end), axis=axis))


def _slice(call: Call) -> Value:
    value = call.value()
    if call.node.version < 10:
        starts, ends = call.node.integers("starts"), call.node.integers("ends")
        axes: tuple[int, ...] | None = call.node.integers("axes") or None
        steps: tuple[int, ...] | None = None
    else:
        starts, ends = call.integers(1) or (), call.integers(2) or ()
        axes, steps = call.integers(3), call.integers(4)
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise call.node.malformed("has starts, ends, axes and steps that do not fit each other")
    taken = [slice(None)] * len(value.shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = call.axis(axis, len(value.shape))
        taken[place] = _onnx_slice(start, end, step, value.shape[place])
    return moved(value, lambda x: x[tuple(taken)])


def _onnx_slice(start: int, end: int, step: int, size: int) -> slice:
    """Return numpy's slice of the same meaning: ONNX clamps ends of a negative step to -1, "before the first"."""
    start = start + size if start < 0 else start
    end = end + size if end < 0 else end
    if step > 0:
        return slice(min(max(start, 0), size), min(max(end, 0), size), step)
    start, end = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
    return slice(start, None if end < 0 else end, step)


def _gather(call: Call) -> Value:
    value, axis = call.value(), call.node.integer("axis")
    chosen = call.value(1)
    if isinstance(chosen, Variable):
        return _lookup(call, value, chosen, call.axis(axis, len(value.shape)))
    if chosen.type not in INTEGERS:
        raise call.node.malformed("needs integers as its indices")
    axis = call.axis(axis, len(value.shape))
    check_size((*value.shape[:axis], *chosen.shape, *value.shape[axis + 1 :]))
    return moved(value, lambda x: np.take(x, chosen.values, axis=axis))


MAX_TABLE = 4096


def _lookup(call: Call, value: Value, chosen: Variable, axis: int) -> Value:
    """Return rows of a known table by variable positions: `sum over k of (position == k) * table[k]`."""
    if not isinstance(value, Fixed) or value.shape[axis] * chosen.elements.size > MAX_TABLE:
        raise call.node.unsupported("needs constant indices (or a small constant table)")
    hot = one_hot(call.builder, chosen, value.shape[axis])
    rows = np.moveaxis(value.numbers, axis, 0)
    table = Fixed(rows.reshape(len(rows), -1), value.type, value.trained)
    found = matmul(call.builder, Variable(hot.reshape(-1, len(rows))), table)
    assert isinstance(found, Variable)
    shape = (*chosen.shape, *rows.shape[1:])
    moved_back = found.elements.reshape(shape)
    rank = len(chosen.shape)
    order = [*range(rank, rank + axis), *range(rank), *range(rank + axis, len(shape))]
    return Variable(moved_back.transpose(order), value.type)


def _gather_elements(call: Call) -> Value:
    value, chosen = call.value(), call.constant(1)
    axis = call.axis(call.node.integer("axis"), len(value.shape))
    picked = np.where(chosen.values < 0, chosen.values + value.shape[axis], chosen.values)
    return moved(value, lambda x: np.take_along_axis(x, picked, axis=axis))


def _gather_nd(call: Call) -> Value:
    value, chosen = call.value(), call.constant(1)
    batch = call.node.integer("batch_dims")
    if not 0 <= batch < min(len(value.shape), len(chosen.shape)):
        raise call.node.malformed("has batch dimensions that its operands lack")
    check_size((*chosen.shape[:-1], *value.shape[batch + chosen.shape[-1] :]))

    def pick(x: Array, indices: Array, left: int) -> Any:
        if left:
            return np.stack([pick(a, b, left - 1) for a, b in zip(x, indices, strict=True)])
        return x[tuple(np.moveaxis(indices, -1, 0))]

    return moved(value, lambda x: np.asarray(pick(x, chosen.values, batch)))


PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "edge", "wrap": "wrap"}


def _pad(call: Call) -> Value:
    value, node = call.value(), call.node
    mode = node.text("mode", "constant")
    if node.version < 11:
        pads, filler = node.integers("pads"), Fixed(np.array(node.number("value")))
    else:
        pads = call.integers(1) or ()
        filler = call.fixed(2) or Fixed(np.array(0, dtype=np.int64 if value.type in INTEGERS else np.float64))
    axes = call.integers(3) if node.version >= 18 else None
    rank = len(value.shape)
    places = tuple(range(rank)) if axes is None else tuple(call.axis(each, rank) for each in axes)
    if len(pads) != 2 * len(places) or mode not in PAD_MODES:
        raise node.malformed("has pads or a mode that do not fit its input")
    widths = [(0, 0)] * rank
    for index, axis in enumerate(places):
        widths[axis] = (pads[index], pads[index + len(places)])
    check_size(tuple(size + max(0, a) + max(0, b) for size, (a, b) in zip(value.shape, widths, strict=True)))
    cuts = tuple(slice(max(0, -a), size - max(0, -b)) for size, (a, b) in zip(value.shape, widths, strict=True))
    value = moved(value, lambda x: x[cuts])
    grown = [(max(0, a), max(0, b)) for a, b in widths]
    if mode != "constant":
        how: Any = PAD_MODES[mode]
        return moved(value, lambda x: np.pad(x, grown, mode=how))
    if isinstance(value, Fixed):
        return moved(value, lambda x: np.pad(x, grown, constant_values=filler.values.reshape(())))
    if not any(a or b for a, b in grown):
        return value
    element = call.builder.variable(moved(filler, lambda x: x.reshape(()))).elements
    return moved(value, lambda x: np.pad(x, grown, constant_values=int(element)))


def _expand(call: Call) -> Value:
    value, wanted = call.value(), call.integers(1)
    if wanted is None:
        raise call.node.malformed("has no shape")
    shape = np.broadcast_shapes(value.shape, wanted)
    check_size(shape)
    return moved(value, lambda x: np.broadcast_to(x, shape))


def _tile(call: Call) -> Value:
    value, repeats = call.value(), call.integers(1)
    if repeats is None or len(repeats) != len(value.shape):
        raise call.node.malformed("needs a number of repeats for each axis")
    check_size(tuple(a * b for a, b in zip(value.shape, repeats, strict=True)))
    return moved(value, lambda x: np.tile(x, repeats))


def _depth_to_space(call: Call) -> Value:
    block, mode = call.node.integer("blocksize"), call.node.text("mode", "DCR")
    if block < 1:
        raise call.node.malformed("has a block size below 1")

    def move(x: Array) -> Array:
        n, c, h, w = x.shape
        deep = c // block**2
        if mode == "DCR":
            split = x.reshape(n, block, block, deep, h, w).transpose(0, 3, 4, 1, 5, 2)
        else:
            split = x.reshape(n, deep, block, block, h, w).transpose(0, 1, 4, 2, 5, 3)
        return split.reshape(n, deep, h * block, w * block)

    return moved(call.value(), move)


def _space_to_depth(call: Call) -> Value:
    block = call.node.integer("blocksize")
    if block < 1:
        raise call.node.malformed("has a block size below 1")

    def move(x: Array) -> Array:
        n, c, h, w = x.shape
        split = x.reshape(n, c, h // block, block, w // block, block)
        order = (0, 3, 5, 1, 2, 4) if call.node.text("mode", "DCR") == "DCR" else (0, 1, 3, 5, 2, 4)
        return split.transpose(order).reshape(n, c * block**2, h // block, w // block)

    return moved(call.value(), move)


def _trilu(call: Call) -> Value:
    value, offset = call.value(), call.integers(1) or (0,)
    rows, columns = value.shape[-2:]
    if call.node.integer("upper", 1):
        keep = ~np.tri(rows, columns, int(offset[0]) - 1, dtype=np.bool_)
    else:
        keep = np.tri(rows, columns, int(offset[0]), dtype=np.bool_)
    zero = Fixed(np.zeros((), dtype=np.int64 if value.type in INTEGERS else np.float64), value.type)
    return arithmetic.select(call.builder, Fixed(keep, TensorProto.BOOL), value, zero)


def _same(call: Call) -> Value:
    return call.value()


def _dropout(call: Call) -> tuple[Value, ...]:
    training = call.fixed(2)
    if training is not None and bool(training.values.any()):
        ratio = call.fixed(1)
        if ratio is None or bool(ratio.values.any()):
            raise call.node.unsupported("is in training mode")
    value = call.value()
    mask = Fixed(np.ones(value.shape, dtype=bool), TensorProto.BOOL)
    return (value, mask)[: max(1, len(call.node.outputs))]


RULES: Rules = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "GatherND": _gather_nd,
    "Identity": _same,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
}
