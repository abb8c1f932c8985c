# SPDX-License-Identifier: GPL-3.0-or-later
"""Trained kernels over windows of elements: what dense and convolution layers have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from protocol.errors import ModelTooLargeError
from proving.importer import rows
from proving.importer.arithmetic import STRUCTURE
from proving.importer.builder import Builder
from proving.importer.limits import MAX_ENTRIES
from proving.importer.values import Elements, Fixed
from proving.sparse import Array, Sparse


def apply_kernels(builder: Builder, tables: Sequence[Elements], weights: Fixed, bias: Fixed | None) -> Elements:
    """Return outputs[group * O + o, position] = weights[group, o] . elements tables[group][position] + bias.

    `weights` is [groups, O, taps], a table [positions, taps] with -1 where there is padding, `bias` [groups * O].
    """
    groups, outputs, taps = weights.shape
    positions = len(tables[0])
    if groups * outputs * positions * taps > MAX_ENTRIES:
        raise ModelTooLargeError(f"{builder.label:.80} has more than {MAX_ENTRIES} multiply-adds.")
    if any(rows.has_duplicates(each) for each in tables):
        tables = [_separate(builder, each) for each in tables]
    sources, places, width = builder.locate(np.stack(tables))
    parts: list[Sparse] = []
    tied: list[Array] = []
    for group, kernel in enumerate(weights.numbers):
        matrix, numbers = rows.shared_kernel(width, places[group], kernel, group * outputs * taps)
        parts.append(matrix)
        tied.append(numbers)
    trained = weights.trained or (bias is not None and bias.trained)
    matrix = rows.stacked(parts)
    ties: Array | None = np.concatenate(tied) if positions > 1 else None
    if not weights.trained:
        ties = np.full(len(matrix.indices), STRUCTURE, dtype=np.int64)
        if not trained:
            matrix = rows.without_zeros(matrix)
    offsets = np.zeros(groups * outputs) if bias is None else bias.numbers.reshape(groups * outputs)
    if bias is None or not bias.trained:
        bias_tied: Array | None = np.full(matrix.rows, STRUCTURE, dtype=np.int64)
    else:
        bias_tied = np.repeat(np.arange(groups * outputs, dtype=np.int64), positions) if positions > 1 else None
    elements = builder.linear(sources, matrix, np.repeat(offsets, positions), trained,
                              ties if trained else None, bias_tied if trained else None)
    return elements.reshape(groups * outputs, positions)


def _separate(builder: Builder, table: Elements) -> Elements:
    """Return a table of copies, so that no element stands twice in a row."""
    present = table >= 0
    ref = builder.vector(table[present])
    copies = np.full(table.shape, -1, dtype=np.int64)
    copies[present] = builder.start(ref) + np.arange(int(present.sum()), dtype=np.int64)
    return copies
