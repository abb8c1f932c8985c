# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a graph smaller without changing what it computes."""

from __future__ import annotations

from proving.importer.graph import Graph
from proving.importer.passes.dead import without_dead_nodes


def simplify(graph: Graph) -> Graph:
    """Return the graph after all passes."""
    return without_dead_nodes(graph)
