# SPDX-License-Identifier: GPL-3.0-or-later
"""From ONNX to constraints, operator by operator: the packed inputs determine every wire, and no wrong wire passes."""

from __future__ import annotations

import random
import tomllib
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from proving_onnx_cases import LISTED, Case, fields, selected
from proving_programs import random_inputs, random_program
from proving_soundness import SCALE, Search, rows_of, surviving_pairs, survivors
from proving_soundness_circuits import NodesCircuit, every_gadget

from proving.constraints.determinism import analyse
from proving.fixedpoint.bounds import program_bounds
from proving.fixedpoint.quantise import quantise
from proving.importer.model import import_model
from proving.settings import ModelSettings, OutputSpec, Reveal, WeightMode

SKIPPED = Path(__file__).resolve().parents[1] / "onnx_backend" / "skipped.toml"
LARGEST, INPUTS = 1000 * SCALE, 24 * SCALE
"""Constraints and inputs of a circuit that is looked at."""
FIELD_SAFE = 1 << 240
PRECISION = 6
"""Fractional bits: fewer than where values are compared, since rows of the same kinds come of it."""


@lru_cache(maxsize=1)
def by_operator() -> dict[str, list[Case]]:
    """The tests that pass, by operator; those with the fewest inputs first."""
    skipped = {name for group in tomllib.loads(SKIPPED.read_text())["skipped"] for name in group["tests"]}
    found: dict[str, list[Case]] = {}
    for case in selected():
        if case.name not in skipped and len(case.operators) == 1:
            found.setdefault(case.operators[0], []).append(case)
    return {
        name: small for name, cases in found.items()
        if (small := sorted((case for case in cases if inputs_of(case) <= INPUTS), key=inputs_of))
    }  # fmt: skip


def inputs_of(case: Case) -> int:
    return int(sum(np.size(each) for each in case.inputs.values()))


def circuits_of(case: Case) -> list[tuple[NodesCircuit, list[int]]]:
    """One circuit for each output, with the test's raw inputs."""
    described = list(fields(case))
    raw = [each for _, values in described for each in values]
    graph = import_model(case.model.SerializeToString())
    made = []
    for output in graph.outputs:
        spec = OutputSpec(Reveal.COMMITTED, output.name)
        ranges = tuple(each for each, _ in described)
        program = quantise(graph, ModelSettings(ranges, spec, fractional_bits=PRECISION, weight_bits=PRECISION))
        made.append((NodesCircuit(program), raw))
    return made


def examine(circuit: NodesCircuit, raw: list[int], generator: random.Random) -> None:
    """Determinism, no wrap, and perturbations of some wires and pairs."""
    found = analyse(circuit.system, (*circuit.packed, *circuit.secrets))
    assert not found.free(range(circuit.system.wires))
    for bounds in program_bounds(circuit.program):
        assert bounds.magnitude < FIELD_SAFE
    case = circuit.case(raw)
    assert not rows_of(case.system).broken(case.witness)
    others = sorted(set(range(1, case.system.wires)) - set(case.known))
    some = generator.sample(others, min(len(others), 25 * SCALE))
    assert not survivors(case, some, generator)
    if len(others) > 2:
        assert not surviving_pairs(case, 10 * SCALE, generator)


def test_each_operator_is_deterministic_and_no_wrong_wire_passes() -> None:
    """The smallest tests of each operator; most operators have one that is small enough for an ordinary run."""
    generator = random.Random(7)
    tried = set()
    for name, cases in sorted(by_operator().items()):
        for case in cases[:SCALE]:
            for circuit, raw in circuits_of(case):
                if circuit.system.constraints <= LARGEST:
                    examine(circuit, raw, generator)
                    tried.add(name)
    assert len(tried & LISTED) >= 70, sorted(LISTED - tried)


@pytest.mark.parametrize("mode", WeightMode)
def test_random_programs_are_deterministic_and_no_wrong_wire_passes(mode: WeightMode) -> None:
    for seed in range(6 * SCALE):
        program = random_program(1000 + seed, 10, mode)
        generator = random.Random(seed)
        examine(NodesCircuit(program), random_inputs(program, generator), generator)


def test_every_wire_of_every_gadget_and_many_pairs() -> None:
    circuit = NodesCircuit(every_gadget())
    generator = random.Random(8)
    case = circuit.case(random_inputs(circuit.program, generator))
    assert not survivors(case, set(range(1, case.system.wires)) - set(case.known), generator)
    assert not surviving_pairs(case, 500 * SCALE, generator)


def test_a_search_finds_no_second_witness() -> None:
    """All assignments of small random programs with the same packed inputs: there is one."""
    tried = 0
    for seed in range(40 * SCALE):
        program = random_program(5000 + seed, 3)
        circuit = NodesCircuit(program)
        if circuit.system.constraints > 60 * SCALE:
            continue
        case = circuit.case(random_inputs(program, random.Random(seed)))
        search = Search(case.system, budget=300 * SCALE)
        solutions = list(search.solutions({wire: case.witness[wire] for wire in case.known}))
        assert not search.open_ended
        assert len(solutions) == 1 or search.exhausted
        assert all(solution == dict(enumerate(case.witness)) for solution in solutions)
        tried += not search.exhausted
    assert tried >= 10


def test_a_deviation_that_many_elements_share_is_determined() -> None:
    """Found by a long search: each use of a shared value hid the row that pins it."""
    (case,) = (case for case in selected() if case.name == "test_layer_normalization_2d_axis0")
    for circuit, raw in circuits_of(case)[:1]:
        examine(circuit, raw, random.Random(3))
