# SPDX-License-Identifier: GPL-3.0-or-later
"""What is no weight leaves the trained layers: afterwards each entry of a trained layer is a parameter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from proving.importer import rows
from proving.importer.graph import Graph, Linear, Node, Ref
from proving.importer.passes.references import renumbered
from proving.sparse import Array, Sparse


def separate_structure(graph: Graph) -> Graph:
    """Return the graph with each trained layer that has structural entries or offsets as two.

    The first keeps the parameters; the second, no trained one, adds the rest: `1 x` of a learnt offset stays exact.
    """
    nodes: list[Node] = []
    labels: list[str] = []
    places: dict[Ref, Ref] = {}
    for ref, node in enumerate(graph.nodes):
        moved = renumbered(node, places)
        if isinstance(moved, Linear) and _is_mixed(moved):
            first = _parameters(moved)
            nodes.append(first)
            labels.append(graph.labels[ref])
            moved = _structure(moved, len(nodes) - 1)
        nodes.append(moved)
        labels.append(graph.labels[ref])
        places[ref] = len(nodes) - 1
    return Graph(
        tuple(nodes), replace(graph.head, scores=places[graph.head.scores]),
        tuple(replace(each, ref=places[each.ref]) for each in graph.outputs), graph.input_names, graph.input_shapes,
        tuple(labels),
    )


def _structural(node: Linear) -> Array:
    if node.tied is None:
        return np.zeros(len(node.matrix.indices), dtype=np.bool_)
    return np.asarray(node.tied < 0)


def _fixed_offsets(node: Linear) -> Array:
    """Return the offsets that are structure, 0 elsewhere."""
    return np.zeros(node.matrix.rows) if node.bias_tied is None else np.where(node.bias_tied < 0, node.bias, 0.0)


def _is_mixed(node: Linear) -> bool:
    return node.trained and (bool(_structural(node).any()) or bool(_fixed_offsets(node).any()))


def _chosen(matrix: Sparse, chosen: Array) -> Sparse:
    counts = np.bincount(matrix.row_of_entry()[chosen], minlength=matrix.rows)
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Sparse(matrix.width, indptr, matrix.indices[chosen], matrix.values[chosen])


def _parameters(node: Linear) -> Linear:
    kept = ~_structural(node)
    tied = None if node.tied is None else node.tied[kept]
    return replace(node, matrix=_chosen(node.matrix, kept), bias=node.bias - _fixed_offsets(node), tied=tied)


def _structure(node: Linear, first: Ref) -> Linear:
    matrix, structural = node.matrix, _structural(node)
    count, width = matrix.rows, matrix.width
    row = np.concatenate([matrix.row_of_entry()[structural], np.arange(count, dtype=np.int64)])
    column = np.concatenate([matrix.indices[structural], width + np.arange(count, dtype=np.int64)])
    values = np.concatenate([matrix.values[structural], np.ones(count)])
    joined = rows.from_entries(width + count, count, row, column, values)
    return Linear((*node.sources, first), joined, _fixed_offsets(node))
