# SPDX-License-Identifier: GPL-3.0-or-later
"""Poseidon's permutation in few multiplications, with every S-box on the way: what a witness needs.

The plain permutation is proving/poseidon.py, with which this agrees. In a partial round only the first element passes
the S-box; write M = [[m, v], [w, H]] for the matrix, s for the first element and r for the others. In the basis
`r = H^(k-P) r'` of partial round k of P, a round is `s <- m y + a_k r'` and `r' <- r' + b_k y` with y = s^5,
`a_k = v H^(k-P)`, `b_k = H^(P-k-1) w`: 2t - 1 multiplications instead of t^2. The basis is entered by the matrix in
front of the partial rounds, and is the identity behind them. Constants of the others travel on to the next full round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import mul

from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.poseidon import FULL_ROUNDS, MAX_ELEMENTS, parameters_for

Row = tuple[int, ...]
Matrix = tuple[Row, ...]
HALF = FULL_ROUNDS // 2


@dataclass(frozen=True, slots=True)
class Rounds:
    """`entry` is added to the state; each full round is S-boxes, matrix, then the constants added behind it.

    `before` and `after` are the full rounds in front of and behind the partial ones; `partial` is, a round, the row
    a, the constant added to the first element behind it, and the column b; `corner` is m. `rest` is added to the
    other elements behind the partial rounds.
    """

    entry: Row
    corner: int
    before: tuple[tuple[Matrix, Row], ...]
    partial: tuple[tuple[Row, int, Row], ...]
    rest: Row
    after: tuple[tuple[Matrix, Row], ...]


def permute(state: Sequence[int], trail: list[int]) -> int:
    """Return the first element of the permuted state; append each S-box's square, fourth and fifth power to `trail`."""
    rounds = rounds_for(len(state))
    m = rounds.corner
    values = [value + constant for value, constant in zip(state, rounds.entry, strict=True)]
    values = _full(values, rounds.before, trail)
    first, others = values[0], values[1:]
    for row, constant, column in rounds.partial:
        square = first * first % R
        fourth = square * square % R
        fifth = fourth * first % R
        trail += (square, fourth, fifth)
        first = (m * fifth + sum(map(mul, row, others), constant)) % R
        # Not reduced: a sum of at most 70 products is hardly longer than one.
        others = [other + factor * fifth for other, factor in zip(others, column, strict=True)]
    values = [first, *((other + constant) % R for other, constant in zip(others, rounds.rest, strict=True))]
    return _full(values, rounds.after, trail)[0]


def chain(elements: Sequence[int], trails: list[list[int]]) -> int:
    """Return the digest of `poseidon_chain`, and append a trail for each permutation."""
    digest = 0
    for start in range(0, len(elements), MAX_ELEMENTS):
        trails.append([])
        digest = permute((digest, *elements[start : start + MAX_ELEMENTS]), trails[-1])
    return digest


def _full(values: list[int], rounds: tuple[tuple[Matrix, Row], ...], trail: list[int]) -> list[int]:
    for matrix, constants in rounds:
        powers = []
        for value in values:
            square = value * value % R
            fourth = square * square % R
            fifth = fourth * value % R
            trail += (square, fourth, fifth)
            powers.append(fifth)
        values = [
            (sum(map(mul, row, powers)) + constant) % R for row, constant in zip(matrix, constants, strict=True)
        ]
    return values


@lru_cache(maxsize=16)
def rounds_for(width: int) -> Rounds:
    """Return the rounds of a state of `width` elements, 2 to 17."""
    parameters = parameters_for(width)
    constants, matrix, count = parameters.constants, parameters.matrix, parameters.partial_rounds
    m, v = matrix[0][0], matrix[0][1:]
    w, h = tuple(row[0] for row in matrix[1:]), tuple(row[1:] for row in matrix[1:])
    zero = (0,) * width
    into = [_identity(width - 1)]
    columns = [w]
    for _ in range(count):
        into.append(_product(into[-1], h))
        columns.append(_times(h, columns[-1]))
    inverse = _inverse(into[count])
    rows = [_row_times(v, inverse)]
    for _ in range(count - 1):
        rows.append(_row_times(rows[-1], h))
    offset: Row = (0,) * (width - 1)
    partial = []
    for k in range(count):
        here = constants[HALF + k][1:]
        moved = tuple((a + b) % R for a, b in zip(offset, here, strict=True))
        following = constants[HALF + k + 1][0]
        partial.append((rows[k], (_dot(v, moved) + following) % R, columns[count - 1 - k]))
        offset = _times(h, moved)
    behind = HALF + count
    rest = tuple((a + b) % R for a, b in zip(offset, constants[behind][1:], strict=True))
    lifted = (matrix[0], *_product(into[count], matrix[1:]))
    before = [(matrix, constants[k + 1]) for k in range(HALF - 1)]
    before.append((lifted, (constants[HALF][0], *(0,) * (width - 1))))
    after = [(matrix, constants[behind + k + 1] if k + 1 < HALF else zero) for k in range(HALF)]
    return Rounds(constants[0], m, tuple(before), tuple(partial), rest, tuple(after))


def _identity(size: int) -> Matrix:
    return tuple(tuple(int(i == j) for j in range(size)) for i in range(size))


def _dot(left: Row, right: Row) -> int:
    total: int = sum(map(mul, left, right))
    return total % R


def _times(matrix: Matrix, vector: Row) -> Row:
    return tuple(_dot(row, vector) for row in matrix)


def _row_times(vector: Row, matrix: Matrix) -> Row:
    return tuple(_dot(vector, column) for column in zip(*matrix, strict=True))


def _product(left: Matrix, right: Matrix) -> Matrix:
    columns = tuple(zip(*right, strict=True))
    return tuple(tuple(_dot(row, column) for column in columns) for row in left)


def _inverse(matrix: Matrix) -> Matrix:
    """Gauss-Jordan over the field; Poseidon's matrices are invertible."""
    size = len(matrix)
    rows = [[*row, *unit] for row, unit in zip(matrix, _identity(size), strict=True)]
    for column in range(size):
        pivot = next(index for index in range(column, size) if rows[index][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        scale = pow(rows[column][column], -1, R)
        rows[column] = [value * scale % R for value in rows[column]]
        for index in range(size):
            if index != column and (factor := rows[index][column]):
                rows[index] = [(a - factor * b) % R for a, b in zip(rows[index], rows[column], strict=True)]
    return tuple(tuple(row[size:]) for row in rows)
