# SPDX-License-Identifier: GPL-3.0-or-later
"""Layers of private weights: words times operands, and one row that splits the sum into the bits of many rows.

Why the split is unique, and what a word is: proving/constraints/weight_words.py. Costs a product for each word and
operand of a group of rows, a row for the group, and each row's bits; a ReLU behind it finds those bits there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from proving.constraints import forms
from proving.constraints.emission import Emission
from proving.constraints.forms import Form
from proving.constraints.weight_words import NO_OPERAND, PrivateLayer, RowGroup
from proving.constraints.witness import Given, Reading, Run
from proving.fixedpoint.program import Linear, Ref
from proving.sparse import Array, Sparse, exact, from_entries

WEIGHTS = "weights"
"""The name of the words among what a prover is given, and last their blinding."""


def word_wires(emission: Emission, count: int, folded: Array | None) -> Array:
    """Return the wires of the words; `folded` are the public ones of words and blinding, None if they are private."""
    builder = emission.builder
    if folded is not None:
        builder.free.extend(folded.tolist())
        builder.steps.append(Given(int(folded[0]), WEIGHTS))
        return folded[:count]
    wires = builder.new(count)
    builder.free.extend(wires.tolist())
    builder.steps.append(Words(int(wires[0]), count))
    return wires


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """Wires from `first` on are the `count` words of the weights."""

    first: int
    count: int

    def fill(self, run: Run) -> None:
        run.put_integers(self.first, run.given[WEIGHTS][: self.count])


@dataclass(frozen=True, slots=True, eq=False)
class WordProducts:
    """Wires from `first` on are a word each times an element of the trace.

    The elements are positions in the concatenated vectors of `refs`.
    """

    first: int
    words: Array
    refs: tuple[Ref, ...]
    positions: Array

    def fill(self, run: Run) -> None:
        given = run.given[WEIGHTS]
        operands = np.concatenate([run.trace[ref] for ref in self.refs])[self.positions]
        pairs = zip(self.words.tolist(), operands.tolist(), strict=True)
        run.put_integers(self.first, [given[word] * operand for word, operand in pairs])


def private_layer(emission: Emission, ref: Ref, node: Linear, layer: PrivateLayer, words: Array) -> Form:
    """A Linear node that has weights; `words` are the wires of all words."""
    builder = emission.builder
    packed = _weighted(emission, layer, words)
    # The rest of each row: what has no weights, the constant, and what makes it unsigned.
    sources = forms.stack([_rows_of(emission, each) for each in node.sources])
    rest = forms.compose(_only(node.matrix, layer.free), sources, exact(node.bias.astype(object) + layer.lifts))
    together = _places(layer)
    bits = builder.bits(layer.widths)
    emission.fill_bits(bits, Reading(ref, None, exact(layer.lifts)))
    value = bits.value()
    builder.equal(
        forms.add(packed, forms.compose(together, rest)), forms.compose(together, value), "unpack"
    )
    return forms.shift(value, exact(-layer.lifts.astype(object)))


def _rows_of(emission: Emission, ref: Ref) -> Form:
    """Return a source's form; what is absorbed into words has none, and no free entry refers to it."""
    size = len(emission.low(ref))
    return emission.values[ref] if emission.values[ref].rows == size else forms.nothing(size)


def _weighted(emission: Emission, layer: PrivateLayer, words: Array) -> Form:
    """Return per group of rows `sum_c factor_c word_c operand_c`; a word and an operand are multiplied once."""
    count = len(layer.operands)
    word = np.concatenate([each.words for each in layer.groups])
    operand = np.concatenate([each.operands for each in layer.groups])
    factor = np.concatenate([each.factors for each in layer.groups])
    group = np.repeat(np.arange(len(layer.groups), dtype=np.int64), [len(each.words) for each in layer.groups])
    column = words[word]
    multiplied = np.flatnonzero(operand != NO_OPERAND)
    if len(multiplied):
        pairs, place = np.unique(word[multiplied] * count + operand[multiplied], return_inverse=True)
        column = column.copy()
        column[multiplied] = _products(emission, layer, words, pairs // count, pairs % count)[place]
    return forms.collect(len(layer.groups), group, column, factor)


def _products(emission: Emission, layer: PrivateLayer, words: Array, word: Array, operand: Array) -> Array:
    used = [layer.operands[each] for each in operand.tolist()]
    by_ref: dict[Ref, list[int]] = {}
    for place, element in enumerate(used):
        by_ref.setdefault(element.ref, []).append(place)
    parts = [
        (np.array(places, dtype=np.int64), emission.factor(ref, np.array([used[each].position for each in places])))
        for ref, places in by_ref.items()
    ]
    wires = emission.builder.product(forms.of_wires(words[word]), forms.scatter(len(used), parts))
    refs = tuple(by_ref)
    starts = dict(zip(refs, np.cumsum([0, *(len(emission.low(ref)) for ref in refs)]).tolist(), strict=False))
    positions = np.array([starts[each.ref] + each.position for each in used], dtype=np.int64)
    emission.builder.steps.append(WordProducts(int(wires[0]), word, refs, positions))
    return wires


def _only(matrix: Sparse, entries: Array) -> Sparse:
    kept = np.flatnonzero(entries)
    return from_entries(
        matrix.rows, matrix.width, matrix.row_of_entry()[kept], matrix.indices[kept], matrix.values[kept]
    )


def _places(layer: PrivateLayer) -> Sparse:
    """Return the matrix that adds up the rows of each group, each at its place."""
    groups: tuple[RowGroup, ...] = layer.groups
    row = np.repeat(np.arange(len(groups), dtype=np.int64), [len(each.rows) for each in groups])
    column = np.concatenate([each.rows for each in groups])
    powers = [1 << layer.width * place for each in groups for place in range(len(each.rows))]
    return from_entries(len(groups), len(layer.lifts), row, column, exact(powers))
