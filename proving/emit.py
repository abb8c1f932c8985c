# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixed-point program as a circuit. Its statement: `commitment, outputs..., binding`.

Soundness in one paragraph: every input wire is range-checked, so each neuron's sum is a bounded integer (the
interval of proving/ir.py, far below the field's order) and no sum wraps around; a decomposition of a bounded
integer into bits is unique; the rest of each neuron is linear in those bits, or one product.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.scalars import BN254_SCALAR_ORDER
from proving.circuit import ONE, Circuit, ConstraintSystem, Lc, plus, times
from proving.commitment import TAG_OUT, packing, schema_hash
from proving.ir import Affine, Hidden, Interval, Program
from proving.poseidon import MAX_ELEMENTS, parameters_for
from proving.settings import InputRange, OutputMode

COMMITMENT_WIRE = 1
FIRST_OUTPUT_WIRE = 2


@dataclass(frozen=True, slots=True)
class EmittedCircuit:
    """A constraint system and the wires that a prover supplies."""

    system: ConstraintSystem
    input_wires: tuple[int, ...]
    blinding_wire: int
    output_key_wire: int
    binding_wire: int


def emit(program: Program) -> EmittedCircuit:
    """Return the circuit of a program; a function of the program alone."""
    binding_wire = FIRST_OUTPUT_WIRE + program.output_elements
    circuit = Circuit(public=binding_wire)
    inputs = [_checked_input(circuit, each) for each in program.inputs]
    blinding, output_key = circuit.input(), circuit.input()
    _commitment(circuit, program.inputs, inputs, blinding, output_key)
    values: list[Lc] = [{wire: 1} for wire in inputs]
    for layer in program.hidden:
        values = _hidden(circuit, layer, values)
    _outputs(circuit, program, _sums(program.score, values))
    circuit.public_input(binding_wire)
    return EmittedCircuit(circuit.finish(), tuple(inputs), blinding, output_key, binding_wire)


def _checked_input(circuit: Circuit, each: InputRange) -> int:
    wire = circuit.input()
    if each.bits == 1:
        circuit.boolean(wire)
    else:
        circuit.bits({wire: 1}, each.bits)
    return wire


def _commitment(
    circuit: Circuit, ranges: tuple[InputRange, ...], inputs: list[int], blinding: int, output_key: int
) -> None:
    packed: list[Lc] = [{inputs[i]: 1 << place for i, place in group} for group in packing(ranges)]
    elements: list[Lc] = [{ONE: schema_hash(ranges)}, *packed, {blinding: 1}]
    left: Lc = {}
    for start in range(0, len(elements), MAX_ELEMENTS):
        left = _poseidon(circuit, elements[start : start + MAX_ELEMENTS], left)
    right = _poseidon(circuit, [{ONE: TAG_OUT}, {output_key: 1}], {})
    circuit.assign(_poseidon(circuit, [left, right], {}), COMMITMENT_WIRE)


def _poseidon(circuit: Circuit, elements: list[Lc], initial: Lc) -> Lc:
    """Constrain one Poseidon permutation; 3 constraints for each S-box. Returns the digest."""
    parameters = parameters_for(len(elements) + 1)
    state: list[Lc] = [initial, *elements]
    for index, constants in enumerate(parameters.constants):
        state = [plus(lc, {ONE: c}) for lc, c in zip(state, constants, strict=True)]
        boxes = parameters.width if parameters.is_full(index) else 1
        state = [*(_fifth_power(circuit, lc) for lc in state[:boxes]), *state[boxes:]]
        state = [
            _reduced(plus(*(times(m, lc) for m, lc in zip(row, state, strict=True))))
            for row in parameters.matrix
        ]
    return state[0]


def _fifth_power(circuit: Circuit, lc: Lc) -> Lc:
    square = circuit.product(lc, lc)
    fourth = circuit.product({square: 1}, {square: 1})
    return {circuit.product({fourth: 1}, lc): 1}


def _reduced(lc: Lc) -> Lc:
    return {wire: residue for wire, c in lc.items() if (residue := c % BN254_SCALAR_ORDER)}


def _sums(affine: Affine, values: list[Lc]) -> list[Lc]:
    return [
        plus({ONE: bias}, *(times(w, lc) for w, lc in zip(row, values, strict=True)))
        for row, bias in zip(affine.weights, affine.biases, strict=True)
    ]


def _hidden(circuit: Circuit, layer: Hidden, values: list[Lc]) -> list[Lc]:
    sums = _sums(layer.affine, values)
    return [
        _relu_rescale(circuit, lc, bound, layer.shift)
        for lc, bound in zip(sums, layer.affine.bounds, strict=True)
    ]


def _relu_rescale(circuit: Circuit, lc: Lc, bound: Interval, shift: int) -> Lc:
    """Return `max(z, 0) >> shift` by one decomposition of exactly the bits that the interval needs."""
    if bound.high >> shift <= 0:
        return {}
    magnitude = bound.sign_bits
    if bound.low >= 0:
        bits = circuit.bits(lc, magnitude)
        return {circuit.assign(_from_bits(bits[shift:])): 1}
    # z + 2^m has the sign in bit m; where z >= 0 the bits below are those of z itself.
    bits = circuit.bits(plus(lc, {ONE: 1 << magnitude}), magnitude + 1)
    return {circuit.product({bits[magnitude]: 1}, _from_bits(bits[shift:magnitude])): 1}


def _from_bits(bits: range) -> dict[int, int]:
    return {wire: 1 << place for place, wire in enumerate(bits)}


def _outputs(circuit: Circuit, program: Program, scores: list[Lc]) -> None:
    form = program.output
    lift = 1 << form.sign_bits
    if form.mode is OutputMode.PREDICATE:
        bits = circuit.bits(plus(scores[0], {ONE: lift - form.threshold}), form.sign_bits + 1)
        circuit.assign({bits[form.sign_bits]: 1}, FIRST_OUTPUT_WIRE)
        return
    packed: list[list[Lc]] = [[] for _ in range(program.output_elements)]
    for index, score in enumerate(scores):
        bits = circuit.bits(plus(score, {ONE: lift}), form.sign_bits + 1)
        element, place = divmod(index, form.per_element)
        packed[element].append(times(1 << (form.width * place), _from_bits(bits[form.shift :])))
    for element, terms in enumerate(packed):
        circuit.assign(plus(*terms), FIRST_OUTPUT_WIRE + element)
