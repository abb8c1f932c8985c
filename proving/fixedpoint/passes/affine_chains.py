# SPDX-License-Identifier: GPL-3.0-or-later
"""Affine maps of affine maps become one before anything is rounded: each on its own would add its bits to the scale.

An inner map is taken in where nothing else reads it, and where the product is not much larger than its factors (a
bottleneck stays two maps). Maps of whole numbers add no bits and stay as they are. Positions of nodes do not change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from proving.fixedpoint.passes.reading import graph_sizes, graph_sources, needed, rows_of
from proving.importer import graph
from proving.sparse import Array, Sparse, compose, from_entries

SMALL = 4096
"""A product of so few entries is never too large."""


@dataclass(frozen=True, slots=True, eq=False)
class _Map:
    """What a node is of other nodes: `matrix @ concat(sources) + bias`; `maps` if that is more than a choice."""

    sources: tuple[graph.Ref, ...]
    matrix: Sparse
    bias: Array
    maps: bool
    trained: bool


def fused(nodes: Sequence[graph.Node], scores: graph.Ref) -> tuple[graph.Node, ...]:
    """Return the nodes with chains of affine maps on the way to the scores made one."""
    wanted = needed(nodes, scores)
    readers = np.zeros(len(nodes), dtype=np.int64)
    readers[scores] += 1
    for ref in wanted:
        for source in graph_sources(nodes[ref]):
            readers[source] += 1
    result, sizes = list(nodes), graph_sizes(nodes)
    for ref in wanted:
        node = nodes[ref]
        if isinstance(node, graph.Linear) and not _is_whole(node.matrix.values):
            result[ref] = _with_inner_maps(node, result, readers, sizes)
    return tuple(result)


def _with_inner_maps(
    outer: graph.Linear, nodes: Sequence[graph.Node], readers: Array, sizes: Sequence[int]
) -> graph.Linear:
    inner = _stacked([_map(ref, nodes, readers, sizes) for ref in outer.sources], sizes)
    if not inner.maps:
        return outer
    products = int(np.diff(inner.matrix.indptr)[outer.matrix.indices].sum())
    if products > SMALL + 2 * (len(outer.matrix.indices) + len(inner.matrix.indices)):
        return outer
    added = np.bincount(
        outer.matrix.row_of_entry(),
        weights=outer.matrix.values * inner.bias[outer.matrix.indices],
        minlength=outer.matrix.rows,
    )
    matrix = compose(outer.matrix, inner.matrix)
    return graph.Linear(inner.sources, matrix, outer.bias + added, outer.trained or inner.trained)


def _map(ref: graph.Ref, nodes: Sequence[graph.Node], readers: Array, sizes: Sequence[int]) -> _Map:
    """Return what a node is made of, as far back as only one node reads it; at least itself."""
    node, size = nodes[ref], sizes[ref]
    if readers[ref] == 1 and isinstance(node, graph.Linear):
        return _Map(node.sources, _floats(node.matrix), node.bias, True, node.trained)
    if readers[ref] == 1 and isinstance(node, graph.Gather):
        gathered = _stacked([_map(each, nodes, readers, sizes) for each in node.sources], sizes)
        if gathered.maps:
            return replace(gathered, matrix=rows_of(gathered.matrix, node.index), bias=gathered.bias[node.index])
    every = np.arange(size, dtype=np.int64)
    return _Map((ref,), from_entries(size, size, every, every, np.ones(size)), np.zeros(size), False, False)


def _stacked(maps: Sequence[_Map], sizes: Sequence[int]) -> _Map:
    """Return maps one below the other, over each of their sources once."""
    sources = tuple(dict.fromkeys(ref for each in maps for ref in each.sources))
    starts = dict(zip(sources, np.cumsum([0, *(sizes[ref] for ref in sources[:-1])]).tolist(), strict=True))
    rows, columns, values, first = [], [], [], 0
    for each in maps:
        places = np.concatenate([np.arange(sizes[ref], dtype=np.int64) + starts[ref] for ref in each.sources])
        rows.append(each.matrix.row_of_entry() + first)
        columns.append(places[each.matrix.indices])
        values.append(each.matrix.values)
        first += each.matrix.rows
    width = sum(sizes[ref] for ref in sources)
    matrix = from_entries(first, width, np.concatenate(rows), np.concatenate(columns), np.concatenate(values))
    bias = np.concatenate([each.bias for each in maps])
    return _Map(sources, matrix, bias, any(each.maps for each in maps), any(each.trained for each in maps))


def _floats(matrix: Sparse) -> Sparse:
    return Sparse(matrix.width, matrix.indptr, matrix.indices, matrix.values.astype(np.float64, copy=False))


def _is_whole(values: Array) -> bool:
    return bool(np.all(values == np.rint(values)))
