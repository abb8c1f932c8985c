# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes that neither head nor outputs need are left out."""

from __future__ import annotations

from dataclasses import replace

from proving.importer.graph import Graph, Ref
from proving.importer.passes.references import renumbered, sources


def without_dead_nodes(graph: Graph) -> Graph:
    """Return the graph without them, references renumbered. The input stays."""
    alive = {0, graph.head.scores, *(each.ref for each in graph.outputs)}
    for ref in range(len(graph.nodes) - 1, -1, -1):
        if ref in alive:
            alive.update(sources(graph.nodes[ref]))
    kept = sorted(alive)
    places: dict[Ref, Ref] = {old: new for new, old in enumerate(kept)}
    return Graph(
        tuple(renumbered(graph.nodes[ref], places) for ref in kept),
        replace(graph.head, scores=places[graph.head.scores]),
        tuple(replace(each, ref=places[each.ref]) for each in graph.outputs),
        graph.input_names, graph.input_shapes, tuple(graph.labels[ref] for ref in kept),
    )
