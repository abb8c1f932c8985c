# SPDX-License-Identifier: GPL-3.0-or-later
"""Private weights in words: which rows share one, what that costs, and that it is one function of the words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from proving_emission import nodes_of
from proving_programs import program_of

from proving.constraints.check import violated
from proving.constraints.weight_words import WORD_BITS, packing_of, words_of
from proving.fixedpoint.program import Gather, Input, Linear, Multiply, Node, Parameter, Program, Rescale
from proving.settings import InputRange, WeightMode, WeightSpec
from proving.sparse import exact, from_rows

BITS, WIDTH = 6, 4
INPUTS = (InputRange("x", 0, WIDTH, 3),)


def dense(rows: int, source: int = 0, first: int = 0, columns: int = 3, ties: int = 0) -> list[Node]:
    """Return a layer of weights `first` on, `z = W x` with unsigned weights, behind `source`; node 1 has them."""
    pairs = [(first + (row * columns + c) % (ties or rows * columns), c) for row in range(rows) for c in range(columns)]
    base = {0: 2, 5: 6}[source]
    return [
        Gather((1,), np.array([p for p, _ in pairs])),
        Gather((source,), np.array([c for _, c in pairs])),
        Multiply(base, base + 1),
        Linear((base + 2,), from_rows(len(pairs), [
            {row * columns + c: 1 for c in range(columns)} for row in range(rows)
        ]), exact([-100] * rows)),
    ]  # fmt: skip


def network(nodes: list[Node], count: int, mode: WeightMode = WeightMode.FOLDED) -> Program:
    values = [(7 * i + 3) % (1 << BITS) for i in range(count)]
    return program_of([Input(3), Parameter(count, BITS), *nodes], INPUTS, None, WeightSpec(mode, BITS), values)


def test_rows_over_the_same_inputs_share_words_as_far_as_their_sums_fit() -> None:
    program = network(dense(40), 120)
    packing = packing_of(program)
    assert packing is not None
    layer = packing.layers[5]
    assert layer.width == 13  # -100 to 2735, and a sign
    assert [len(each.rows) for each in layer.groups] == [WORD_BITS // 13] * 2 + [4]
    assert len(packing.words) == 3 * 3
    assert packing.words[0] == tuple((3 * i, 13 * i) for i in range(18))


def test_every_weight_is_in_one_word() -> None:
    packing = packing_of(network(dense(40), 120))
    assert packing is not None
    assert sorted(parameter for word in packing.words for parameter, _ in word) == list(range(120))


def test_a_layer_costs_a_product_for_each_word_and_input_and_a_row_for_each_group() -> None:
    program = network([*dense(40), Rescale(5, 2, relu=True)], 120)
    nodes = nodes_of(program)
    assert nodes.rows_of(5) == 9 + 3 + 40 * 13
    assert nodes.rows_of(6) == 40  # its bits are there
    assert nodes.system.public == 9 + 1


def test_layers_that_share_weights_share_words() -> None:
    nodes = [*dense(2), Rescale(5, 2, relu=True)]
    again: list[Node] = [
        Gather((1,), np.array([0, 1, 2, 3, 4, 5])),
        Gather((6, 0), np.array([0, 1, 2, 0, 1, 2])),
        Multiply(7, 8),
        Linear((9,), from_rows(6, [{0: 1, 1: 1, 2: 1}, {3: 1, 4: 1, 5: 1}]), exact([0, 0])),
    ]
    packing = packing_of(network(nodes + again, 6))
    assert packing is not None
    held = [parameter for word in packing.words for parameter, _ in word]
    assert sorted(held) == sorted(set(held)) == list(range(6))


def test_ties_that_cross_rows_leave_each_weight_a_word_of_its_own() -> None:
    packing = packing_of(network(dense(4, ties=5), 5))
    assert packing is not None
    assert packing.words == tuple(((parameter, 0),) for parameter in range(5))


@pytest.mark.parametrize("mode", [WeightMode.FOLDED, WeightMode.POSEIDON])
def test_a_witness_follows_other_weights_of_the_same_circuit(mode: WeightMode) -> None:
    program = network([*dense(5), Rescale(5, 2, relu=True)], 15, mode)
    other = replace(program, parameter_values=exact([63 - i for i in range(15)]))
    nodes, same = nodes_of(program), nodes_of(other)
    assert nodes.system.constraints == same.system.constraints
    raw = [15, 0, 7]
    assert words_of(program) != words_of(other)
    for each in (nodes, replace(nodes, program=other)):
        assert violated(nodes.system, each.witness(raw)) is None
    mixed = nodes.witness(raw)
    words = nodes.free[: len(words_of(program))] if mode is WeightMode.FOLDED else ()
    for wire in words:
        changed = mixed.copy()
        changed[wire, 0] ^= 1
        assert violated(nodes.system, changed) is not None


def test_weights_outside_a_layer_are_refused() -> None:
    program = network([Gather((1,), np.array([0, 1, 2])), Multiply(0, 2), Rescale(3, 1, relu=True)], 3)
    with pytest.raises(ValueError, match="no layer"):
        packing_of(program)
