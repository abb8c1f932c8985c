# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a graph smaller without changing what it computes."""

from __future__ import annotations

from proving.importer.graph import Graph
from proving.importer.passes.dead import without_dead_nodes
from proving.importer.passes.elementwise import merge_elementwise
from proving.importer.passes.pooling import maximum_before_relu
from proving.importer.passes.structure import separate_structure


def simplify(graph: Graph) -> Graph:
    """Return the graph after all passes."""
    graph = without_dead_nodes(graph)
    graph = maximum_before_relu(graph)
    return separate_structure(without_dead_nodes(merge_elementwise(graph)))
