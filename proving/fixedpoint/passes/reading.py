# SPDX-License-Identifier: GPL-3.0-or-later
"""Who reads what in a graph, and layers without the rows that nobody reads.

A row of constants would be free; with private weights each of its entries is a parameter and a product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from proving.importer import graph
from proving.sparse import Array, Sparse


def without_unread_rows(nodes: Sequence[graph.Node], scores: graph.Ref) -> tuple[graph.Node, ...]:
    """Return the nodes with each Linear that only Gathers read cut down to the rows that they take."""
    wanted = needed(nodes, scores)
    result, sizes = list(nodes), graph_sizes(nodes)
    readers: dict[graph.Ref, list[graph.Ref]] = {}
    for ref in wanted:
        for source in set(graph_sources(nodes[ref])):
            readers.setdefault(source, []).append(ref)
    for ref in wanted:
        node = result[ref]
        gathers = {each: gather for each in readers.get(ref, ()) if isinstance(gather := result[each], graph.Gather)}
        if ref == scores or not isinstance(node, graph.Linear) or len(gathers) != len(readers.get(ref, ())):
            continue
        read = np.unique(np.concatenate([_read(each, ref, sizes) for each in gathers.values()]))
        if len(read) == sizes[ref]:
            continue
        result[ref] = _with_rows(node, read)
        for each, gather in gathers.items():
            result[each] = replace(gather, index=_moved(gather, ref, sizes, read))
        sizes[ref] = len(read)
    return tuple(result)


def needed(nodes: Sequence[graph.Node], wanted: graph.Ref) -> list[graph.Ref]:
    """Return the nodes that one depends on, itself included, the input always, in their order."""
    found, open_refs = {0, wanted}, [wanted]
    while open_refs:
        for ref in graph_sources(nodes[open_refs.pop()]):
            if ref not in found:
                found.add(ref)
                open_refs.append(ref)
    return sorted(found)


def graph_sources(node: graph.Node) -> tuple[graph.Ref, ...]:
    """Return the nodes that a node of the graph reads."""
    match node:
        case graph.Input() | graph.Constant():
            return ()
        case graph.Gather() | graph.Linear():
            return node.sources
        case graph.Multiply() | graph.Divide() | graph.Compare():
            return (node.left, node.right)
        case graph.Select():
            return (node.condition, node.then, node.otherwise)
        case _:
            return (node.source,)


def graph_sizes(nodes: Sequence[graph.Node]) -> list[int]:
    """Return the length of each node's vector."""
    sizes: list[int] = []
    for node in nodes:
        match node:
            case graph.Input():
                sizes.append(node.size)
            case graph.Constant():
                sizes.append(len(node.values))
            case graph.Gather():
                sizes.append(len(node.index))
            case graph.Linear():
                sizes.append(node.matrix.rows)
            case graph.Maximum() | graph.ArgMax():
                sizes.append(len(node.groups))
            case graph.Trees():
                sizes.append(len(node.base))
            case _:
                sizes.append(sizes[graph_sources(node)[-1]])
    return sizes


def rows_of(matrix: Sparse, index: Array) -> Sparse:
    """Return the rows at `index`."""
    lengths = np.diff(matrix.indptr)[index]
    indptr = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    entry = np.repeat(matrix.indptr[index] - indptr[:-1], lengths) + np.arange(int(indptr[-1]), dtype=np.int64)
    return Sparse(matrix.width, indptr, matrix.indices[entry], matrix.values[entry])


def _read(gather: graph.Gather, ref: graph.Ref, sizes: Sequence[int]) -> Array:
    """Return which elements of a source a gather takes, with repetitions."""
    found, start = [], 0
    for source in gather.sources:
        if source == ref:
            inside = (gather.index >= start) & (gather.index < start + sizes[source])
            found.append(gather.index[inside] - start)
        start += sizes[source]
    return np.concatenate(found)


def _moved(gather: graph.Gather, ref: graph.Ref, sizes: Sequence[int], read: Array) -> Array:
    """Return a gather's index after `read` is all that is left of a source."""
    places, start = [], 0
    for source in gather.sources:
        if source == ref:
            place = np.full(sizes[source], -1, dtype=np.int64)
            place[read] = np.arange(len(read), dtype=np.int64)
            places.append(place + start)
            start += len(read)
        else:
            places.append(np.arange(sizes[source], dtype=np.int64) + start)
            start += sizes[source]
    return np.concatenate(places)[gather.index]


def _with_rows(node: graph.Linear, rows: Array) -> graph.Linear:
    kept = np.isin(node.matrix.row_of_entry(), rows)
    return graph.Linear(
        node.sources,
        rows_of(node.matrix, rows),
        node.bias[rows],
        node.trained,
        None if node.tied is None else node.tied[kept],
        None if node.bias_tied is None else node.bias_tied[rows],
    )
