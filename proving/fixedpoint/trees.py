# SPDX-License-Identifier: GPL-3.0-or-later
"""Tree ensembles as program nodes: thermometers over the features, one selection an inner node.

Each threshold becomes an integer cut q of its feature, exactly: the model's float32 comparison holds for the integers
up to q and for no other (or, where a scaler turns the feature round, for those above). So every decision is the
model's own, to the bit, where the trees read the raw inputs.

All conditions come from one Thermometer. A tree's value is `yes + [x > q] * (no - yes)` from the leaves up: linear at
the parent of two leaves, a Select elsewhere. For several scores a tree may instead be walked from the root down,
one product an inner node for the indicator of each branch, which all scores share; the cheaper one is taken.
Branches that no input reaches, given the path to them and the range of the inputs, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from protocol.errors import WeightError
from proving.fixedpoint.program import Constant, Gather, Linear, Multiply, Node, Ref, Select, Thermometer
from proving.fixedpoint.tree_cuts import Cuts, Element
from proving.fixedpoint.tree_paths import Branch, reachable
from proving.importer import graph
from proving.sparse import SAFE, Array, exact, from_rows

Form = dict[tuple[Ref, int], int]
"""A linear combination: (node, element) -> coefficient; the constant under `ONE`."""
ONE = (-1, 0)


@dataclass(frozen=True, slots=True)
class LoweredTrees:
    """Nodes to append; `result` is the vector of scores, at `scale` fractional bits, at most `error` off each."""

    nodes: tuple[Node, ...]
    result: Ref
    scale: int
    error: float


def lower(
    trees: graph.Trees, elements: Sequence[Element], source: Ref, first: Ref, leaf_bits: int
) -> LoweredTrees:
    """Return the program nodes of a tree ensemble, to be appended at position `first`.

    Feature j is element j of the node `source`, and `elements[j]` says what it stands for. Leaves are rounded so that
    a score is less than 2^-leaf_bits off the real sum (selections cost the same at any width).

    Raises:
        WeightError: a leaf is too large for any scale, or a source element passes 2^62.
    """
    scale = leaf_bits + ((len(trees.trees) + 1) * (len(trees.base) + 1) // 2).bit_length()
    cuts = Cuts(trees, elements)
    leaves = _integer_leaves(trees, scale)
    grown = [reachable(tree, leaf, cuts) for tree, leaf in zip(trees.trees, leaves.weights, strict=True)]
    builder = _Builder(source, first, sorted({cut for tree in grown for cut in tree.cuts()}))
    base = leaves.base.tolist()
    scores: list[Form] = [{ONE: each} for each in base[: leaves.free]]
    for form, each in zip(scores, _sum_of_trees(builder, grown, leaves.free), strict=True):
        _add(form, each, 1)
    if leaves.free < len(base):
        last: Form = {ONE: leaves.total}
        for form in scores:
            _add(last, form, -1)
        scores.append(last)
    result = builder.linear(scores)
    return LoweredTrees(tuple(builder.nodes), result, scale, leaves.error)


@dataclass(frozen=True, slots=True)
class _Leaves:
    """`weights[tree]` is int64[leaves, free]; the score behind the `free` ones, if any, is `total` less their sum."""

    weights: list[Array]
    base: Array
    free: int
    total: int
    error: float


def _integer_leaves(trees: graph.Trees, scale: int) -> _Leaves:
    reals = [np.array(tree.leaves, dtype=np.float64) for tree in trees.trees]
    base = np.array(trees.base, dtype=np.float64)
    peak = max([float(np.abs(each).max(initial=0)) for each in (*reals, base)])
    if not peak < (SAFE >> (scale + 2)) / (len(reals) + 1):
        raise WeightError("The leaves of the tree ensemble are too large for any scale; scale the target down.")
    unit = float(1 << scale)
    # A product with a power of two is exact, and rint rounds alike everywhere.
    rounded = [np.rint(each * unit).astype(np.int64) for each in reals]
    # Each tree's least leaf moves into the base: what is selected stays small and unsigned.
    least = [each.min(axis=0) for each in rounded]
    base_rounded = np.rint(base * unit).astype(np.int64) + sum(least)
    free = len(base) - _sums_are_constant(reals, unit)
    sums = [sum(row) for row in (base.tolist(), *(each[0].tolist() for each in reals))]
    total = sum(round(Fraction(each) * (1 << scale)) for each in sums)
    roundings = len(reals) + 1
    error = roundings * (0.5 if free == len(base) else 0.5 * len(base) + 0.5) / unit
    rounded = [(each - low)[:, :free] for each, low in zip(rounded, least, strict=True)]
    return _Leaves(rounded, base_rounded, free, total, error)


def _sums_are_constant(reals: list[Array], unit: float) -> bool:
    """Say whether the scores of each tree sum to the same at every leaf (a forest's probabilities do)."""
    if not reals or reals[0].shape[1] < 2:
        return False
    for leaves in reals:
        sums = [sum(row) for row in leaves.tolist()]
        if max(sums) - min(sums) > 0.5 / unit:
            return False
    return True


class _Builder:
    """Collects nodes; conditions are elements of the one Thermometer."""

    def __init__(self, source: Ref, first: Ref, cuts: list[tuple[int, int]]) -> None:
        self._first = first
        self.nodes: list[Node] = []
        self._condition = {cut: index for index, cut in enumerate(cuts)}
        self._sizes: dict[Ref, int] = {}
        if cuts:
            columns = sorted({element for element, _ in cuts})
            gathered = self.add(Gather((source,), np.array(columns, dtype=np.int64)), len(columns))
            thresholds = tuple(tuple(q for element, q in cuts if element == each) for each in columns)
            self._thermometer = self.add(Thermometer(gathered, thresholds), len(cuts))

    def add(self, node: Node, size: int) -> Ref:
        self.nodes.append(node)
        ref = self._first + len(self.nodes) - 1
        self._sizes[ref] = size
        return ref

    def condition(self, cut: tuple[int, int]) -> Form:
        """Return the form of `[x > q]`."""
        return {(self._thermometer, self._condition[cut]): 1}

    def linear(self, forms: Sequence[Form]) -> Ref:
        """Add the vector of some forms; a Constant where nothing varies, a Gather where nothing is computed."""
        sources = sorted({ref for form in forms for ref, _ in form if ref != ONE[0]})
        bias = exact([form.get(ONE, 0) for form in forms])
        if not sources:
            return self.add(Constant(bias), len(forms))
        starts, width = {}, 0
        for ref in sources:
            starts[ref] = width
            width += self._sizes[ref]
        rows = [{starts[r] + i: c for (r, i), c in form.items() if r != ONE[0]} for form in forms]
        if not bias.any() and all(list(row.values()) == [1] for row in rows):
            index = np.array([next(iter(row)) for row in rows], dtype=np.int64)
            return self.add(Gather(tuple(sources), index), len(forms))
        return self.add(Linear(tuple(sources), from_rows(width, rows), bias), len(forms))


def _sum_of_trees(builder: _Builder, grown: list[Branch], free: int) -> list[Form]:
    scores: list[Form] = [{} for _ in range(free)]
    shared: list[Branch] = []
    single: list[Branch] = []
    for tree in grown:
        # Boosting's trees speak of one score each: the others' leaves are all 0.
        spoken = sum(any(leaf[score] for leaf in tree.leaves) for score in range(free))
        (shared if tree.selections * spoken > max(0, len(tree.splits) - 1) else single).append(tree)
    for values in (_selected(builder, single, free), _indicated(builder, shared, free)):
        for value in values:
            for form, each in zip(scores, value, strict=True):
                _add(form, each, 1)
    return scores


def _selected(builder: _Builder, grown: list[Branch], free: int) -> list[list[Form]]:
    """Return each tree's value from the leaves up; selections of one height, of all trees, are one node."""
    values: list[list[list[Form]]] = [[[{}] * free for _ in tree.splits] for tree in grown]

    def at(tree: int, position: int) -> list[Form]:
        if position < 0:
            return [{ONE: each} if each else {} for each in grown[tree].leaves[-1 - position]]
        return values[tree][position]

    for height in range(1, 1 + max((tree.height for tree in grown), default=0)):
        selections = _Selections()
        for index, tree in enumerate(grown):
            for position in tree.of_height(height):
                element, q, up_to, above = tree.splits[position]
                condition = builder.condition((element, q))
                value = list(at(index, up_to))
                for score, (low, high) in enumerate(zip(value, at(index, above), strict=True)):
                    if height == 1:
                        value[score] = _plus(low, condition, high.get(ONE, 0) - low.get(ONE, 0))
                    elif low != high:
                        selections.add(condition, high, low, value, score)
                values[index][position] = value
        selections.emit(builder)
    return [at(index, 0 if tree.splits else -1) for index, tree in enumerate(grown)]


class _Selections:
    """Selections that become one node, and where the value of each is to stand."""

    def __init__(self) -> None:
        self._conditions: list[Form] = []
        self._then: list[Form] = []
        self._otherwise: list[Form] = []
        self._places: list[tuple[list[Form], int]] = []

    def add(self, condition: Form, then: Form, otherwise: Form, value: list[Form], score: int) -> None:
        self._conditions.append(condition)
        self._then.append(then)
        self._otherwise.append(otherwise)
        self._places.append((value, score))

    def emit(self, builder: _Builder) -> None:
        if not self._places:
            return
        vectors = (builder.linear(each) for each in (self._conditions, self._then, self._otherwise))
        selected = builder.add(Select(*vectors), len(self._places))
        for number, (value, score) in enumerate(self._places):
            value[score] = {(selected, number): 1}


def _indicated(builder: _Builder, grown: list[Branch], free: int) -> list[list[Form]]:
    """Return each tree's value from the root down, by an indicator of each leaf; products of one depth are one node."""
    values: list[list[Form]] = [[{} for _ in range(free)] for _ in grown]
    level: list[tuple[int, int, Form]] = [(index, 0, {ONE: 1}) for index in range(len(grown))]
    while level:
        splits = [grown[index].splits[position] for index, position, _ in level]
        conditions = [builder.condition((element, q)) for element, q, _, _ in splits]
        if all(position == 0 for _, position, _ in level):
            products = conditions
        else:
            reached = builder.linear([form for _, _, form in level])
            product = builder.add(Multiply(reached, builder.linear(conditions)), len(level))
            products = [{(product, number): 1} for number in range(len(level))]
        following = []
        for (index, _, form), (_, _, up_to, above), high in zip(level, splits, products, strict=True):
            for position, indicator in ((above, high), (up_to, _plus(form, high, -1))):
                if position >= 0:
                    following.append((index, position, indicator))
                    continue
                for score, weight in enumerate(grown[index].leaves[-1 - position]):
                    _add(values[index][score], indicator, weight)
        level = following
    return values


def _plus(left: Form, right: Form, coefficient: int) -> Form:
    total = dict(left)
    _add(total, right, coefficient)
    return total


def _add(total: Form, form: Form, coefficient: int) -> None:
    for key, value in form.items():
        if merged := total.get(key, 0) + coefficient * value:
            total[key] = merged
        else:
            total.pop(key, None)
