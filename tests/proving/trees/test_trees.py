# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees as program nodes: each decision is that of float32, whatever the trees, ranges, scalers and encodings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import InputRangeError, WeightError
from proving.fixedpoint import interpreter
from proving.fixedpoint.float32_order import numbers, places
from proving.fixedpoint.program import Input, Multiply, Program, Select, Thermometer
from proving.fixedpoint.quantise import quantise
from proving.fixedpoint.tree_cuts import Element
from proving.fixedpoint.trees import lower
from proving.importer import graph
from proving.settings import Encoding, InputRange, ModelSettings, OutputSpec, Reveal, WeightSpec
from proving.sparse import from_rows

FEATURES = 3
FLOATS = st.floats(width=32, allow_nan=False)
NUMBERS = st.one_of(st.floats(-40, 40, width=32), st.integers(-40, 40).map(float))


@st.composite
def tree(draw: st.DrawFn, scores: int, thresholds: st.SearchStrategy[float]) -> graph.Tree:
    """A random tree; leaves are multiples of 1/8, so that every sum is exact."""
    splits: list[graph.Split] = []
    leaves: list[tuple[float, ...]] = []

    def grow(depth: int) -> int:
        if depth == 0 or draw(st.integers(0, 3)) == 0:
            leaves.append(tuple(draw(st.integers(-40, 40)) / 8 for _ in range(scores)))
            return -len(leaves)
        place = len(splits)
        splits.append(graph.Split(0, 0.0, False, 0, 0))
        feature, strict = draw(st.integers(0, FEATURES - 1)), draw(st.booleans())
        threshold = draw(thresholds)
        splits[place] = graph.Split(feature, threshold, strict, grow(depth - 1), grow(depth - 1))
        return place

    grow(4)
    return graph.Tree(tuple(splits), tuple(leaves))


@st.composite
def ensembles(draw: st.DrawFn, thresholds: st.SearchStrategy[float]) -> graph.Trees:
    scores = draw(st.integers(1, 4))
    count = draw(st.integers(0, 4))
    trees = tuple(draw(tree(scores, thresholds)) for _ in range(count))
    base = tuple(draw(st.integers(-40, 40)) / 8 for _ in range(scores))
    scaler = None
    if draw(st.booleans()):
        offset = np.array([draw(NUMBERS) for _ in range(FEATURES)])
        scaler = graph.Scaler(offset, np.array([draw(NUMBERS) for _ in range(FEATURES)]))
    return graph.Trees(0, base, trees, scaler)


def model_says(trees: graph.Trees, features: np.ndarray) -> list[float]:
    """The model in float32, walked node by node."""
    values = features.astype(np.float32)
    if trees.scaler is not None:
        with np.errstate(all="ignore"):
            shifted = values - trees.scaler.offset.astype(np.float32)
            values = shifted * trees.scaler.scale.astype(np.float32)
    scores = list(trees.base)
    for each in trees.trees:
        position = 0 if each.splits else -1
        while position >= 0:
            split = each.splits[position]
            value, threshold = values[split.feature], np.float32(split.threshold)
            position = split.yes if (value < threshold if split.strict else value <= threshold) else split.no
        scores = [score + leaf for score, leaf in zip(scores, each.leaves[-1 - position], strict=True)]
    return scores


def program(trees: graph.Trees, fields: tuple[InputRange, ...], leaf_bits: int = 8) -> tuple[Program, float]:
    size = sum(each.count for each in fields)
    elements = [Element(0, f.high - f.low, f.low, f.scale, f.encoding) for f in fields for _ in range(f.count)]
    lowered = lower(trees, elements, 0, 1, leaf_bits)
    nodes = (Input(size), *lowered.nodes)
    same = (0,) * len(nodes)
    spec = OutputSpec(Reveal.PUBLIC)
    made = Program(fields, WeightSpec(), spec, nodes, lowered.result, lowered.scale, same, ("n",) * len(nodes))
    return made, lowered.error


def scores_of(made: Program, raw: Sequence[int]) -> list[float]:
    return [each / 2**made.scale_bits for each in interpreter.run(made, raw).scores]


@given(trees=ensembles(NUMBERS), scale=st.integers(0, 6), data=st.data())
@settings(max_examples=120, deadline=None)
def test_on_integers_every_decision_is_that_of_float32(trees: graph.Trees, scale: int, data: st.DataObject) -> None:
    low, bits = data.draw(st.integers(-3000, 3000)), data.draw(st.integers(1, 12))
    fields = (InputRange("x", low, bits, FEATURES, scale),)
    made, _ = program(trees, fields)
    for _ in range(4):
        raw = data.draw(st.lists(st.integers(low, fields[0].high), min_size=FEATURES, max_size=FEATURES))
        assert scores_of(made, raw) == model_says(trees, np.array(raw) / 2**scale)


@given(trees=ensembles(FLOATS), data=st.data())
@settings(max_examples=120, deadline=None)
def test_on_float32_places_every_decision_is_that_of_float32(trees: graph.Trees, data: st.DataObject) -> None:
    made, _ = program(trees, (InputRange("x", 0, 32, FEATURES, encoding=Encoding.FLOAT32),))
    thresholds = [split.threshold for each in trees.trees for split in each.splits]
    # Values on a threshold, and next to it, are where a comparison can go wrong.
    near = st.sampled_from(thresholds).map(np.float32) if thresholds else FLOATS.map(np.float32)
    one = st.one_of(FLOATS.map(np.float32), near, near.map(lambda x: np.nextafter(x, np.float32(0))))
    for _ in range(4):
        features = np.array(data.draw(st.lists(one, min_size=FEATURES, max_size=FEATURES)), dtype=np.float32)
        if trees.scaler is None or np.isfinite(features).all():
            assert scores_of(made, places(features).tolist()) == model_says(trees, features)


@given(st.lists(FLOATS, min_size=2, max_size=2))
def test_places_keep_the_order_and_come_back(pair: list[float]) -> None:
    left, right = np.array(pair, dtype=np.float32)
    a, b = places(np.array(pair)).tolist()
    assert (a < b) == (left < right) or (left == right == 0)
    assert numbers(places(np.array(pair))).tobytes() == np.array(pair, dtype=np.float32).tobytes()


def test_what_is_no_number_is_refused_and_its_places_lie_beyond_the_infinities() -> None:
    with pytest.raises(InputRangeError):
        places(np.array([np.nan]))
    assert numbers(np.array([0, (1 << 32) - 1])).tolist() == [-np.inf, np.inf]
    every = numbers(np.arange(0, 1 << 32, 65521))
    assert bool(np.all(every[1:] >= every[:-1]))


def test_large_integers_reach_float32_in_one_rounding() -> None:
    # 2^54 + 2^30 + 1 lies just above the middle of two float32 numbers; by way of a float64 it would round down.
    raw = (1 << 54) + (1 << 30) + 1
    split = graph.Split(0, float(np.float32(1 << 54)), False, -1, -2)
    trees = graph.Trees(0, (0.0,), (graph.Tree((split,), ((1.0,), (2.0,))),))
    made, _ = program(trees, (InputRange("x", 0, 62),))
    assert scores_of(made, [raw]) == [2.0]
    assert scores_of(made, [raw - 1]) == [1.0]


def nodes_of(made: Program, kind: type) -> list[object]:
    return [each for each in made.nodes if isinstance(each, kind)]


def chain(depth: int, feature: int = 0) -> graph.Tree:
    """A tree that goes `no` at every split: x <= 0, x <= 1, ..."""
    splits = tuple(
        graph.Split(feature, float(place), False, -1 - place, place + 1 if place + 1 < depth else -1 - depth)
        for place in range(depth)
    )
    return graph.Tree(splits, tuple((float(each),) for each in range(depth + 1)))


def test_branches_that_no_input_reaches_are_left_out() -> None:
    trees = graph.Trees(0, (0.0,), (chain(12),))
    made, _ = program(trees, (InputRange("x", 0, 3),))
    (thermometer,) = nodes_of(made, Thermometer)
    assert isinstance(thermometer, Thermometer)
    # 0 to 7: the split at 7 and all behind it have one outcome.
    assert thermometer.thresholds == (tuple(range(7)),)
    assert [scores_of(made, [x]) for x in range(8)] == [[float(x)] for x in range(8)]


def test_a_split_that_the_path_has_decided_costs_nothing() -> None:
    inner = graph.Split(0, 5.0, False, -2, -3)
    tree = graph.Tree((graph.Split(0, 2.0, False, -1, 1), inner), ((1.0,), (2.0,), (3.0,)))
    again = replace(tree, splits=(graph.Split(0, 2.0, False, 1, -1), inner))
    made, _ = program(graph.Trees(0, (0.0,), (tree, again)), (InputRange("x", 0, 3),))
    # In the second tree x <= 2 has decided x <= 5.
    (thermometer,) = nodes_of(made, Thermometer)
    assert isinstance(thermometer, Thermometer) and thermometer.thresholds == ((2, 5),)
    assert len(nodes_of(made, Select)) == 1


def test_a_deep_tree_needs_no_recursion() -> None:
    made, _ = program(graph.Trees(0, (0.0,), (chain(1500),)), (InputRange("x", 0, 11),))
    assert scores_of(made, [1200]) == [1200.0]


def test_equal_leaves_are_one() -> None:
    tree = graph.Tree((graph.Split(0, 1.0, False, -1, -2),), ((5.0,), (5.0,)))
    made, _ = program(graph.Trees(0, (0.5,), (tree,)), (InputRange("x", 0, 3),))
    assert not nodes_of(made, Thermometer) and scores_of(made, [3]) == [5.5]


@pytest.mark.parametrize("scores", [1, 2, 3, 9])
def test_selections_are_shared_between_scores_where_that_is_cheaper(scores: int) -> None:
    generator = np.random.default_rng(3)
    # A full tree of depth 4: children of split i are 2i + 1 and 2i + 2, positions from 15 on are leaves.
    child = [place if place < 15 else 14 - place for place in range(31)]
    splits = tuple(graph.Split(i % 3, float(i), False, child[2 * i + 1], child[2 * i + 2]) for i in range(15))
    probabilities = generator.dirichlet(np.ones(scores), 16) if scores > 1 else generator.random((16, 1))
    tree = graph.Tree(splits, tuple(map(tuple, probabilities.tolist())))
    made, error = program(graph.Trees(0, (0.0,) * scores, (tree,)), (InputRange("x", 0, 5, 3),), 12)
    chosen = sum(len(interpreter.run(made, [1, 2, 3]).values[ref])
                 for ref, each in enumerate(made.nodes) if isinstance(each, Select | Multiply))
    # Probabilities add up to 1, so one class follows from the others; a tree of 15 splits has 8 parents of two leaves.
    assert chosen <= min(7 * max(1, scores - 1), 14)
    for raw in ([0, 0, 0], [31, 31, 31], [4, 9, 14]):
        exact = model_says(graph.Trees(0, (0.0,) * scores, (tree,)), np.array(raw, dtype=np.float32))
        assert max(abs(a - b) for a, b in zip(scores_of(made, raw), exact, strict=True)) <= error < 2**-11


def test_trees_that_speak_of_one_score_each_cost_what_one_score_costs() -> None:
    # Boosting of several classes: each tree has leaves for its class alone.
    child = [place if place < 7 else 6 - place for place in range(15)]
    splits = tuple(graph.Split(i % 3, float(i), False, child[2 * i + 1], child[2 * i + 2]) for i in range(7))
    leaves = [tuple(float(leaf + 1) if score == 1 else 0.0 for score in range(3)) for leaf in range(8)]
    trees = graph.Trees(0, (0.0, 0.0, 0.0), (graph.Tree(splits, tuple(leaves)),))
    made, _ = program(trees, (InputRange("x", 0, 3, 3),))
    assert not nodes_of(made, Multiply)
    values = interpreter.run(made, [0, 0, 0]).values
    assert sum(len(values[ref]) for ref, each in enumerate(made.nodes) if isinstance(each, Select)) == 3
    for raw in ([0, 0, 0], [7, 7, 7], [0, 2, 5], [3, 0, 7]):
        assert scores_of(made, raw) == model_says(trees, np.array(raw, dtype=np.float32))


def test_leaves_beyond_every_scale_are_refused() -> None:
    tree = graph.Tree((graph.Split(0, 1.0, False, -1, -2),), ((2.0**60,), (0.0,)))
    with pytest.raises(WeightError):
        program(graph.Trees(0, (0.0,), (tree,)), (InputRange("x", 0, 3),))



@given(raw=st.lists(st.integers(-100, 100), min_size=2, max_size=2))
@settings(deadline=None)
def test_behind_a_layer_the_quantised_value_is_compared(raw: list[int]) -> None:
    layer = graph.Linear(
        (0,), from_rows(2, [{0: 0.3, 1: -0.7}, {0: 1.1}], np.float64), np.array([0.2, -5.0]), trained=True
    )
    tree = graph.Tree(
        (graph.Split(0, 1.5, False, -1, 1), graph.Split(1, 0.25, True, -2, -3)), ((1.0,), (2.0,), (4.0,))
    )
    nodes = (graph.Input(2), layer, graph.Trees(1, (0.0,), (tree,)))
    model = graph.Graph(nodes, graph.Head(2, graph.Link.NONE, ()), (), ("x",), ((1, 2),))
    spec = OutputSpec(Reveal.PUBLIC)
    made = quantise(model, ModelSettings((InputRange("x", -128, 8, 2),), spec, fractional_bits=12, weight_bits=12))
    first, second = 0.3 * raw[0] - 0.7 * raw[1] + 0.2, 1.1 * raw[0] - 5.0
    if min(abs(first - 1.5), abs(second - 0.25)) > 0.02:
        assert scores_of(made, raw) == [1.0 if first <= 1.5 else 2.0 if second < 0.25 else 4.0]
