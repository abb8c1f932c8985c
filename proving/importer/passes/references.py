# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's references to earlier nodes, and the sizes of nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from proving.importer.graph import (
    Apply,
    ArgMax,
    Compare,
    Constant,
    Divide,
    Gather,
    Input,
    Linear,
    Maximum,
    Multiply,
    Node,
    Ref,
    Relu,
    Round,
    Select,
    Trees,
)


def sources(node: Node) -> tuple[Ref, ...]:
    """Return the nodes that a node reads."""
    match node:
        case Input() | Constant():
            return ()
        case Gather() | Linear():
            return node.sources
        case Multiply() | Divide() | Compare():
            return node.left, node.right
        case Select():
            return node.condition, node.then, node.otherwise
        case Relu() | Maximum() | Apply() | Round() | ArgMax() | Trees():
            return (node.source,)


def renumbered(node: Node, places: Mapping[Ref, Ref]) -> Node:
    """Return a node that reads other nodes instead."""
    match node:
        case Input() | Constant():
            return node
        case Gather() | Linear():
            return replace(node, sources=tuple(places[each] for each in node.sources))
        case Multiply() | Divide() | Compare():
            return replace(node, left=places[node.left], right=places[node.right])
        case Select():
            return replace(node, condition=places[node.condition], then=places[node.then],
                           otherwise=places[node.otherwise])
        case Relu() | Maximum() | Apply() | Round() | ArgMax() | Trees():
            return replace(node, source=places[node.source])


def sizes(nodes: Sequence[Node]) -> list[int]:
    """Return how many elements each node yields."""
    found: list[int] = []
    for node in nodes:
        match node:
            case Input():
                found.append(node.size)
            case Constant():
                found.append(len(node.values))
            case Gather():
                found.append(len(node.index))
            case Linear():
                found.append(node.matrix.rows)
            case Maximum() | ArgMax():
                found.append(len(node.groups))
            case Trees():
                found.append(len(node.base))
            case Multiply() | Divide() | Compare():
                found.append(found[node.left])
            case Select():
                found.append(found[node.then])
            case Relu() | Apply() | Round():
                found.append(found[node.source])
    return found
