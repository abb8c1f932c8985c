# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of a program as wires and rows: which gadget each node is."""

from __future__ import annotations

from proving.constraints import forms
from proving.constraints.builder import Builder
from proving.constraints.emission import Emission
from proving.constraints.forms import Form
from proving.constraints.gadgets import arithmetic, decompositions, piecewise, quotient, sources, thermometer
from proving.constraints.uses import count_uses
from proving.fixedpoint.bounds import Bounds, program_bounds
from proving.fixedpoint.program import (
    Constant,
    Gather,
    Input,
    Linear,
    Maximum,
    Multiply,
    NonNegative,
    Parameter,
    Piecewise,
    Program,
    Quotient,
    Ref,
    Rescale,
    Select,
    Thermometer,
)
from proving.sparse import Array


def emit_nodes(
    builder: Builder, program: Program, bounds: tuple[Bounds, ...] | None = None, weights: Array | None = None
) -> list[Form]:
    """Add a program's nodes to a circuit; return the form of each.

    `weights` are the public wires of folded weights and their blinding, None otherwise.
    """
    known = program_bounds(program) if bounds is None else bounds
    emission = Emission(builder, program, known, count_uses(program, known))
    if weights is not None:
        builder.steps.append(sources.folded_step(int(weights[0])))
    for ref, label in enumerate(program.labels):
        builder.label = label
        form = _node(emission, ref, weights)
        emission.values.append(emission.share(ref, form))
    return emission.values


def _node(emission: Emission, ref: Ref, weights: Array | None) -> Form:
    node = emission.program.nodes[ref]
    match node:
        case Input():
            return sources.inputs(emission, ref, node)
        case Parameter():
            return sources.parameters(emission, ref, node, weights)
        case Constant():
            return forms.constant(node.values)
        case Gather():
            return arithmetic.gather(emission, node)
        case Linear():
            return arithmetic.linear(emission, node)
        case Multiply():
            return arithmetic.multiply(emission, ref, node)
        case Rescale():
            return decompositions.rescale(emission, ref, node)
        case Maximum():
            return decompositions.maximum(emission, ref, node)
        case NonNegative():
            return decompositions.non_negative(emission, node)
        case Select():
            return arithmetic.select(emission, node)
        case Quotient():
            return quotient.quotient(emission, ref, node)
        case Thermometer():
            return thermometer.thermometer(emission, ref, node)
        case Piecewise():
            return piecewise.piecewise(emission, node)
