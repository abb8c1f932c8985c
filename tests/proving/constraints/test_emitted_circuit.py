# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole circuit: which public wire is what, where its rows come from, and who chooses which wires."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
from proving_networks import dense_network

from proving.constraints.check import violated
from proving.constraints.emit import STATEMENT, emit
from proving.constraints.public_wires import public_wires
from proving.fixedpoint.batch import Evaluator
from proving.fixedpoint.bounds import program_bounds
from proving.fixedpoint.program import Linear, Program, Revealed
from proving.sparse import Sparse
from proving.statement.commitment import Secrets
from proving.statement.emit import given

BINDING = 77


def revealing(program: Program) -> Program:
    """Return a program that reveals its scores, lifted above 0."""
    bounds = program_bounds(program)[program.scores]
    low, size = int(bounds.low.min()), bounds.size
    identity = Sparse(size, np.arange(size + 1), np.arange(size), np.ones(size, dtype=np.int64))
    nodes = (*program.nodes, Linear((program.scores,), identity, np.full(size, -low)))
    bits = (int(bounds.high.max()) - low).bit_length()
    return replace(
        program,
        nodes=nodes,
        scales=(0,) * len(nodes),
        labels=(*program.labels, "output"),
        revealed=Revealed(len(nodes) - 1, "scores", size, bits, -low, 0),
    )


def test_public_wires_stand_in_the_order_of_the_record() -> None:
    wires = public_wires(outputs=2, groups=1, inputs=2, threshold=True, weights=3, weight_commitment=True)
    assert (wires.commitment, wires.groups, wires.weight_commitment, wires.inputs) == (1, (2,), 3, (4, 5))
    assert (wires.threshold, wires.outputs, wires.binding, wires.weights.tolist()) == (6, (7, 8), 9, [10, 11, 12])
    assert (wires.statement, wires.count) == (9, 12)


def test_a_statement_without_extras_is_commitment_outputs_binding() -> None:
    wires = public_wires(outputs=1)
    assert (wires.commitment, wires.outputs, wires.binding, wires.count) == (1, (2,), 3, 3)
    assert (wires.groups, wires.inputs, wires.threshold, wires.weight_commitment) == ((), (), None, None)


def test_every_row_belongs_to_a_layer_or_the_statement() -> None:
    circuit = emit(revealing(dense_network([6, 4, 2])))
    assert sum(rows for _, rows in circuit.costs) == circuit.system.constraints
    assert circuit.costs[-1][0] == STATEMENT
    ends = [(each.first, each.first + each.count) for each in circuit.blocks]
    assert ends[0][0] == 0 and all(end == start for (_, end), (start, _) in pairwise(ends))


def test_the_witness_of_a_whole_circuit_satisfies_it_and_shows_the_outputs() -> None:
    program = revealing(dense_network([6, 4, 2]))
    circuit = emit(program)
    trace = Evaluator(program).trace([5, 255, 0, 17, 80, 3])
    witness = circuit.plan.witness(trace, given(program, Secrets(1, 2), BINDING))
    assert violated(circuit.system, witness) is None
    assert program.revealed is not None
    shown = int.from_bytes(witness[circuit.public.outputs[0]].tobytes(), "little")
    low, high = (int(each) for each in trace[program.revealed.ref])
    assert shown == low + (high << program.revealed.bits)
    assert witness[circuit.public.binding, 0] == BINDING


def test_the_prover_chooses_inputs_secrets_and_binding_and_nothing_else() -> None:
    circuit = emit(revealing(dense_network([6, 4, 2], bits=5)))
    assert len(circuit.free) == len(set(circuit.free)) == 6 * 5 + 3  # their bits; blinding, output key, binding
    assert [wire for wire in circuit.free if wire <= circuit.system.public] == [circuit.public.binding]
