# SPDX-License-Identifier: GPL-3.0-or-later
"""A chain of two models: what the first commits to is the committed input of the second, with nothing shown between."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from proving_statements import SECRETS, Compiled, classifier, compiled, dense, whole

from protocol.errors import InputRangeError
from proving.importer import graph
from proving.settings import InputRange, ModelSettings, OutputSpec, Predicate, Reveal
from proving.statement.opening import open_committed, open_predicate

RAW = (3, -1, 7, 2)


def first() -> Compiled:
    fields = (InputRange("x", -8, 5, 4),)
    return compiled(classifier(3), ModelSettings(fields, OutputSpec(Reveal.COMMITTED, score_bits=6)))


def second(field: InputRange) -> Compiled:
    """A model over the first one's scores, as a group of its own."""
    nodes = (graph.Input(3), dense((0,), [[0.5, -1.0, 0.75]], [0.25]))
    model = whole(nodes, graph.Head(1, graph.Link.SIGMOID, ("0", "1")), 3)
    spec = OutputSpec(Reveal.PREDICATE, predicate=Predicate.THRESHOLD, threshold="0.5")
    return compiled(model, ModelSettings((replace(field, group=1),), spec))


def test_the_second_proof_takes_the_first_one_s_commitment_as_its_group() -> None:
    one = first()
    made = one.statement(RAW)
    middle = open_committed(made, one.revealed(RAW), SECRETS.output)
    two = second(one.layout.output_field)
    taken = two.statement(middle.integers, replace(SECRETS, groups=(SECRETS.output,)))
    assert taken.groups == {1: made.outputs[0]}
    score = float(np.dot([0.5, -1.0, 0.75], middle.reals)) + 0.25
    assert open_predicate(taken) == (score >= 0)


def test_other_values_or_another_blinding_make_another_group() -> None:
    one = first()
    made, values = one.statement(RAW), one.revealed(RAW)
    two = second(one.layout.output_field)
    for raw, blinding in (((values[0] + 1, *values[1:]), SECRETS.output), (values, SECRETS.output + 1)):
        assert two.statement(raw, replace(SECRETS, groups=(blinding,))).groups != {1: made.outputs[0]}


def test_a_field_of_another_name_is_another_reading() -> None:
    one = first()
    two = second(replace(one.layout.output_field, name="incomes"))
    taken = two.statement(one.revealed(RAW), replace(SECRETS, groups=(SECRETS.output,)))
    assert taken.groups != {1: one.statement(RAW).outputs[0]}


def test_the_field_of_an_output_holds_every_output_and_no_more_bits() -> None:
    one = first()
    field = one.layout.output_field
    two = second(field)
    two.statement([field.high] * 3, replace(SECRETS, groups=(1,)))
    with pytest.raises(InputRangeError):
        two.trace([field.high + 1] * 3)
