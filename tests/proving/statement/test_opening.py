# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading statements: wrong keys, wrong values and garbage end in typed refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from proving_statements import SECRETS, Compiled, classifier, compiled

from protocol.errors import CompileSettingsError, InputRangeError, ProvingError, SecretError, StatementError
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.settings import InputRange, ModelSettings, OutputSpec, Predicate, Reveal, Visibility
from proving.statement.commitment import Secrets
from proving.statement.emit import given as prover_values
from proving.statement.opening import (
    Disclosure,
    Statement,
    disclose,
    open_committed,
    open_predicate,
    open_public,
    parse,
    unseal,
)

RAW = (1, 2, 3, 4)


@cache
def made(reveal: Reveal) -> Compiled:
    chosen = Predicate.CLASS if reveal is Reveal.PREDICATE else None
    spec = OutputSpec(reveal, predicate=chosen, label="1" if chosen else None)
    fields = (InputRange("x", 0, 4, 3), InputRange("p", 0, 4, visibility=Visibility.PUBLIC))
    return compiled(classifier(3), ModelSettings(fields, spec))


def words_of(reveal: Reveal) -> list[int]:
    return made(reveal).words(made(reveal).witness(RAW))


@given(words=st.lists(st.integers(-1, R), min_size=4, max_size=4), reveal=st.sampled_from(list(Reveal)))
@settings(max_examples=100, deadline=None)
def test_garbage_is_parsed_or_refused_with_a_code(words: list[int], reveal: Reveal) -> None:
    try:
        parse(made(reveal).layout, words)
    except StatementError as error:
        assert error.code == "PM-PRV-008"


@pytest.mark.parametrize("reveal", [Reveal.PUBLIC, Reveal.PREDICATE])
def test_outputs_that_no_program_packs_are_refused(reveal: Reveal) -> None:
    words = words_of(reveal)
    parse(made(reveal).layout, words)
    for bad in (1 << 247, R - 1):
        with pytest.raises(StatementError):
            parse(made(reveal).layout, [*words[:-2], bad, words[-1]])


@pytest.mark.parametrize("change", [lambda w: w[:-1], lambda w: [*w, 0], lambda w: [*w[:-1], True], lambda w: []])
def test_words_of_another_number_or_kind_are_refused(change: object) -> None:
    with pytest.raises(StatementError):
        parse(made(Reveal.PUBLIC).layout, change(words_of(Reveal.PUBLIC)))  # type: ignore[operator]


def test_only_the_order_s_own_output_key_unseals() -> None:
    model = made(Reveal.SEALED)
    statement = model.statement(RAW)
    disclosure = disclose(model.layout, RAW, SECRETS)
    assert unseal(statement, disclosure).integers == model.revealed(RAW)
    for wrong in (
        replace(disclosure, output_key=disclosure.output_key + 1),
        replace(disclosure, left=disclosure.left + 1),
        disclose(model.layout, (0, *RAW[1:]), SECRETS),
    ):
        with pytest.raises(StatementError):
            unseal(statement, wrong)
    with pytest.raises(SecretError):
        unseal(statement, Disclosure(R, 1))


def test_a_sealed_output_whose_word_was_changed_does_not_open() -> None:
    model = made(Reveal.SEALED)
    words = words_of(Reveal.SEALED)
    changed = parse(model.layout, [*words[:-2], (words[-2] + (1 << 247)) % R, words[-1]])
    with pytest.raises(StatementError):
        unseal(changed, disclose(model.layout, RAW, SECRETS))


def test_a_committed_output_opens_to_its_own_values_only() -> None:
    model = made(Reveal.COMMITTED)
    statement, values = model.statement(RAW), model.revealed(RAW)
    assert open_committed(statement, values, SECRETS.output).integers == values
    for integers, blinding in (((values[0] + 1, *values[1:]), SECRETS.output), (values, SECRETS.output + 1)):
        with pytest.raises(StatementError):
            open_committed(statement, integers, blinding)
    with pytest.raises(InputRangeError):
        open_committed(statement, (1 << 61, *values[1:]), SECRETS.output)


def test_an_output_is_opened_in_its_own_way_only() -> None:
    disclosure = Disclosure(1, 2)
    for reveal in Reveal:
        statement = made(reveal).statement(RAW)
        openings: dict[Reveal, Callable[[Statement], object]] = {
            Reveal.PUBLIC: lambda s: open_public(s),
            Reveal.PREDICATE: lambda s: open_predicate(s),
            Reveal.SEALED: lambda s: unseal(s, disclosure),
            Reveal.COMMITTED: lambda s: open_committed(s, (), 1),
        }
        for other, opening in openings.items():
            if other is not reveal:
                with pytest.raises(StatementError):
                    opening(statement)


def test_an_opened_output_reads_as_real_numbers() -> None:
    model = made(Reveal.PUBLIC)
    output = open_public(model.statement(RAW))
    scores = model.trace(RAW).scores
    assert output.name == "scores" and output.scale == 8
    exact = [score / 2**model.program.scale_bits for score in scores]
    assert all(0 <= real - cut < 2**-8 for real, cut in zip(exact, output.reals, strict=True))


@pytest.mark.parametrize(("secrets", "binding", "refusal"), [
    (replace(SECRETS, groups=()), 16, SecretError),
    (replace(SECRETS, groups=(1, 2)), 16, SecretError),
    (SECRETS, R, ProvingError),
    (SECRETS, -1, ProvingError),
])
def test_a_witness_needs_a_blinding_for_each_group_and_a_binding_in_the_field(
    secrets: Secrets, binding: int, refusal: type[Exception]
) -> None:
    fields = (InputRange("x", 0, 4, 3), InputRange("y", 0, 4, group=1))
    model = compiled(classifier(3), ModelSettings(fields, OutputSpec(Reveal.PUBLIC)))
    assert len(prover_values(model.program, SECRETS, 16)["blindings"]) == 2
    with pytest.raises(refusal):
        prover_values(model.program, secrets, binding)


def test_what_the_words_mean_changes_the_digest() -> None:
    fields = (InputRange("x", 0, 4, 4),)
    specs = (
        OutputSpec(Reveal.PUBLIC),
        OutputSpec(Reveal.PUBLIC, score_bits=7),
        OutputSpec(Reveal.SEALED),
        OutputSpec(Reveal.COMMITTED),
        OutputSpec(Reveal.PUBLIC, target="label"),
        *(OutputSpec(Reveal.PREDICATE, predicate=Predicate.CLASS, label=each) for each in "01"),
        OutputSpec(Reveal.PREDICATE, predicate=Predicate.TOP_K, label="1", k=2),
    )
    layouts = [compiled(classifier(3), ModelSettings(fields, spec)).layout for spec in specs]
    renamed = ModelSettings((replace(fields[0], name="y"),), specs[0])
    layouts.append(compiled(classifier(3), renamed).layout)
    assert len({each.digest() for each in layouts}) == len(layouts)


def test_a_statement_with_more_words_than_a_proof_carries_is_refused() -> None:
    fields = tuple(InputRange(f"x{i}", 0, 62, 4, visibility=Visibility.PUBLIC) for i in range(65))
    spec = OutputSpec(Reveal.PREDICATE, predicate=Predicate.CLASS, label="1")
    with pytest.raises(CompileSettingsError, match="66 words"):
        compiled(classifier(3, 260), ModelSettings(fields, spec))
