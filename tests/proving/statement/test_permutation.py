# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast permutation is Poseidon's own, S-box by S-box, and so is the one in the circuit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.constraints import forms
from proving.constraints.builder import Builder
from proving.constraints.check import violated
from proving.poseidon import FULL_ROUNDS, PARTIAL_ROUNDS, poseidon, poseidon_chain
from proving.statement.emit_hash import emit_chain
from proving.statement.permutation import chain, permute


@pytest.mark.parametrize("width", [2, 3, 6, 11, 17])
def test_each_width_gives_poseidon_s_digest_and_every_power(width: int) -> None:
    state = [pow(5, 100 + place, R) for place in range(width)]
    trail: list[int] = []
    assert permute(state, trail) == poseidon(state[1:], state[0])
    assert len(trail) == 3 * (FULL_ROUNDS * width + PARTIAL_ROUNDS[width - 2])
    for square, fourth, fifth in zip(trail[::3], trail[1::3], trail[2::3], strict=True):
        assert fourth == square * square % R and fifth * fifth % R == pow(square, 5, R)


@given(elements=st.lists(st.integers(0, R - 1), min_size=1, max_size=5))
@settings(max_examples=30, deadline=None)
def test_a_chain_is_poseidon_s(elements: list[int]) -> None:
    assert chain(elements, []) == poseidon_chain(elements)


def test_a_long_chain_is_poseidon_s() -> None:
    elements = [pow(3, place, R) for place in range(18)]
    assert chain(elements, []) == poseidon_chain(elements)


@pytest.mark.parametrize("constants", [(), (0,), (1, 2), (0, 2)])
def test_the_circuit_has_one_digest_and_constants_cost_no_s_box(constants: tuple[int, ...]) -> None:
    values = [7, R - 1, 12345678901234567890]
    builder = Builder(1)
    wires = builder.new(3)
    elements = [
        values[place] if place in constants else forms.of_wires(wires[place : place + 1]) for place in range(3)
    ]
    digest, (permutation,) = emit_chain(builder, elements)
    builder.equal(digest, forms.of_wires(np.array([1])))
    system = builder.finish()
    # The capacity is a constant too.
    assert system.constraints == 3 * (8 * 4 + 56 - 1 - len(constants)) + 1
    trail: list[int] = []
    filled = [1, permute((0, *values), trail), *values]
    for place in reversed(permutation.constant):
        del trail[3 * place : 3 * place + 3]
    witness = _residues([*filled, *trail])
    assert violated(system, witness) is None
    for wire in (1, 5, 6, 7, system.wires - 1):
        broken = [*filled, *trail]
        broken[wire] += 1
        assert violated(system, _residues(broken)) is not None


def _residues(values: list[int]) -> np.ndarray:
    data = b"".join((value % R).to_bytes(32, "little") for value in values)
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, 32)


def test_nothing_to_hash_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        emit_chain(Builder(0), [])
