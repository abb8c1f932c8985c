# SPDX-License-Identifier: GPL-3.0-or-later
"""Raw inputs.

A raw input is range-checked by its bits; its value is their sum, which costs no wire of its own (`Emission.share`
adds one where many rows would copy the sum). An input that a thermometer compares is checked there, and is one
wire.
"""

from __future__ import annotations

import numpy as np

from proving.constraints import forms
from proving.constraints.emission import Emission
from proving.constraints.forms import Form
from proving.constraints.gadgets.thermometer import is_trivial
from proving.constraints.widths import bit_lengths
from proving.constraints.witness import Reading
from proving.fixedpoint.program import Gather, Input, Ref, Thermometer
from proving.sparse import Array


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
