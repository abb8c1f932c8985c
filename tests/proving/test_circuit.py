# SPDX-License-Identifier: GPL-3.0-or-later
"""Circuits: equal to the interpreter, broken by every wrong wire, the same bytes on every machine."""

from __future__ import annotations

import random
from collections import defaultdict
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proving_models import HIGH, LOW, exported, predicate, public, tiny

from protocol.errors import InputRangeError, ProvingError, SecretError
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.backend import CompiledModel
from proving.circuit import Bits, Circuit, ConstraintSystem, plus
from proving.commitment import commit
from proving.groth16.backend import GROTH16
from proving.interpreter import run
from proving.settings import InputRange, OutputMode, Settings

INPUTS = st.tuples(*[st.integers(LOW, HIGH)] * 4)
ELEMENTS = st.integers(0, R - 1)
CASES = {
    "logistic predicate": ("logistic", 2, predicate()),
    "mlp predicate": ("mlp", 2, predicate()),
    "mlp public": ("mlp", 2, public()),
    "three classes": ("mlp", 3, public()),
    "few bits": ("wide", 2, public(fractional_bits=4, score_bits=4)),
}


@lru_cache(maxsize=8)
def compiled(case: str) -> CompiledModel:
    kind, classes, chosen = CASES[case]
    return GROTH16.compile(exported(kind, classes), chosen)


def wires_of(model: CompiledModel, inputs: tuple[int, ...] = (1, -2, 30, 4)) -> list[int]:
    return list(GROTH16.witness(model, inputs, 11, 12, 13).wires)


@pytest.mark.parametrize("case", CASES)
@given(inputs=INPUTS, blinding=ELEMENTS, output_key=ELEMENTS, binding=ELEMENTS)
@settings(max_examples=15, deadline=None)
def test_the_witness_is_what_the_interpreter_and_the_commitment_say(
    case: str, inputs: tuple[int, ...], blinding: int, output_key: int, binding: int
) -> None:
    model = compiled(case)
    witness = GROTH16.witness(model, inputs, blinding, output_key, binding)
    expected = commit(model.program.inputs, inputs, blinding, output_key)
    assert witness.public_inputs == (expected, *run(model.program, inputs).outputs, binding)
    assert model.system.violated(list(witness.wires)) is None


def rows_by_wire(system: ConstraintSystem) -> dict[int, ConstraintSystem]:
    """For each wire a system of only those constraints that mention it."""
    found = defaultdict(list)
    for row in system.constraints:
        for wire in {wire for lc in row for wire in lc}:
            found[wire].append(row)
    return {
        wire: ConstraintSystem(system.wires, system.public, (), tuple(rows), ())
        for wire, rows in found.items()
    }


@pytest.mark.parametrize("case", CASES)
def test_every_wrong_wire_breaks_the_circuit(case: str) -> None:
    model = compiled(case)
    values, rows = wires_of(model), rows_by_wire(model.system)
    for wire in range(1, model.system.wires):
        right = values[wire]
        for wrong in ({right + 1, right - 1, 1 - right} if right in (0, 1) else {right + 1}):
            values[wire] = wrong % R
            # The binding is free by design: any value, with its square, is a valid statement.
            assert rows[wire].violated(values) is not None, f"wire {wire} may be {wrong}"
        values[wire] = right


@pytest.mark.parametrize("case", CASES)
def test_bits_that_are_no_bits_break_the_circuit_even_where_the_sum_is_right(case: str) -> None:
    system, values = compiled(case).system, wires_of(compiled(case))
    rows = rows_by_wire(system)
    for step in system.steps:
        if not isinstance(step, Bits):
            continue
        for wire in range(step.first, step.first + step.count - 1):
            low, high = values[wire], values[wire + 1]
            values[wire], values[wire + 1] = low + 2, (high - 1) % R
            assert rows[wire].violated(values) is not None, f"wire {wire} need not be a bit"
            values[wire], values[wire + 1] = low, high


@pytest.mark.parametrize("value", [2, -1, R - 2, 7])
def test_a_flag_is_a_bit(value: int) -> None:
    inputs = (InputRange("flag", 0, 1), InputRange("number", 0, 7))
    model = GROTH16.compile(tiny().SerializeToString(), Settings(inputs, OutputMode.PUBLIC))
    flag, number = model.emitted.input_wires
    supplied = dict.fromkeys(model.system.inputs, 5) | {flag: value, number: 5}
    # The number in the packed commitment hides no carry of the flag: the flag itself is constrained.
    try:
        values = model.system.solve(supplied)
    except ProvingError:
        return
    assert model.system.violated(values) is not None


@pytest.mark.parametrize("case", ["mlp predicate", "mlp public"])
def test_a_lie_with_everything_behind_it_recomputed_breaks_the_circuit(case: str) -> None:
    model = compiled(case)
    system, generator = model.system, random.Random(7)
    decompositions = [index for index, step in enumerate(system.steps) if isinstance(step, Bits)]
    for index in generator.sample(decompositions, min(8, len(decompositions))):
        step = system.steps[index]
        assert isinstance(step, Bits)
        for place in (0, step.count // 2, step.count - 1):
            values = wires_of(model)
            values[step.first + place] ^= 1
            recomputed = _follow(system, values, index + 1)
            assert recomputed is None or system.violated(recomputed) is not None


def _follow(system: ConstraintSystem, values: list[int], start: int) -> list[int] | None:
    """Recompute all steps from `start`; None where a value no longer fits its bits."""
    inputs = tuple(range(1, system.wires))
    rest = ConstraintSystem(system.wires, system.public, inputs, (), system.steps[start:])
    try:
        return rest.solve(dict(enumerate(values)))
    except ProvingError:
        return None


@pytest.mark.parametrize("case", CASES)
def test_no_combination_lists_a_wire_twice_or_with_zero(case: str) -> None:
    for row in compiled(case).system.constraints:
        for lc in row:
            assert len(lc) == len(set(lc)) and all(c % R for c in lc.values())


@pytest.mark.parametrize("case", CASES)
def test_every_public_wire_is_in_a_constraint(case: str) -> None:
    system = compiled(case).system
    used = {wire for row in system.constraints for lc in row for wire in lc}
    assert used == set(range(system.wires))


def test_inputs_beyond_their_bits_do_not_enter_the_circuit() -> None:
    model = compiled("mlp predicate")
    with pytest.raises(InputRangeError):
        GROTH16.witness(model, (1, 2, 3, HIGH + 1), 1, 2, 3)
    emitted = model.emitted
    supplied = dict.fromkeys(model.system.inputs, 5) | {emitted.input_wires[0]: 128}
    with pytest.raises(ProvingError, match="fit"):
        model.system.solve(supplied)


def test_secrets_outside_the_field_are_refused() -> None:
    for blinding, output_key in ((R, 1), (1, R), (-1, 1), (True, 1)):
        with pytest.raises(SecretError):
            GROTH16.witness(compiled("mlp public"), (1, 2, 3, 4), blinding, output_key, 3)


@pytest.mark.parametrize(
    ("chosen", "digest"),
    [
        (public(count=2), "1996c3899ea512e6be457934616c31af25d45ff4e423217205a365b049f92b69"),
        (predicate(count=2), "1a6ad043132750f6a5a41665fe870a29acfe96751d2084f12e2a62f84fea2be8"),
    ],
)
def test_the_same_model_and_settings_give_the_same_circuit_on_any_machine(
    chosen: Settings, digest: str
) -> None:
    assert GROTH16.compile(tiny().SerializeToString(), chosen).circuit_hash.hex() == digest


def test_each_setting_changes_the_circuit() -> None:
    model = exported("mlp")
    chosen = (public(), public(fractional_bits=12), public(score_bits=4), predicate(), predicate("0.71"))
    assert len({GROTH16.compile(model, each).circuit_hash for each in chosen}) == len(chosen)


def test_the_domain_has_room_for_constraints_public_inputs_and_one() -> None:
    assert [GROTH16.estimate(n, 3).domain for n in (2044, 2045)] == [2048, 4096]


def test_combinations_merge_equal_wires() -> None:
    assert plus({1: 2, 2: 3}, {1: 5}, {2: -3}) == {1: 7}


def test_a_decomposition_costs_its_bits_and_one() -> None:
    circuit = Circuit(public=1)
    circuit.bits({circuit.input(): 1}, 9)
    assert len(circuit.constraints) == 10
