# SPDX-License-Identifier: GPL-3.0-or-later
"""A maximum of ReLUs is the ReLU of the maximum: one ReLU for each window instead of one for each element."""

from __future__ import annotations

from dataclasses import replace

from proving.importer.graph import Gather, Graph, Maximum, Node, Ref, Relu
from proving.importer.passes.references import sources


def maximum_before_relu(graph: Graph) -> Graph:
    """Return the graph with each ReLU that only a Maximum reads behind that Maximum."""
    nodes: list[Node] = list(graph.nodes)
    uses = _uses(graph)
    for ref, node in enumerate(nodes):
        if not isinstance(node, Maximum) or uses[node.source] != 1:
            continue
        groups, place = node.groups, node.source
        between = nodes[place]
        if isinstance(between, Gather) and len(between.sources) == 1 and uses[between.sources[0]] == 1:
            groups, place = between.index[groups], between.sources[0]
        relu = nodes[place]
        if isinstance(relu, Relu):
            nodes[place] = Maximum(relu.source, groups)
            nodes[ref] = Relu(place)
    return replace(graph, nodes=tuple(nodes))


def _uses(graph: Graph) -> dict[Ref, int]:
    counts = dict.fromkeys(range(len(graph.nodes)), 0)
    for node in graph.nodes:
        for source in sources(node):
            counts[source] += 1
    for ref in (graph.head.scores, *(each.ref for each in graph.outputs)):
        counts[ref] += 1
    return counts
