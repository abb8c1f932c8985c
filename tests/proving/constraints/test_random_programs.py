# SPDX-License-Identifier: GPL-3.0-or-later
"""Random programs over every kind of node: circuit, witness and interpreter agree."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proving_emission import evaluate, integers, nodes_of
from proving_networks import dense_network
from proving_programs import random_inputs, random_program

from protocol.scalars import BN254_SCALAR_ORDER
from proving.constraints.check import violated
from proving.constraints.determinism import analyse
from proving.constraints.determinism_rows import require_canonical
from proving.constraints.files import r1cs_bytes, read_r1cs
from proving.constraints.weight_words import packing_of
from proving.fixedpoint.cost import node_costs
from proving.fixedpoint.interpreter import run
from proving.fixedpoint.program import Maximum, NonNegative, Piecewise, Rescale
from proving.settings import WeightMode

PROGRAMS = st.tuples(st.integers(0, 10**6), st.sampled_from(WeightMode))


@given(PROGRAMS)
@settings(max_examples=60, deadline=None)
def test_the_witness_satisfies_the_circuit_and_is_what_the_interpreter_says(choice: tuple[int, WeightMode]) -> None:
    seed, mode = choice
    program = random_program(seed, weights=mode)
    nodes = nodes_of(program)
    for attempt in range(2):
        raw = random_inputs(program, random.Random(attempt))
        witness = nodes.witness(raw)
        assert violated(nodes.system, witness) is None
        wires = integers(witness)
        packing = packing_of(program)
        for ref, vector in enumerate(run(program, raw).values):
            if packing is None or ref not in packing.absorbed:
                assert evaluate(nodes.values[ref], wires) == [each % BN254_SCALAR_ORDER for each in vector]


@given(PROGRAMS)
@settings(max_examples=40, deadline=None)
def test_rows_are_canonical_and_the_file_comes_back(choice: tuple[int, WeightMode]) -> None:
    system = nodes_of(random_program(choice[0], weights=choice[1])).system
    require_canonical(system)
    data = r1cs_bytes(system)
    again = read_r1cs(data)
    assert (again.wires, again.public, again.constraints) == (system.wires, system.public, system.constraints)
    assert r1cs_bytes(again) == data


@given(PROGRAMS)
@settings(max_examples=40, deadline=None)
def test_every_private_wire_stands_in_a_row_and_follows_from_the_inputs(choice: tuple[int, WeightMode]) -> None:
    nodes = nodes_of(random_program(choice[0], weights=choice[1]))
    used = np.zeros(nodes.system.wires, dtype=bool)
    for matrix in (nodes.system.a, nodes.system.b, nodes.system.c):
        used[matrix.indices] = True
    assert used[nodes.system.public + 1 :].all()
    assert analyse(nodes.system, nodes.free).determined[nodes.system.public + 1 :].all()


@given(PROGRAMS, st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_a_changed_wire_breaks_a_row(choice: tuple[int, WeightMode], generator: random.Random) -> None:
    """One wire at a time: each choice of a prover is held by a range, everything else by what it follows from."""
    nodes = nodes_of(random_program(choice[0], steps=6, weights=choice[1]))
    witness = nodes.witness(random_inputs(nodes.program, generator))
    free = set(nodes.free)
    for wire in range(nodes.system.public + 1, nodes.system.wires):
        if wire in free:
            continue
        changed = witness.copy()
        changed[wire, 0] ^= 1
        assert violated(nodes.system, changed) is not None


def test_random_programs_have_every_kind_of_node() -> None:
    seen = Counter(type(node).__name__ for seed in range(40) for node in random_program(seed).nodes)
    assert len(seen) == 12 and min(seen.values()) >= 10  # all but Parameter


@pytest.mark.parametrize("mode", WeightMode)
def test_a_circuit_is_a_function_of_the_program(mode: WeightMode) -> None:
    for seed in range(5):
        assert r1cs_bytes(nodes_of(random_program(seed, weights=mode)).system) == r1cs_bytes(
            nodes_of(random_program(seed, weights=mode)).system
        )


@given(st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_the_cost_model_is_what_is_emitted_but_for_bits_that_are_there_already(seed: int) -> None:
    nodes = nodes_of(random_program(seed))
    rows = Counter({each: 0 for each in nodes.program.labels})
    for block in nodes.blocks:
        if block.kind != "assign":  # wires for long combinations, which the model does not know
            rows[block.label] += block.count
    for node, label, cost in zip(nodes.program.nodes, nodes.program.labels, node_costs(nodes.program), strict=True):
        if isinstance(node, Rescale | NonNegative | Maximum | Piecewise):
            assert rows[label] <= cost
        else:
            assert rows[label] == cost


def test_the_cost_model_is_exact_for_a_network() -> None:
    program = dense_network([20, 16, 8, 3])
    nodes = nodes_of(program)
    emitted = [sum(b.count for b in nodes.blocks if b.label == each and b.kind != "assign") for each in program.labels]
    assert emitted == node_costs(program)
