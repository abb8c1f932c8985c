# SPDX-License-Identifier: GPL-3.0-or-later
"""The nodes of a program as wires and rows: which gadget each node is."""

from __future__ import annotations

import numpy as np

from proving.constraints import forms
from proving.constraints.builder import Builder
from proving.constraints.emission import Emission
from proving.constraints.forms import Form
from proving.constraints.gadgets import (
    arithmetic,
    decompositions,
    piecewise,
    private_layer,
    quotient,
    sources,
    thermometer,
)
from proving.constraints.uses import count_uses
from proving.constraints.weight_words import WeightPacking
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
    builder: Builder,
    program: Program,
    bounds: tuple[Bounds, ...] | None = None,
    folded: Array | None = None,
    packing: WeightPacking | None = None,
) -> list[Form]:
    """Add a program's nodes to a circuit; return the form of each.

    `folded` are the public wires of private weights and their blinding, None otherwise. `packing` is the program's
    (`packing_of`, None if it has no private weights): the form of its Parameter node are the words, and that of
    other nodes that are absorbed into layers is empty.
    """
    known = program_bounds(program) if bounds is None else bounds
    emission = Emission(builder, program, known, count_uses(program, known))
    words: Array = np.zeros(0, dtype=np.int64)
    for ref, (node, label) in enumerate(zip(program.nodes, program.labels, strict=True)):
        builder.label = label
        if packing is not None and isinstance(node, Parameter):
            words = private_layer.word_wires(emission, len(packing.words), folded)
            emission.values.append(forms.of_wires(words))
        elif packing is not None and ref in packing.absorbed:
            emission.values.append(forms.nothing(0))
        elif packing is not None and isinstance(node, Linear) and ref in packing.layers:
            form = private_layer.private_layer(emission, ref, node, packing.layers[ref], words)
            emission.values.append(emission.share(ref, form))
        else:
            emission.values.append(emission.share(ref, _node(emission, ref)))
    return emission.values


def _node(emission: Emission, ref: Ref) -> Form:
    node = emission.program.nodes[ref]
    match node:
        case Input():
            return sources.inputs(emission, ref, node)
        case Parameter():
            raise ValueError("the program has private weights, and no packing of them was given")
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
