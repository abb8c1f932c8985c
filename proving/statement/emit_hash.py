# SPDX-License-Identifier: GPL-3.0-or-later
"""Poseidon in a circuit: three constraints an S-box, none where its input is a constant.

Only S-boxes are wires (square, fourth and fifth power, in the order in which `permutation.permute` passes them);
between them everything is linear, so each S-box's input is a combination of the fifth powers before it. Those
combinations depend on the width alone, and are worked out once (`_template`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.constraints import forms
from proving.constraints.builder import Builder
from proving.constraints.forms import ANY_WIRE, Form
from proving.poseidon import MAX_ELEMENTS, parameters_for
from proving.sparse import Array, Sparse, exact
from proving.statement.permutation import HALF, rounds_for

Sum = dict[int, int]
"""A combination of fifth powers, by the number of the S-box; the constant under `CONSTANT`."""
CONSTANT = -1


@dataclass(frozen=True, slots=True)
class Permutation:
    """Wires of one permutation: `first + 3 j` on are S-box j's; `constant` are the elements without an S-box."""

    first: int
    constant: tuple[int, ...]


def emit_chain(builder: Builder, elements: Sequence[Form | int]) -> tuple[Form, tuple[Permutation, ...]]:
    """Constrain `permutation.chain`; return the form of its digest (one row), and the wires to fill.

    An element is a form of one row, or a constant.
    """
    digest: Form | int = 0
    permutations = []
    for start in range(0, len(elements), MAX_ELEMENTS):
        digest, permutation = _emit_permutation(builder, [digest, *elements[start : start + MAX_ELEMENTS]])
        permutations.append(permutation)
    if isinstance(digest, int):
        raise ValueError("nothing to hash")
    return digest, tuple(permutations)


def _emit_permutation(builder: Builder, state: Sequence[Form | int]) -> tuple[Form, Permutation]:
    fixed = tuple((place, each) for place, each in enumerate(state) if isinstance(each, int))
    template = _template(len(state), fixed)
    entry = rounds_for(len(state)).entry
    variable = [(each, entry[place]) for place, each in enumerate(state) if not isinstance(each, int)]
    constants = np.array([constant for _, constant in variable], dtype=object)
    first_round = forms.shift(forms.stack([each for each, _ in variable]), constants)
    count = len(variable) + template.later.rows
    wires = builder.new(3 * count)
    square, fourth, fifth = (forms.of_wires(wires[power::3]) for power in range(3))
    box = forms.stack([first_round, _placed(template.later, wires[2::3])])
    builder.constrain("poseidon square", box, box, square)
    builder.constrain("poseidon fourth", square, square, fourth)
    builder.constrain("poseidon fifth", fourth, box, fifth)
    return _placed(template.digest, wires[2::3]), Permutation(int(wires[0]), tuple(place for place, _ in fixed))


def _placed(sums: Sparse, fifth: Array) -> Form:
    """Return sums over S-boxes (column 0 the constant, column j + 1 S-box j) as forms over their wires."""
    wires = np.concatenate([np.zeros(1, dtype=np.int64), fifth])
    return Sparse(ANY_WIRE, sums.indptr, wires[sums.indices], sums.values)


@dataclass(frozen=True, slots=True, eq=False)
class _Template:
    """The inputs of all S-boxes behind the first round, and the digest, as sums over S-boxes."""

    later: Sparse
    digest: Sparse


@lru_cache(maxsize=64)
def _template(width: int, fixed: tuple[tuple[int, int], ...]) -> _Template:
    rounds = rounds_for(width)
    known = dict(fixed)
    state: list[Sum] = []
    boxes = 0
    for place in range(width):
        if place in known:
            state.append({CONSTANT: pow(known[place] + rounds.entry[place], 5, R)})
        else:
            state.append({boxes: 1})
            boxes += 1
    rows: list[Sum] = []

    def full(sums: list[Sum]) -> list[Sum]:
        """Pass the S-boxes of a full round."""
        nonlocal boxes
        rows.extend(sums)
        boxes += len(sums)
        return [{boxes - len(sums) + index: 1} for index in range(len(sums))]

    for number, (matrix, constants) in enumerate(rounds.before):
        sums = [_mixed(row, state, constant) for row, constant in zip(matrix, constants, strict=True)]
        if number < HALF - 1:
            state = full(sums)
    first, others = sums[0], sums[1:]
    for row, constant, column in rounds.partial:
        rows.append(first)
        power, boxes = boxes, boxes + 1
        first = _mixed(row, others, constant)
        first[power] = rounds.corner
        for other, factor in zip(others, column, strict=True):
            other[power] = factor
    state = full([first, *(_mixed((1,), [other], c) for other, c in zip(others, rounds.rest, strict=True))])
    for matrix, constants in rounds.after[:-1]:
        state = full([_mixed(row, state, constant) for row, constant in zip(matrix, constants, strict=True)])
    return _Template(_sparse(rows), _sparse([_mixed(parameters_for(width).matrix[0], state, 0)]))


def _mixed(row: Sequence[int], sums: Sequence[Sum], constant: int) -> Sum:
    total: Sum = {CONSTANT: constant}
    for factor, each in zip(row, sums, strict=True):
        for box, coefficient in each.items():
            total[box] = total.get(box, 0) + factor * coefficient
    return {box: value % R for box, value in total.items()}


def _sparse(sums: Sequence[Sum]) -> Sparse:
    kept = [sorted((box + 1, forms.reduced(c)) for box, c in each.items() if c) for each in sums]
    indptr = np.cumsum([0, *map(len, kept)], dtype=np.int64)
    indices = np.array([box for row in kept for box, _ in row], dtype=np.int64)
    return Sparse(ANY_WIRE, indptr, indices, exact([c for row in kept for _, c in row]))
