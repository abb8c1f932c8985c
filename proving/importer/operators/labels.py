# SPDX-License-Identifier: GPL-3.0-or-later
"""Class positions and what they stand for: one-hot vectors and label tables."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from proving.importer.builder import Builder, Origin, Reading
from proving.importer.graph import Compare, Comparison
from proving.importer.values import Elements, Fixed, Value, Variable


def one_hot(builder: Builder, positions: Variable, count: int) -> Elements:
    """Return elements [..., count]: 1 where the position is that index, else 0."""
    indices = builder.variable(Fixed(np.arange(count, dtype=np.float64))).elements
    shape = (*positions.shape, count)
    left = np.broadcast_to(positions.elements[..., None], shape)
    node = Compare(Comparison.EQUAL, builder.vector(left), builder.vector(np.broadcast_to(indices, shape)))
    return builder.emit(node, left.size).reshape(shape)


def named(builder: Builder, positions: Elements, labels: Fixed, scores: Elements) -> Value:
    """Return the labels at class positions; `scores` are the classes' scores, for the head.

    Texts stay positions with a table. Integer labels are the positions themselves where they count from 0.
    """
    texts = tuple(str(each) for each in labels.values.reshape(-1).tolist())
    if labels.type == TensorProto.STRING:
        return Variable(positions, TensorProto.STRING, table=texts)
    numbers = labels.numbers.reshape(-1)
    if bool((numbers == np.arange(len(numbers))).all()):
        return Variable(positions, labels.type)
    builder.check(numbers)
    steps = np.diff(numbers)
    if len(numbers) > 1 and bool((steps == steps[0]).all()):
        flat = positions.reshape(-1, 1)
        found = builder.combine(flat, steps[:1], numbers[0])
    else:
        hot = one_hot(builder, Variable(positions.reshape(-1)), len(numbers))
        found = builder.combine(hot, numbers[None, :])
    ref = int(builder.refs(found[:1])[0])
    builder.origins[ref] = Origin(Reading.LABEL, scores, texts)
    return Variable(found.reshape(positions.shape), labels.type)
