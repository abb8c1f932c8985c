# SPDX-License-Identifier: GPL-3.0-or-later
"""Input, Parameter and Constant: where values come from.

A raw input is range-checked by its bits; its value is their sum, which costs no wire of its own (`Emission.share`
adds one where many rows would copy the sum). An input that a thermometer compares is checked there, and is one
wire. Weights that are folded into the verifying key are public wires; weights under a Poseidon commitment are
bits, since packing them needs their range.
"""

from __future__ import annotations

import numpy as np

from proving.constraints import forms
from proving.constraints.emission import Emission
from proving.constraints.forms import Form
from proving.constraints.gadgets.thermometer import is_trivial
from proving.constraints.widths import bit_lengths
from proving.constraints.witness import Given, Reading
from proving.fixedpoint.program import Gather, Input, Parameter, Ref, Thermometer
from proving.sparse import Array

WEIGHTS = "weights"
"""The name of the weights among what a prover is given: the parameters, and with folded weights their blinding."""


def inputs(emission: Emission, ref: Ref, node: Input) -> Form:
    """The raw inputs, unsigned."""
    checked = compared_inputs(emission, ref, node.size)
    wires_at, bits_at = np.flatnonzero(checked), np.flatnonzero(~checked)
    parts = []
    if len(wires_at):
        wires = emission.builder.new(len(wires_at))
        emission.fill(int(wires[0]), Reading(ref, wires_at))
        emission.builder.free.extend(wires.tolist())
        parts.append((wires_at, forms.of_wires(wires)))
    if len(bits_at):
        bits = emission.builder.bits(bit_lengths(emission.high(ref)[bits_at]))
        emission.fill_bits(bits, Reading(ref, bits_at))
        emission.builder.free.extend(bits.wires.tolist())
        parts.append((bits_at, bits.value()))
    return forms.scatter(node.size, parts)


def compared_inputs(emission: Emission, ref: Ref, size: int) -> Array:
    """Return which elements of the input node a thermometer compares, and so proves to be in range."""
    nodes = emission.program.nodes
    origin: dict[Ref, Array] = {ref: np.arange(size, dtype=np.int64)}
    found = np.zeros(size, dtype=bool)
    for each, node in enumerate(nodes):
        if isinstance(node, Gather) and all(source in origin for source in node.sources):
            origin[each] = np.concatenate([origin[source] for source in node.sources])[node.index]
        if isinstance(node, Thermometer) and node.source in origin:
            low, high = emission.low(node.source), emission.high(node.source)
            for element, (place, thresholds) in enumerate(zip(origin[node.source], node.thresholds, strict=True)):
                ends = int(low[element]), int(high[element])
                if ends == (0, int(emission.high(ref)[place])) and not is_trivial(*ends, thresholds):
                    found[place] = True
    return found


def parameters(emission: Emission, ref: Ref, node: Parameter, folded: Array | None) -> Form:
    """The weights, unsigned; `folded` are the public wires that hold them, or None with a Poseidon commitment."""
    if folded is not None:
        emission.builder.free.extend(folded.tolist())
        return forms.of_wires(folded[: node.size])
    bits = emission.builder.bits(np.full(node.size, node.bits, dtype=np.int64), "weight")
    emission.fill_bits(bits, Reading(ref))
    emission.builder.free.extend(bits.wires.tolist())
    return bits.value()


def folded_step(first: int) -> Given:
    """Return the step that fills the public wires of folded weights: the weights, then their blinding."""
    return Given(first, WEIGHTS)
