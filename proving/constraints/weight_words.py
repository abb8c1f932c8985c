# SPDX-License-Identifier: GPL-3.0-or-later
"""Private weights as the circuit has them: words of several weights, which the rows of a layer compute with together.

A private layer computes `z_i = sum_c v_c u_ic x_c + ..` for many rows i, and where rows multiply the same operands x_c
by the same factors v_c, one product does for all of them: with words `U_c = sum_i u_ic 2^(W i)`,

    sum_c v_c U_c x_c + ..  =  sum_i z_i 2^(W i),

which the bits of all z_i, W or fewer each, take apart again: in one way, since the sum stays below 2^240. So a
word, not a weight, is what the verifying key folds away or the commitment hashes, and what a product costs. Whoever
owns the weights could choose words that are no sums of weights in range; for any words in the field the circuit
computes one (partial) function, fixed by the commitment to them, which is all that is claimed of it.

A weight is in one word only (else the two could differ). Where ties between layers do not allow that for long words,
each weight is a word of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from proving.constraints.widths import bit_lengths, powers_of_two, sign_place
from proving.fixedpoint.bounds import Bounds, program_bounds
from proving.fixedpoint.program import Gather, Linear, Multiply, Node, Parameter, Program, Ref, sources_of
from proving.sparse import Array

WORD_BITS = 240
"""The sum of a group of rows stays below 2^240, as every number does (fixedpoint/bounds.py)."""
NO_OPERAND = -1
_POSITION = (1 << 32) - 1

Word = tuple[tuple[int, int], ...]
"""Which parameters a word holds, and at which bit: (index, place)."""


class Element(NamedTuple):
    """One element of a node's vector."""

    ref: Ref
    position: int


@dataclass(frozen=True, slots=True, eq=False)
class RowGroup:
    """Rows that are computed together, row `rows[i]` at bit `width * i`: `sum_c factors[c] words[c] operands[c]`.

    `operands` are positions in the layer's list of operands, or NO_OPERAND.
    """

    rows: Array
    words: Array
    operands: Array
    factors: Array


@dataclass(frozen=True, slots=True, eq=False)
class PrivateLayer:
    """A Linear node over products with weights.

    `lifts[r]` makes row r unsigned, `widths[r]` bits then hold it. `free` says which entries of the matrix have
    nothing to do with weights.
    """

    width: int
    lifts: Array
    widths: Array
    operands: tuple[Element, ...]
    groups: tuple[RowGroup, ...]
    free: Array


@dataclass(frozen=True, slots=True, eq=False)
class WeightPacking:
    """The words of a program, its private layers, and the nodes that are no more than a part of those."""

    words: tuple[Word, ...]
    layers: Mapping[Ref, PrivateLayer]
    absorbed: frozenset[Ref]


@lru_cache(maxsize=4)
def packing_of(program: Program) -> WeightPacking | None:
    """Return how a program's private weights are packed, None if it has none; a function of the program alone."""
    if not any(isinstance(node, Parameter) for node in program.nodes):
        return None
    bounds = program_bounds(program)
    terms = _Terms(program.nodes, [each.size for each in bounds])
    refs = terms.layers()
    rows = {ref: _unsigned(bounds[ref]) for ref in refs}
    widths = {ref: max(1, int(each[1].max())) for ref, each in rows.items()}
    widest = max(widths.values(), default=1)
    for chosen in (widths, dict.fromkeys(refs, widest), dict.fromkeys(refs, WORD_BITS)):
        words: dict[Word, int] = {}
        layers = {ref: _layer(terms.of(ref), rows[ref], chosen[ref], words) for ref in refs}
        held = [parameter for word in words for parameter, _ in word]
        if len(held) == len(set(held)):
            break
    return WeightPacking(tuple(words), layers, terms.absorbed)


def words_of(program: Program) -> tuple[int, ...]:
    """Return the words of the owner's weights, in the order of their wires."""
    packing = packing_of(program)
    if packing is None:
        return ()
    if program.parameter_values is None:
        raise ValueError("the program has private weights, but no values for them")
    return pack_words(packing.words, program.parameter_values)


def pack_words(words: Sequence[Word], parameters: Array) -> tuple[int, ...]:
    """Return each word of some (unsigned) parameters."""
    numbers = [int(each) for each in parameters]
    return tuple(sum(numbers[index] << place for index, place in word) for word in words)


def _unsigned(bounds: Bounds) -> tuple[Array, Array]:
    """Return what makes each element unsigned, such that the sign is its own bit if it has one, and the bits then."""
    negative = np.asarray(bounds.low < 0, dtype=bool)
    place = sign_place(bounds.low, bounds.high)
    lifts = np.where(negative, powers_of_two(place), 0)
    return lifts, np.where(negative, place + 1, bit_lengths(np.where(negative, 0, bounds.high)))


@dataclass(frozen=True, slots=True, eq=False)
class _Entries:
    """The entries of a layer's matrix that have weights, ordered by row, operand and factor."""

    row: Array
    parameter: Array
    operand: Array
    factor: Array
    operands: tuple[Element, ...]
    free: Array
    rows: int


class _Terms:
    """Follows weights from the Parameter node to the layers."""

    def __init__(self, nodes: Sequence[Node], sizes: Sequence[int]) -> None:
        self._nodes, self._sizes = nodes, sizes
        self._parameter: dict[Ref, Array] = {}
        self._origin: dict[Ref, Array] = {}
        for ref, node in enumerate(nodes):
            if isinstance(node, Parameter):
                self._parameter[ref] = np.arange(node.size, dtype=np.int64)
            elif isinstance(node, Gather) and any(each in self._parameter for each in node.sources):
                if not all(each in self._parameter for each in node.sources):
                    raise ValueError("a Gather mixes weights with other values")
                joined = np.concatenate([self._parameter[each] for each in node.sources])
                self._parameter[ref] = joined[node.index]
        self._products = {
            ref: node for ref, node in enumerate(nodes)
            if isinstance(node, Multiply) and (node.left in self._parameter) != (node.right in self._parameter)
        }
        self.absorbed = frozenset(self._parameter) | frozenset(self._products)
        for ref, node in enumerate(nodes):
            if ref not in self.absorbed and not isinstance(node, Linear) and set(sources_of(node)) & self.absorbed:
                raise ValueError("weights are used by something that is no layer")

    def layers(self) -> list[Ref]:
        """Return the Linear nodes that have weights."""
        return [
            ref for ref, node in enumerate(self._nodes)
            if isinstance(node, Linear) and set(node.sources) & self.absorbed
        ]

    def of(self, ref: Ref) -> _Entries:
        node = self._nodes[ref]
        assert isinstance(node, Linear)
        parameter, operand = [], []
        for source in node.sources:
            size = self._sizes[source]
            if source in self._products:
                product = self._products[source]
                weight, other = product.left, product.right
                if other in self._parameter:
                    weight, other = other, weight
                parameter.append(self._parameter[weight])
                operand.append(self._origins(other))
            else:
                parameter.append(self._parameter.get(source, np.full(size, NO_OPERAND, dtype=np.int64)))
                operand.append(np.full(size, NO_OPERAND, dtype=np.int64))
        of_column, origin = np.concatenate(parameter), np.concatenate(operand)
        found = np.unique(origin[origin != NO_OPERAND])
        x_of_column = np.where(origin == NO_OPERAND, NO_OPERAND, np.searchsorted(found, origin))
        operands = tuple(Element(int(each) >> 32, int(each) & _POSITION) for each in found)
        column, row, factor = node.matrix.indices, node.matrix.row_of_entry(), node.matrix.values
        free = of_column[column] < 0
        mine = np.flatnonzero(~free)
        row, column, factor = row[mine], column[mine], factor[mine]
        order = np.lexsort((factor, x_of_column[column], row))
        row, column, factor = row[order], column[order], factor[order]
        return _Entries(
            row, of_column[column], x_of_column[column], factor, operands, free, node.matrix.rows
        )

    def _origins(self, ref: Ref) -> Array:
        """Follow each element of a node through Gathers to where it comes from: `ref << 32 | position`."""
        if ref not in self._origin:
            node = self._nodes[ref]
            if isinstance(node, Gather):
                self._origin[ref] = np.concatenate([self._origins(each) for each in node.sources])[node.index]
            else:
                self._origin[ref] = ref << 32 | np.arange(self._sizes[ref], dtype=np.int64)
        return self._origin[ref]


def _layer(entries: _Entries, unsigned: tuple[Array, Array], width: int, words: dict[Word, int]) -> PrivateLayer:
    """Group the rows that multiply the same operands by the same factors, in their order; number new words."""
    together = max(1, WORD_BITS // width)
    starts = np.searchsorted(entries.row, np.arange(entries.rows + 1))
    alike: dict[tuple[bytes, tuple[int, ...]], list[int]] = {}
    for row in range(entries.rows):
        span = slice(int(starts[row]), int(starts[row + 1]))
        key = entries.operand[span].tobytes(), tuple(entries.factor[span].tolist())
        alike.setdefault(key, []).append(row)
    groups = []
    for rows in alike.values():
        for first in range(0, len(rows), together):
            groups.append(_group(entries, starts, rows[first : first + together], width, words))
    return PrivateLayer(width, *unsigned, entries.operands, tuple(groups), entries.free)


def _group(entries: _Entries, starts: Array, rows: list[int], width: int, words: dict[Word, int]) -> RowGroup:
    begin, end = int(starts[rows[0]]), int(starts[rows[0] + 1])
    columns = np.stack([entries.parameter[starts[row] : starts[row + 1]] for row in rows], axis=1).tolist()
    places = [width * i for i in range(len(rows))]
    numbers = [words.setdefault(tuple(zip(each, places, strict=True)), len(words)) for each in columns]
    return RowGroup(
        np.array(rows, dtype=np.int64),
        np.array(numbers, dtype=np.int64),
        entries.operand[begin:end],
        entries.factor[begin:end],
    )
