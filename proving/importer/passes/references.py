# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's references to earlier nodes, and its size."""

from __future__ import annotations

from collections.abc import Mapping
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
