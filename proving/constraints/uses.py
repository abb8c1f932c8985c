# SPDX-License-Identifier: GPL-3.0-or-later
"""In how many rows each element of a program will be written out, if it gets no wire of its own."""

from __future__ import annotations

import numpy as np

from proving.fixedpoint.bounds import Bounds
from proving.fixedpoint.program import (
    Gather,
    Input,
    Linear,
    Maximum,
    Multiply,
    Node,
    Piecewise,
    Program,
    Ref,
    Select,
    Thermometer,
    sources_of,
)
from proving.sparse import Array

MANY = 1 << 20
"""Counts stop here: by then every form has a wire."""


def count_uses(program: Program, bounds: tuple[Bounds, ...]) -> tuple[Array, ...]:
    """Return for each node, int64[size], the rows that hold each element: an estimate, but the same everywhere.

    Combinations pass on what they are made of; every other node writes its operands into rows of its own. The
    statement holds each input and each score once.
    """
    uses = [np.zeros(each.size, dtype=np.int64) for each in bounds]
    said = program.scores if program.revealed is None else program.revealed.ref
    uses[said] += 1
    for ref in range(len(program.nodes) - 1, -1, -1):
        node = program.nodes[ref]
        if isinstance(node, Input):
            uses[ref] += 1
        elif isinstance(node, Gather | Linear):
            _pass_on(node, uses[ref], node.sources, uses)
        else:
            for source in sources_of(node):
                uses[source] += _copies(node, source, uses[ref])
    return tuple(np.minimum(each, MANY) for each in uses)


def _pass_on(node: Gather | Linear, mine: Array, sources: tuple[Ref, ...], uses: list[Array]) -> None:
    sizes = [len(uses[each]) for each in sources]
    if isinstance(node, Gather):
        columns, copies = node.index, mine
    else:
        columns, copies = node.matrix.indices, mine[node.matrix.row_of_entry()]
    total = np.bincount(columns, weights=copies, minlength=sum(sizes)).clip(max=MANY).astype(np.int64)
    for source, part in zip(sources, np.split(total, np.cumsum(sizes)[:-1]), strict=True):
        uses[source] += part


def _copies(node: Node, source: Ref, mine: Array) -> Array | int:
    """Return how often a node writes out an element of a source, `mine` being the uses of its results."""
    match node:
        case Maximum():
            return np.minimum(mine, MANY) + 1 if source == node.right else 1
        case Select():
            return mine + 1 if source in (node.otherwise, node.condition) else 1
        case Multiply():
            return mine + 1
        case Piecewise():
            return mine + 1 if source == node.source else 2
        case Thermometer():
            return 2
        case _:
            return 1
