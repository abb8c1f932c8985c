# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a program: thresholds exact to the integer, labels and ranks as ArgMax breaks ties, cuts downwards."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import CompileSettingsError
from proving.fixedpoint import interpreter
from proving.fixedpoint.bounds import program_bounds
from proving.fixedpoint.outputs import Scores, finish, input_size, score_threshold
from proving.fixedpoint.program import Gather, Input, Linear, Node, Program
from proving.importer.graph import Link
from proving.settings import InputRange, ModelSettings, OutputSpec, Predicate, Reveal, WeightSpec
from proving.sparse import diagonal

SCALE = 3
LOW, BITS = -40, 7
RAW_SCORES = st.integers(LOW, LOW + (1 << BITS) - 1)


def program(spec: OutputSpec, count: int, link: Link = Link.SOFTMAX, scale: int = SCALE) -> Program:
    """A program whose scores are its raw inputs."""
    settings = ModelSettings((InputRange("x", LOW, BITS, count, scale),), spec)
    labels = tuple(map(str, range(2 if link is Link.SIGMOID else count)))
    nodes: list[Node] = [Input(input_size(settings)), Gather((0,), np.arange(count))]
    # The Input node holds raw - low; scores are raw.
    nodes.append(Linear((1,), diagonal(np.ones(count, np.int64)), np.full(count, LOW, np.int64)))
    low = np.full(count, LOW, np.int64)
    scores = Scores(2, low, low + (1 << BITS) - 1, scale, link, labels)
    end = finish(settings, scores, input_node=0, first=3)
    nodes += end.nodes
    return Program(
        end.inputs, WeightSpec(), spec, tuple(nodes), 2, scale, (0,) * len(nodes), ("n",) * len(nodes),
        end.threshold, None, end.revealed,
    )


def revealed(made: Program, raw: Sequence[int]) -> tuple[int, ...]:
    assert made.revealed is not None
    found = interpreter.run(made, raw).values[made.revealed.ref]
    bounds = program_bounds(made)[made.revealed.ref]
    assert len(found) == made.revealed.count
    assert int(min(bounds.low)) >= 0 and int(max(bounds.high)) < 1 << made.revealed.bits
    return found


def predicate(kind: Predicate, **rest: object) -> OutputSpec:
    return OutputSpec(Reveal.PREDICATE, predicate=kind, **rest)  # type: ignore[arg-type]


@given(count=st.integers(2, 7), data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_label_is_the_first_of_the_largest_scores(count: int, data: st.DataObject) -> None:
    raw = data.draw(st.lists(st.integers(LOW, LOW + 3), min_size=count, max_size=count))
    made = program(OutputSpec(Reveal.PUBLIC, target="label"), count)
    assert revealed(made, raw) == (int(np.argmax(raw)),)


@given(count=st.integers(2, 7), data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_label_is_among_the_top_k_as_a_stable_sort_ranks_it(count: int, data: st.DataObject) -> None:
    raw = data.draw(st.lists(st.integers(LOW, LOW + 3), min_size=count, max_size=count))
    label, k = data.draw(st.integers(0, count - 1)), data.draw(st.integers(1, count - 1))
    top = np.argsort(-np.array(raw), kind="stable")[:k]
    made = program(predicate(Predicate.TOP_K, label=str(label), k=k), count)
    assert revealed(made, raw) == (int(label in top),)
    first = program(predicate(Predicate.CLASS, label=str(label)), count)
    assert revealed(first, raw) == (int(label == np.argmax(raw)),)


@pytest.mark.parametrize("score", [-1, 0, 1])
def test_one_logit_is_the_second_label_above_zero(score: int) -> None:
    label = program(OutputSpec(Reveal.PUBLIC, target="label"), 1, Link.SIGMOID)
    assert revealed(label, [score]) == (int(score > 0),)
    for name in "01":
        made = program(predicate(Predicate.CLASS, label=name), 1, Link.SIGMOID)
        assert revealed(made, [score]) == (int((score > 0) == (name == "1")),)


@given(score=RAW_SCORES, text=st.sampled_from(["0.5", "0.7", "0.001", "0.999", "0.25"]), at_most=st.booleans())
def test_a_probability_threshold_is_exact_for_every_score(score: int, text: str, at_most: bool) -> None:
    made = program(predicate(Predicate.THRESHOLD, threshold=text, at_most=at_most), 1, Link.SIGMOID)
    logit = np.log(float(text) / (1 - float(text)))
    expected = score / 2**SCALE <= logit if at_most else score / 2**SCALE >= logit
    assert revealed(made, [score]) == (int(expected),)


@given(score=RAW_SCORES, text=st.sampled_from(["0", "-1.3", "1.25", "5", "-0.125"]), at_most=st.booleans())
def test_a_score_threshold_is_exact_for_every_score(score: int, text: str, at_most: bool) -> None:
    spec = predicate(Predicate.THRESHOLD, threshold=text, threshold_on="score", at_most=at_most)
    real = Fraction(score, 1 << SCALE)
    expected = real <= Fraction(text) if at_most else real >= Fraction(text)
    assert revealed(program(spec, 1, Link.NONE), [score]) == (int(expected),)


@given(scores=st.tuples(RAW_SCORES, RAW_SCORES), threshold=st.sampled_from(["0.3", "0.5", "0.9"]))
def test_of_two_classes_the_threshold_speaks_of_the_second(scores: tuple[int, int], threshold: str) -> None:
    spec = predicate(Predicate.THRESHOLD, threshold=threshold)
    odds = np.log(float(threshold) / (1 - float(threshold)))
    assert revealed(program(spec, 2), scores) == (int((scores[1] - scores[0]) / 2**SCALE >= odds),)
    # A forest's scores are its probabilities.
    assert revealed(program(spec, 2, Link.NONE), scores) == (int(Fraction(scores[1], 8) >= Fraction(threshold)),)


@given(score=RAW_SCORES, data=st.data(), at_most=st.booleans(), score_bits=st.sampled_from([0, 2, 3, 5]))
@settings(max_examples=60)
def test_a_public_threshold_is_compared_at_its_own_scale(
    score: int, data: st.DataObject, at_most: bool, score_bits: int
) -> None:
    spec = predicate(Predicate.THRESHOLD, threshold_public=True, at_most=at_most, score_bits=score_bits)
    made = program(spec, 1, Link.NONE)
    field = made.inputs[-1]
    threshold = data.draw(st.integers(field.low, field.high))
    real, limit = Fraction(score, 1 << SCALE), Fraction(threshold, 1 << score_bits)
    assert revealed(made, [score, threshold]) == (int(real <= limit if at_most else real >= limit),)


def test_the_range_of_a_public_threshold_reaches_from_always_to_never() -> None:
    made = program(predicate(Predicate.THRESHOLD, threshold_public=True, score_bits=1), 1, Link.NONE)
    field, high = made.inputs[-1], LOW + (1 << BITS) - 1
    assert revealed(made, [LOW, field.low]) == (1,)
    assert revealed(made, [high, field.high]) == (0,)


@given(scores=st.lists(RAW_SCORES, min_size=2, max_size=2), score_bits=st.integers(0, 5))
def test_a_shown_score_is_cut_downwards(scores: list[int], score_bits: int) -> None:
    made = program(OutputSpec(Reveal.PUBLIC, score_bits=score_bits), 2)
    assert made.revealed is not None
    found = [each - made.revealed.offset for each in revealed(made, scores)]
    assert made.revealed.scale == min(SCALE, score_bits)
    assert found == [each >> SCALE - made.revealed.scale for each in scores]


@pytest.mark.parametrize(
    ("spec", "count", "link"),
    [
        (predicate(Predicate.CLASS, label="7"), 3, Link.SOFTMAX),
        (predicate(Predicate.TOP_K, label="1", k=3), 3, Link.SOFTMAX),
        (predicate(Predicate.THRESHOLD, threshold="0.5"), 3, Link.SOFTMAX),
        (predicate(Predicate.THRESHOLD, threshold="0.5"), 1, Link.NONE),
        (predicate(Predicate.THRESHOLD, threshold="1e5", threshold_on="score"), 1, Link.NONE),
        (predicate(Predicate.THRESHOLD, threshold="1" * 19, threshold_on="score"), 1, Link.NONE),
        (OutputSpec(Reveal.PUBLIC, target="label"), 1, Link.NONE),
        (predicate(Predicate.CLASS, label="0", target="label"), 3, Link.SOFTMAX),
    ],
)
def test_outputs_that_do_not_fit_the_scores_are_refused(spec: OutputSpec, count: int, link: Link) -> None:
    with pytest.raises(CompileSettingsError):
        program(spec, count, link)


def test_an_input_cannot_take_the_name_of_a_public_threshold() -> None:
    settings = ModelSettings(
        (InputRange("threshold", 0, 4),), predicate(Predicate.THRESHOLD, threshold_public=True)
    )
    low = np.zeros(1, np.int64)
    with pytest.raises(CompileSettingsError, match="threshold"):
        finish(settings, Scores(0, low, low + 15, 0, Link.NONE, ()), 0, 1)


@pytest.mark.parametrize("text", ["1e-999999999", "1e-19", "0", "1", "nan", "-0.5", "0." + "1" * 19, ""])
def test_a_threshold_that_is_no_short_decimal_is_refused_at_once(text: str) -> None:
    with pytest.raises(CompileSettingsError):
        predicate(Predicate.THRESHOLD, threshold=text)


def test_thresholds_at_even_odds_include_the_score_itself() -> None:
    for at_most in (False, True):
        spec = predicate(Predicate.THRESHOLD, threshold="0.5", at_most=at_most)
        assert score_threshold(spec, Link.SIGMOID, 20) == 0
