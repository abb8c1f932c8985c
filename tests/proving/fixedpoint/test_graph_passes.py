# SPDX-License-Identifier: GPL-3.0-or-later
"""Passes over graphs and programs change what a circuit costs, not what it computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from proving_graph_eval import scores
from proving_graphs import dense, fixed_and_real, graph_of, random_rows, settings

from proving.fixedpoint.cost import total_cost
from proving.fixedpoint.passes.affine_chains import fused
from proving.fixedpoint.passes.dead import without_dead_nodes
from proving.fixedpoint.passes.reading import without_unread_rows
from proving.fixedpoint.program import Parameter, Rescale
from proving.fixedpoint.quantise import quantise
from proving.importer.graph import Gather, Graph, Input, Linear, Node, Relu
from proving.settings import InputRange, WeightMode, WeightSpec

CHOSEN = settings(InputRange("x", -64, 7, 6, scale=5))
RNG = np.random.default_rng(5)
FIRST = dense(RNG.normal(size=(5, 6)), RNG.normal(size=5), 0)


def _second(*sources: int, width: int = 5, rows: int = 4) -> Linear:
    rng = np.random.default_rng(width)
    return dense(rng.normal(size=(rows, width)), rng.normal(size=rows), *sources)


def _same(one: Graph, other: Graph) -> bool:
    rows = random_rows(CHOSEN, 20) / 32.0
    return all(np.allclose(scores(one, row), scores(other, row), rtol=0, atol=1e-12) for row in rows)


CHAINS: dict[str, list[Node]] = {
    "two layers": [Input(6), FIRST, _second(1), Relu(2)],
    "a gather between": [Input(6), FIRST, Gather((1, 0), np.array([4, 0, 0, 2, 5, 6])), _second(2, width=6), Relu(3)],
    "three layers": [Input(6), FIRST, _second(1), _second(2, width=4), Relu(3)],
    "the input twice": [Input(6), FIRST, _second(0, 1, width=11), Relu(2)],
}


@pytest.mark.parametrize("nodes", CHAINS.values(), ids=CHAINS.keys())
def test_a_chain_of_maps_is_one_map_and_adds_its_bits_once(nodes: list[Node]) -> None:
    graph = graph_of(nodes)
    made = replace(graph, nodes=fused(graph.nodes, graph.head.scores))
    assert _same(graph, made)
    last = made.nodes[-2]
    assert isinstance(last, Linear) and set(last.sources) == {0}
    program, fixed, real = fixed_and_real(graph, CHOSEN, random_rows(CHOSEN, 50))
    # The 7 bits of an input and the 8 of one map's weights, down to 8.
    assert next(each.shift for each in program.nodes if isinstance(each, Rescale)) == 7 + 8 - 8
    assert np.abs(fixed - real).max() < 0.1


def test_a_map_that_others_read_too_stays_apart() -> None:
    graph = graph_of([Input(6), FIRST, Relu(1), _second(1, 2, width=10)])
    made = fused(graph.nodes, graph.head.scores)
    assert made == graph.nodes


def test_a_bottleneck_stays_two_maps() -> None:
    rng = np.random.default_rng(0)
    narrow = dense(rng.normal(size=(2, 300)), np.zeros(2), 0)
    wide = dense(rng.normal(size=(300, 2)), np.zeros(300), 1)
    graph = graph_of([Input(300), narrow, wide])
    assert fused(graph.nodes, 2) == graph.nodes


def test_sums_of_whole_numbers_cost_nothing_and_stay() -> None:
    graph = graph_of([Input(6), FIRST, dense(np.ones((1, 5)), [0], 1, trained=False)])
    assert fused(graph.nodes, 2) == graph.nodes


@pytest.mark.parametrize("order", [[1], [3, 1, 1]])
def test_rows_that_nobody_reads_are_no_parameters(order: list[int]) -> None:
    tied = replace(FIRST, tied=np.arange(30), bias_tied=np.arange(5))
    graph = graph_of([Input(6), tied, Gather((0, 1), np.array([0, *(6 + each for each in order)])), Relu(2)])
    made = replace(graph, nodes=without_unread_rows(graph.nodes, 3))
    assert _same(graph, made)
    chosen = replace(CHOSEN, weights=WeightSpec(WeightMode.FOLDED, 12))
    (parameter,) = (each for each in quantise(graph, chosen).nodes if isinstance(each, Parameter))
    rows = len(set(order))
    assert parameter.size == rows * (6 + 2)
    fixed_and_real(graph, chosen, random_rows(CHOSEN, 10))


def test_what_is_read_whole_is_left_as_it_is() -> None:
    nodes: list[Node] = [Input(6), FIRST, Gather((1,), np.array([1])), Relu(1), _second(3, 2, width=6)]
    assert without_unread_rows(nodes, 4) == tuple(nodes)


def test_what_nothing_uses_is_no_part_of_a_program() -> None:
    graph = graph_of([Input(6), FIRST, _second(1), Relu(1), Relu(2)], scores=3)
    program = quantise(graph, CHOSEN)
    alone = quantise(graph_of([Input(6), FIRST, Relu(1)]), CHOSEN)
    assert len(program.nodes) == len(alone.nodes) and total_cost(program) == total_cost(alone)
    assert len(without_dead_nodes(program).nodes) == len(program.nodes)
