# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way to reveal, with every visibility and weight mode: it holds, parses, and opens to what the oracle says."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from proving_statements import BINDING, SECRETS, Compiled, classifier, compiled, value_of

from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.constraints.determinism import undetermined
from proving.constraints.weight_words import words_of
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
from proving.statement.commitment import commit, commit_group, commit_weights
from proving.statement.opening import (
    Statement,
    disclose,
    open_committed,
    open_predicate,
    open_public,
    parse,
    unseal,
)

THRESHOLD, CLASS, TOP_K = Predicate.THRESHOLD, Predicate.CLASS, Predicate.TOP_K
OUTPUTS: dict[str, tuple[int, OutputSpec]] = {
    "public": (3, OutputSpec(Reveal.PUBLIC)),
    "public label": (3, OutputSpec(Reveal.PUBLIC, target="label")),
    "sealed": (3, OutputSpec(Reveal.SEALED)),
    "sealed label": (2, OutputSpec(Reveal.SEALED, target="label")),
    "committed": (3, OutputSpec(Reveal.COMMITTED, score_bits=6)),
    "probability": (2, OutputSpec(Reveal.PREDICATE, predicate=THRESHOLD, threshold="0.7")),
    "at most": (2, OutputSpec(Reveal.PREDICATE, predicate=THRESHOLD, threshold="0.5", at_most=True)),
    "score": (2, OutputSpec(Reveal.PREDICATE, predicate=THRESHOLD, threshold="-1.5", threshold_on="score")),
    "public threshold": (2, OutputSpec(Reveal.PREDICATE, predicate=THRESHOLD, threshold_public=True)),
    "class": (3, OutputSpec(Reveal.PREDICATE, predicate=CLASS, label="1")),
    "top k": (5, OutputSpec(Reveal.PREDICATE, predicate=TOP_K, label="3", k=2)),
}
PUBLIC = Visibility.PUBLIC
FIELDS = {
    "private": (InputRange("x", -8, 5, 4),),
    "mixed": (InputRange("x", -8, 5, 2), InputRange("y", 0, 4, 2, visibility=PUBLIC)),
    "groups": (InputRange("x", -8, 5, 1), InputRange("y", 0, 4, 2, scale=1, group=3), InputRange("z", 0, 4, 1)),
    "open": (InputRange("x", -8, 5, 4, visibility=PUBLIC),),
}
WEIGHTS = {mode.value: WeightSpec(mode, bits=13) for mode in WeightMode}
RAWS = ((-8, 3, 2, 1), (7, 15, 0, 15), (1, 0, 9, 4))
COMBINATIONS = [
    (output, list(FIELDS)[(place + turn) % len(FIELDS)], weights)
    for place, output in enumerate(OUTPUTS)
    for turn, weights in enumerate(WEIGHTS)
]
"""Each output with each weight mode, and the visibilities in turn: each of them meets each weight mode too."""


@cache
def made(output: str, fields: str, weights: str) -> Compiled:
    classes, spec = OUTPUTS[output]
    return compiled(
        classifier(classes),
        ModelSettings(FIELDS[fields], spec, WEIGHTS[weights], fractional_bits=8, weight_bits=6),
    )


def inputs_of(model: Compiled, raw: tuple[int, ...]) -> tuple[int, ...]:
    limits = [each for each in model.program.inputs for _ in range(each.count)]
    within = tuple(min(max(value, each.low), each.high) for value, each in zip(raw, limits, strict=False))
    return (*within, 3) if model.layout.output.threshold_public else within


def opened(model: Compiled, statement: Statement, raw: tuple[int, ...]) -> tuple[int, ...]:
    match model.layout.output.reveal:
        case Reveal.PUBLIC:
            return open_public(statement).integers
        case Reveal.PREDICATE:
            return (int(open_predicate(statement)),)
        case Reveal.SEALED:
            return unseal(statement, disclose(model.layout, raw, SECRETS)).integers
        case Reveal.COMMITTED:
            return open_committed(statement, model.revealed(raw), SECRETS.output).integers


@pytest.mark.parametrize(("output", "fields", "weights"), COMBINATIONS)
def test_the_statement_opens_to_what_the_interpreter_says(output: str, fields: str, weights: str) -> None:
    model = made(output, fields, weights)
    for each in RAWS:
        raw = inputs_of(model, each)
        witness = model.witness(raw)
        statement = parse(model.layout, model.words(witness))
        assert opened(model, statement, raw) == model.revealed(raw)
        check_words(model, statement, raw)
    assert model.satisfied(witness)


@pytest.mark.parametrize(("output", "fields", "weights"), COMBINATIONS)
def test_every_public_word_follows_from_what_the_prover_chooses(output: str, fields: str, weights: str) -> None:
    circuit = made(output, fields, weights).circuit
    assert undetermined(circuit.system, circuit.free, range(1, 1 + circuit.system.public)) == ()


def check_words(model: Compiled, statement: Statement, raw: tuple[int, ...]) -> None:
    first, *further = model.layout.groups
    of = {group.number: [raw[i] for i in group.elements] for group in model.layout.groups}
    assert statement.commitment == commit(first.fields, of[0], SECRETS.blinding, SECRETS.output_key)
    assert statement.groups == {each.number: commit_group(each.fields, of[each.number], 13) for each in further}
    assert statement.public_inputs == tuple(raw[i] for i in model.layout.public.elements)
    assert statement.threshold == (raw[-1] if model.layout.output.threshold_public else None)
    assert statement.binding == BINDING
    if model.layout.weight_mode is WeightMode.POSEIDON:
        assert statement.weights == commit_weights(words_of(model.program), SECRETS.weights)
    else:
        assert statement.weights is None


@pytest.mark.parametrize(("output", "fields", "weights"), COMBINATIONS[::2])
def test_a_word_that_is_not_the_witness_s_own_breaks_the_circuit(output: str, fields: str, weights: str) -> None:
    model = made(output, fields, weights)
    witness = model.witness(inputs_of(model, RAWS[0]))
    for wire in range(1, 1 + model.circuit.public.statement):
        right = value_of(witness, wire)
        for wrong in (right + 1, 1 - right, R - 1):
            if wrong % R != right:
                assert model.broken_by(witness, wire, wrong), f"public wire {wire} may be {wrong}"


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_order_of_the_words_is_that_of_the_architecture(weights: str) -> None:
    spec = OUTPUTS["public threshold"][1]
    fields = (*FIELDS["groups"][:2], InputRange("p", 0, 4, visibility=PUBLIC))
    settings = ModelSettings(fields, spec, WEIGHTS[weights], 8, 6)
    order = compiled(classifier(2), settings).layout.order
    poseidon = ["weights"] if weights == "poseidon" else []
    assert order == ("commitment", "group 3", *poseidon, "public input", "threshold", "output", "binding")


def test_two_proofs_of_one_input_share_no_word_but_what_is_public() -> None:
    model = made("sealed", "private", "constant")
    raw = RAWS[0]
    one = model.words(model.witness(raw, SECRETS, 21))
    two = model.words(model.witness(raw, replace(SECRETS, blinding=31, output_key=32), 22))
    assert not set(one) & set(two)


def test_the_same_order_under_another_binding_seals_with_another_pad() -> None:
    model = made("sealed", "private", "constant")
    raw = RAWS[0]
    one = model.statement(raw, binding=21)
    two = model.statement(raw, binding=22)
    assert one.commitment == two.commitment
    assert not set(one.outputs) & set(two.outputs)
