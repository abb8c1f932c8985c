# SPDX-License-Identifier: GPL-3.0-or-later
"""The compiler with one thing wrong at a time: every such circuit is noticed, none survives.

A row of each kind that the compiler emits is dropped, or one of its coefficients is changed. What notices is counted:
the honest witness (the circuit computes something else), the determinism analysis (it leaves a choice), or a
perturbation (a wire that nothing holds). A changed coefficient of a wire that is zero in all witnesses (bits that an
interval allows and no input sets) is a circuit that computes the same; few may be of that kind, since the inputs
were picked to set every wire that can be set.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
from proving_mutants import Mutant, caught_by, changed_rows, dropped_rows, some_of_each_kind
from proving_programs import random_inputs, random_program
from proving_soundness import SCALE, Case, rows_of
from proving_soundness_circuits import NodesCircuit, WholeCircuit, every_gadget
from proving_statements import classifier

from protocol.errors import UndeterminedOutputError
from proving.constraints.determinism import undetermined
from proving.constraints.determinism_statement import require_determined
from proving.constraints.emit import STATEMENT, emit
from proving.constraints.gadgets import decompositions, quotient, sources, thermometer
from proving.constraints.system import ConstraintSystem
from proving.constraints.widths import bit_lengths
from proving.fixedpoint.quantise import quantise
from proving.settings import (
    InputRange,
    ModelSettings,
    OutputSpec,
    Predicate,
    Reveal,
    Visibility,
    WeightMode,
    WeightSpec,
)
from proving.statement import schema

INPUTS = (757, 1323, 102, 1008, 894, 902, 1618, 7, 1248, 2139)
"""Seeds of random inputs that together make all but eight wires of `every_gadget` nonzero; out of 2500 tried."""
SAME = "nobody: no input sets the wire"
NODE_KINDS = {
    "assign", "boolean", "bucket", "decomposition", "product", "quotient", "remainder", "select", "slope",
    "thermometer",
}  # fmt: skip
STATEMENT_KINDS = {"binding", "poseidon fifth", "poseidon fourth", "poseidon square", "public"}
PRIVATE_FIELDS = (InputRange("x", -8, 5, 2), InputRange("y", 0, 4, 1, group=2), InputRange("z", 0, 4, 1))
MIXED_FIELDS = (InputRange("x", -8, 5, 2), InputRange("y", 0, 4, 2, visibility=Visibility.PUBLIC))
WHOLE: dict[str, tuple[int, ModelSettings]] = {
    "sealed": (3, ModelSettings(PRIVATE_FIELDS, OutputSpec(Reveal.SEALED), WeightSpec(), 6, 6)),
    "committed": (
        3, ModelSettings(MIXED_FIELDS, OutputSpec(Reveal.COMMITTED), WeightSpec(WeightMode.POSEIDON, 13), 6, 6),
    ),
    "predicate": (
        2,
        ModelSettings(
            MIXED_FIELDS,
            OutputSpec(Reveal.PREDICATE, predicate=Predicate.THRESHOLD, threshold_public=True),
            WeightSpec(WeightMode.FOLDED, 13), 6, 6,
        ),
    ),
}  # fmt: skip


@cache
def nodes() -> tuple[NodesCircuit, tuple[Case, ...]]:
    circuit = NodesCircuit(every_gadget())
    raws = (random_inputs(circuit.program, random.Random(seed)) for seed in INPUTS)
    return circuit, tuple(circuit.case(raw) for raw in raws)


@cache
def whole(name: str) -> tuple[WholeCircuit, tuple[Case, ...]]:
    classes, chosen = WHOLE[name]
    program = quantise(classifier(classes), chosen)
    circuit = WholeCircuit(program, emit(program))
    generator = random.Random(5)
    return circuit, tuple(circuit.case(random_inputs(program, generator)) for _ in range(6))


def refuses_nodes(system: ConstraintSystem) -> bool:
    circuit, _ = nodes()
    return bool(undetermined(system, circuit.packed, (*circuit.known, *circuit.outputs)))


def refuses_whole(circuit: WholeCircuit, system: ConstraintSystem) -> bool:
    try:
        require_determined(replace(circuit.emitted, system=system))
    except UndeterminedOutputError:
        return True
    return False


def table(mutants: Sequence[Mutant], cases: Sequence[Case], refuses: Any) -> Counter[tuple[str, str, str]]:
    """Return how many mutants of each kind and change were caught by whom; fails if one survives."""
    generator = random.Random(6)
    found: Counter[tuple[str, str, str]] = Counter()
    for mutant in mutants:
        who = caught_by(mutant, cases, refuses, generator)
        if who is None and mutant.change != "row dropped":
            who = SAME
        assert who is not None, f"nobody notices {mutant}, which was {rows_of(cases[0].system).rows[mutant.row]}"
        found[mutant.kind, mutant.change, who] += 1
    return found


def same(found: Counter[tuple[str, str, str]]) -> float:
    """The share of mutants that compute the same."""
    return sum(count for (_, _, who), count in found.items() if who == SAME) / found.total()


def test_the_honest_circuits_are_accepted() -> None:
    circuit, cases = nodes()
    assert not refuses_nodes(circuit.system)
    rows = rows_of(circuit.system)
    assert not any(rows.broken(case.witness) for case in cases[: 10 * SCALE])
    for name in WHOLE:
        made, some = whole(name)
        require_determined(made.emitted)
        assert not rows_of(made.system).broken(some[0].witness)


def test_every_row_of_every_gadget_is_needed() -> None:
    circuit, cases = nodes()
    rows = rows_of(circuit.system).rows
    found = table(list(dropped_rows(rows, circuit.blocks, 2 * SCALE, random.Random(1))), cases, refuses_nodes)
    assert {kind for kind, _, _ in found} == NODE_KINDS
    assert {who for _, _, who in found} == {"determinism"}
    assert found.total() >= 70


def test_every_coefficient_of_every_gadget_matters() -> None:
    circuit, cases = nodes()
    rows = rows_of(circuit.system).rows
    found = table(list(changed_rows(rows, circuit.blocks, 2 * SCALE, random.Random(2))), cases, refuses_nodes)
    assert {kind for kind, _, _ in found} == NODE_KINDS
    assert found.total() >= 70
    assert same(found) <= 0.04


@pytest.mark.parametrize("name", WHOLE)
def test_every_row_and_coefficient_of_a_statement_matters(name: str) -> None:
    circuit, cases = whole(name)
    rows = rows_of(circuit.system).rows
    blocks = some_of_each_kind(circuit.emitted.blocks, 2 * SCALE, random.Random(3))
    own = [block for block in blocks if block.label == STATEMENT]
    some = [*dropped_rows(rows, blocks, 1, random.Random(1)), *changed_rows(rows, own, 2, random.Random(2))]
    found = table(some, cases, lambda system: refuses_whole(circuit, system))
    assert {kind for kind, _, _ in found} >= STATEMENT_KINDS
    assert {who for _, change, who in found if change == "row dropped"} <= {"determinism", "perturbation"}
    assert same(found) <= 0.06


def test_no_program_has_a_kind_of_row_that_is_not_tried() -> None:
    kinds = {block.kind for name in WHOLE for block in whole(name)[0].emitted.blocks}
    for seed in range(12):
        mode = list(WeightMode)[seed % 3]
        kinds |= {block.kind for block in NodesCircuit(random_program(seed, 10, mode)).blocks}
    assert kinds <= NODE_KINDS | STATEMENT_KINDS | {block.kind for block in whole("committed")[0].emitted.blocks}


# --- the compiler itself changed ---------------------------------------------------------------


def overlapping(widths: Sequence[int]) -> schema.Packing:
    """Pack one bit too tight."""
    return tuple(
        tuple((position, max(0, place - index)) for index, (position, place) in enumerate(word))
        for word in PACKING(widths)
    )


PACKING = schema.packing


def test_inputs_packed_too_tight_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "packing", overlapping)
    program = quantise(classifier(3), ModelSettings(PRIVATE_FIELDS, OutputSpec(Reveal.PUBLIC), WeightSpec(), 6, 6))
    with pytest.raises(UndeterminedOutputError, match="inputs or secrets"):
        require_determined(emit(program))


def test_an_input_outside_every_commitment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "packing", lambda widths: tuple(word[:-1] or word for word in PACKING(widths)))
    program = quantise(classifier(3), ModelSettings(PRIVATE_FIELDS, OutputSpec(Reveal.PUBLIC), WeightSpec(), 6, 6))
    with pytest.raises(UndeterminedOutputError, match="inputs or secrets"):
        require_determined(emit(program))


def test_inputs_checked_for_a_bit_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "bit_lengths", lambda values: bit_lengths(values) + 1)
    program = quantise(classifier(3), ModelSettings(PRIVATE_FIELDS, OutputSpec(Reveal.PUBLIC), WeightSpec(), 6, 6))
    with pytest.raises(UndeterminedOutputError, match="inputs or secrets"):
        require_determined(emit(program))


@pytest.mark.parametrize(
    ("module", "name"),
    [(decompositions, "sign_place"), (decompositions, "bit_lengths"), (quotient, "bit_lengths"),
     (thermometer, "bit_lengths"), (sources, "bit_lengths")],
)  # fmt: skip
def test_a_width_that_is_a_bit_too_small_breaks_honest_witnesses(
    module: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = getattr(module, name)

    def narrower(*values: Any) -> Any:
        widths = honest(*values)
        return widths - (widths > 1)

    monkeypatch.setattr(module, name, narrower)
    circuit = NodesCircuit(every_gadget())
    generator = random.Random(4)
    ends = [[f.low for f in circuit.program.inputs for _ in range(f.count)],
            [f.high for f in circuit.program.inputs for _ in range(f.count)]]
    broken = 0
    for raw in (*ends, *(random_inputs(circuit.program, generator) for _ in range(20))):
        try:
            broken += bool(rows_of(circuit.system).broken(circuit.case(raw).witness))
        except AssertionError:
            broken += 1
    assert broken
