# SPDX-License-Identifier: GPL-3.0-or-later
"""A program without the nodes that nothing uses, and with one node where two would be the same gather."""

from __future__ import annotations

from dataclasses import replace

from proving.fixedpoint.program import (
    Constant,
    Gather,
    Input,
    Linear,
    Maximum,
    Multiply,
    Node,
    NonNegative,
    Parameter,
    Piecewise,
    Program,
    Quotient,
    Ref,
    Rescale,
    Select,
    Thermometer,
    sources_of,
)


def without_dead_nodes(program: Program) -> Program:
    """Return the program with only what its scores and its output need; the Input and the Parameter always stay."""
    wanted = {program.scores, *((program.revealed.ref,) if program.revealed is not None else ())}
    for ref in reversed(range(len(program.nodes))):
        if ref in wanted or isinstance(program.nodes[ref], Input | Parameter):
            wanted.add(ref)
            wanted.update(sources_of(program.nodes[ref]))
    place: dict[Ref, Ref] = {}
    nodes: list[Node] = []
    kept: list[Ref] = []
    gathers: dict[tuple[tuple[Ref, ...], bytes], Ref] = {}
    for ref, node in enumerate(program.nodes):
        if ref not in wanted:
            continue
        moved = moved_node(node, place)
        if isinstance(moved, Gather):
            key = (moved.sources, moved.index.tobytes())
            if key in gathers:
                place[ref] = gathers[key]
                continue
            gathers[key] = len(nodes)
        place[ref] = len(nodes)
        nodes.append(moved)
        kept.append(ref)
    revealed = program.revealed
    return replace(
        program,
        nodes=tuple(nodes),
        scores=place[program.scores],
        scales=tuple(program.scales[ref] for ref in kept),
        labels=tuple(program.labels[ref] for ref in kept),
        revealed=None if revealed is None else replace(revealed, ref=place[revealed.ref]),
    )


def moved_node(node: Node, place: dict[Ref, Ref]) -> Node:
    """Return a node that reads from new positions."""
    match node:
        case Input() | Parameter() | Constant():
            return node
        case Gather():
            return Gather(tuple(place[each] for each in node.sources), node.index)
        case Linear():
            return Linear(tuple(place[each] for each in node.sources), node.matrix, node.bias)
        case Multiply():
            return Multiply(place[node.left], place[node.right])
        case Maximum():
            return Maximum(place[node.left], place[node.right])
        case Quotient():
            return Quotient(place[node.left], place[node.right])
        case Select():
            return Select(place[node.condition], place[node.then], place[node.otherwise])
        case Rescale():
            return Rescale(place[node.source], node.shift, node.relu)
        case NonNegative():
            return NonNegative(place[node.source])
        case Thermometer():
            return Thermometer(place[node.source], node.thresholds)
        case Piecewise():
            return Piecewise(place[node.source], place[node.thermometer], node.slopes, node.intercepts)
