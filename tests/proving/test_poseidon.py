# SPDX-License-Identifier: GPL-3.0-or-later
"""Poseidon is circomlib's: same constants, same digests."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import groth16py
import pytest

from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.poseidon import PARTIAL_ROUNDS, parameters_for, poseidon, poseidon_chain


@lru_cache(maxsize=1)
def circomlib() -> str:
    return (Path(groth16py.circomlib_path(2)) / "poseidon_constants.circom").read_text()


def table(function: str, width: int) -> list[int]:
    """The hexadecimal numbers that a circomlib function returns for a width, in order."""
    body = circomlib().split(f"function {function}(t)")[1].split("\nfunction ")[0]
    return [int(each, 16) for each in re.findall(r"0x[0-9a-f]+", _branch(body, width))]


def _branch(body: str, width: int) -> str:
    return re.split(r"if ?\(t ?== ?\d+\)", body)[width - 1]


@pytest.mark.parametrize("width", [2, 3, 4, 5, 9, 17])
def test_matrix_is_that_of_circomlib(width: int) -> None:
    # circomlib stores the transpose: M[j][i] leads from state j to state i.
    matrix = parameters_for(width).matrix
    flat = table("POSEIDON_M", width)
    assert [matrix[i][j] for j in range(width) for i in range(width)] == flat


def circomlib_poseidon(state: list[int]) -> int:
    """circomlib's own, optimised order of operations over its own tables (poseidon.circom, PoseidonEx)."""
    t = len(state)
    c, m, p, s = (table(f"POSEIDON_{name}", t) for name in "CMPS")
    partial = PARTIAL_ROUNDS[t - 2]

    def mix(matrix: list[int], values: list[int]) -> list[int]:
        return [sum(matrix[j * t + i] * values[j] for j in range(t)) % R for i in range(t)]

    def ark(at: int, values: list[int]) -> list[int]:
        return [(value + c[at + i]) % R for i, value in enumerate(values)]

    state = ark(0, state)
    for r in range(4):
        state = mix(m if r < 3 else p, ark((r + 1) * t, [pow(x, 5, R) for x in state]))
    for r in range(partial):
        state[0] = (pow(state[0], 5, R) + c[5 * t + r]) % R
        row = s[(2 * t - 1) * r : (2 * t - 1) * (r + 1)]
        first = sum(row[i] * state[i] for i in range(t)) % R
        state = [first, *((state[i] + state[0] * row[t + i - 1]) % R for i in range(1, t))]
    for r in range(3):
        state = mix(m, ark(5 * t + partial + r * t, [pow(x, 5, R) for x in state]))
    return mix(m, [pow(x, 5, R) for x in state])[0]


@pytest.mark.parametrize("width", [2, 3, 4, 5, 9, 17])
def test_digests_are_those_of_circomlib_with_its_own_tables(width: int) -> None:
    elements = [pow(7, 100 + i, R) for i in range(width - 1)]
    assert poseidon(elements, 5) == circomlib_poseidon([5, *elements])


@pytest.mark.parametrize(
    ("elements", "digest"),
    [
        ([1], 18586133768512220936620570745912940619677854269274689475585506675881198879027),
        ([1, 2], 7853200120776062878684798364095072458815029376092732009249414926327459813530),
        (
            [1, 2, 3, 4],
            18821383157269793795438455681495246036402687001665670618754263018637548127333,
        ),
    ],
)
def test_digests_are_those_of_circomlibjs(elements: list[int], digest: int) -> None:
    assert poseidon(elements) == digest


def test_chain_of_up_to_16_elements_is_one_permutation() -> None:
    elements = list(range(16))
    assert poseidon_chain(elements) == poseidon(elements)
    assert poseidon_chain([*elements, 16]) == poseidon([16], poseidon(elements))


def test_widths_outside_the_tables_are_refused() -> None:
    with pytest.raises(ValueError, match="1 to 16"):
        poseidon([])
