# SPDX-License-Identifier: GPL-3.0-or-later
"""Tree ensembles of ai.onnx.ml: flat node tables become trees, thresholds stay the float32 values they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from protocol.errors import ModelTooLargeError, WeightError
from proving.importer.call import Call, Rules
from proving.importer.graph import Split, Tree, Trees
from proving.importer.limits import MAX_SPLITS
from proving.importer.node import Node
from proving.importer.operators.classical import rows_of
from proving.importer.operators.classifiers import class_labels, many_scores, one_score
from proving.importer.reader import fixed as read_tensor
from proving.importer.values import Elements, Value, Variable

LEAF = "LEAF"
MODES = frozenset({"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", LEAF})

Key = tuple[int, int]
"""A tree's and a node's number."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One node of the file."""

    mode: str
    feature: int
    value: float
    yes: Key
    no: Key


def _numbers(node: Node, name: str) -> tuple[float, ...]:
    """Return an attribute that may be floats or a tensor."""
    if (tensor := node.tensor(f"{name}_as_tensor")) is not None:
        return tuple(read_tensor(tensor).numbers.reshape(-1).tolist())
    return node.numbers(name)


def _rows(node: Node) -> tuple[list[int], dict[Key, _Row]]:
    """Return the numbers of the trees, and all nodes."""
    columns: list[Sequence[Any]] = [
        node.integers("nodes_treeids"), node.integers("nodes_nodeids"), node.texts("nodes_modes"),
        node.integers("nodes_featureids"), _numbers(node, "nodes_values"),
        node.integers("nodes_truenodeids"), node.integers("nodes_falsenodeids"),
    ]
    if not columns[0] or len({len(each) for each in columns}) != 1:
        raise node.malformed("has node tables of different lengths")
    if len(columns[0]) > 2 * MAX_SPLITS:
        raise ModelTooLargeError(f"{node.title} has more than {MAX_SPLITS} splits.")
    found: dict[Key, _Row] = {}
    for tree, number, mode, feature, value, yes, no in zip(*columns, strict=True):
        if mode not in MODES:
            raise node.unsupported(f"has nodes of mode {mode:.20}, which is not supported")
        if (tree, number) in found:
            raise node.malformed(f"names node {number} of tree {tree} twice")
        found[tree, number] = _Row(mode, feature, value, (tree, yes), (tree, no))
    return list(dict.fromkeys(columns[0])), found


def _roots(node: Node, trees: list[int], rows: dict[Key, _Row]) -> list[Key]:
    """Return each tree's one node that is nobody's child."""
    children: set[Key] = set()
    for row in rows.values():
        if row.mode != LEAF:
            children.update((row.yes, row.no))
    roots = [key for key in rows if key not in children]
    if [tree for tree, _ in roots] != trees and sorted(tree for tree, _ in roots) != sorted(trees):
        raise node.malformed("has a tree without exactly one root")
    return roots


def build_tree(node: Node, root: Key, rows: dict[Key, _Row], leaves: dict[Key, tuple[float, ...]],
               nothing: tuple[float, ...], width: int, seen: set[Key]) -> Tree:
    """Return one tree, splits in preorder; an equality becomes two splits that share a child.

    `seen` collects the nodes of all trees: none is reached twice.
    """
    splits: list[Any] = []
    outcomes: list[tuple[float, ...]] = []
    # A task is a node and the places (split, side) that point to it.
    pending: list[tuple[Key, list[tuple[int, str]]]] = [(root, [])]
    while pending:
        key, parents = pending.pop()
        row = rows.get(key)
        if row is None or key in seen:
            raise node.malformed(f"has a child {key[1]} in tree {key[0]} that is missing or shared")
        seen.add(key)
        if row.mode == LEAF:
            place = -1 - len(outcomes)
            outcomes.append(leaves.get(key, nothing))
        else:
            if not 0 <= row.feature < width:
                raise node.malformed(f"splits on feature {row.feature}; there are {width}")
            if not math.isfinite(row.value):
                raise WeightError(f"{node.title} has a threshold that is NaN or infinite.")
            place = len(splits)
            _append(splits, row, pending)
        for split, side in parents:
            splits[split][side] = place
    return Tree(tuple(Split(**each) for each in splits), tuple(outcomes))


def _append(splits: list[Any], row: _Row, pending: list[tuple[Key, list[tuple[int, str]]]]) -> None:
    place = len(splits)

    def split(strict: bool) -> None:
        threshold = _float32(row.value, strict)
        splits.append({"feature": row.feature, "threshold": threshold, "strict": strict, "yes": 0, "no": 0})

    match row.mode:
        case "BRANCH_LEQ" | "BRANCH_LT":
            split(row.mode == "BRANCH_LT")
            sides = {"yes": [(place, "yes")], "no": [(place, "no")]}
        case "BRANCH_GTE" | "BRANCH_GT":  # x >= t is not x < t
            split(row.mode == "BRANCH_GTE")
            sides = {"yes": [(place, "no")], "no": [(place, "yes")]}
        case _:  # x == t is x <= t and not x < t
            split(False)
            split(True)
            splits[place]["yes"] = place + 1
            equal, other = [(place + 1, "no")], [(place, "no"), (place + 1, "yes")]
            sides = {"yes": equal, "no": other} if row.mode == "BRANCH_EQ" else {"yes": other, "no": equal}
    pending.append((row.no, sides["no"]))
    pending.append((row.yes, sides["yes"]))


def _leaf_weights(node: Node, prefix: str, scores: dict[int, int]) -> dict[Key, tuple[float, ...]]:
    """Return what each leaf adds to each score; `scores` numbers the file's classes or targets."""
    columns: list[Sequence[Any]] = [
        node.integers(f"{prefix}_treeids"), node.integers(f"{prefix}_nodeids"), node.integers(f"{prefix}_ids"),
        _numbers(node, f"{prefix}_weights"),
    ]
    if len({len(each) for each in columns}) != 1:
        raise node.malformed("has leaf tables of different lengths")
    found: dict[Key, list[float]] = {}
    for tree, number, target, weight in zip(*columns, strict=True):
        if target not in scores:
            raise node.malformed(f"has a leaf for class or target {target}, which there is not")
        if not math.isfinite(weight):
            raise WeightError(f"{node.title} has a leaf that is NaN or infinite.")
        found.setdefault((tree, number), [0.0] * len(scores))[scores[target]] += weight
    return {key: tuple(each) for key, each in found.items()}


def _ensemble(call: Call, prefix: str, scores: dict[int, int], base: tuple[float, ...], average: bool) -> Elements:
    """Append the Trees node and return its elements, [1, scores]."""
    node = call.node
    trees, rows = _rows(node)
    leaves = _leaf_weights(node, prefix, scores)
    if average:
        leaves = {key: tuple(each / len(trees) for each in weight) for key, weight in leaves.items()}
    return _emit(call, base, _roots(node, trees, rows), rows, leaves)


def _emit(call: Call, base: tuple[float, ...], roots: list[Key], rows: dict[Key, _Row],
          leaves: dict[Key, tuple[float, ...]]) -> Elements:
    """Append a Trees node for each row of the input and return their elements, [rows, scores]."""
    features, builder = rows_of(call), call.builder
    nothing = (0.0,) * len(base)
    seen: set[Key] = set()
    built = tuple(build_tree(call.node, root, rows, leaves, nothing, features.shape[1], seen) for root in roots)
    if len(seen) != len(rows):
        raise call.node.malformed("has nodes that no tree reaches")
    found = []
    for each in features:
        source, scaler = builder.vector(each), None
        if source in builder.scalers:
            elements, scaler = builder.scalers[source]
            source = builder.vector(elements)
        found.append(builder.emit(Trees(source, base, built, scaler), len(base)))
    return np.stack(found)


def _float32(threshold: float, strict: bool) -> float:
    """Return the float32 threshold with the same outcome for every float32 number, NaN aside.

    x <= t for the largest float32 number that is not above t; x < t for the smallest that is not below.
    """
    near = np.float32(threshold)
    if strict and float(near) < threshold:
        near = np.nextafter(near, np.float32(np.inf))
    if not strict and float(near) > threshold:
        near = np.nextafter(near, np.float32(-np.inf))
    return float(near)


def _classifier(call: Call) -> tuple[Value, ...]:
    node, labels = call.node, class_labels(call.node)
    count = labels.values.size
    base = _numbers(node, "base_values")
    used = sorted(set(node.integers("class_ids")))
    if count == 2 and len(used) == 1:
        positive = all(each >= 0 for each in _numbers(node, "class_weights"))
        if len(base) > 1:
            raise node.unsupported("has two base values for one score")
        score = _ensemble(call, "class", {used[0]: 0}, base or (0.0,), False)
        return one_score(call.builder, node, score, labels, positive)
    if len(base) not in (0, count):
        raise node.malformed(f"has {len(base)} base values for {count} classes")
    scores = _ensemble(call, "class", {each: each for each in range(count)}, base or (0.0,) * count, False)
    return many_scores(call.builder, node, scores, labels)


def _regressor(call: Call) -> Value:
    node, count = call.node, call.node.integer("n_targets", 1)
    if not 1 <= count <= MAX_TARGETS:
        raise node.malformed(f"has {count} targets")
    if (how := node.text("aggregate_function", "SUM")) not in ("SUM", "AVERAGE"):
        raise node.unsupported(f"aggregates by {how:.20}, which is not supported")
    if (transform := node.text("post_transform", "NONE")) != "NONE":
        raise node.unsupported(f"has post_transform {transform:.20}, which is not supported")
    base = _numbers(node, "base_values") or (0.0,) * count
    if len(base) != count:
        raise node.malformed(f"has {len(base)} base values for {count} targets")
    return Variable(_ensemble(call, "target", {each: each for each in range(count)}, base, how == "AVERAGE"))


def _tensor(node: Node, name: str) -> list[Any]:
    tensor = node.tensor(name)
    if tensor is None:
        raise node.malformed(f"has no {name}")
    return list(read_tensor(tensor).values.reshape(-1).tolist())


def _ensemble_v5(call: Call) -> Value:
    """Return the scores of ai.onnx.ml 5's TreeEnsemble: one table of nodes, leaves in a table of their own."""
    node = call.node
    count, how = node.integer("n_targets", 1), node.integer("aggregate_function", 1)
    if not 1 <= count <= MAX_TARGETS or how not in (0, 1) or node.integer("post_transform"):
        raise node.unsupported("has targets, an aggregation or a post_transform that is not supported")
    modes = _tensor(node, "nodes_modes")
    columns: list[Sequence[Any]] = [
        modes, node.integers("nodes_featureids"), _tensor(node, "nodes_splits"), node.integers("nodes_truenodeids"),
        node.integers("nodes_trueleafs"), node.integers("nodes_falsenodeids"), node.integers("nodes_falseleafs"),
    ]
    targets, weights = node.integers("leaf_targetids"), _tensor(node, "leaf_weights")
    if len({len(each) for each in columns}) != 1 or len(targets) != len(weights):
        raise node.malformed("has node or leaf tables of different lengths")
    roots = node.integers("tree_roots")
    share = 1.0 / len(roots) if how == 0 and roots else 1.0
    rows: dict[Key, _Row] = {}
    for number, (mode, feature, value, yes, yes_leaf, no, no_leaf) in enumerate(zip(*columns, strict=True)):
        if not 0 <= mode < len(MODE_NUMBERS):
            raise node.unsupported(f"has nodes of mode {mode}, which is not supported")
        rows[0, number] = _Row(MODE_NUMBERS[mode], feature, value, (yes_leaf, yes), (no_leaf, no))
    leaves: dict[Key, tuple[float, ...]] = {}
    for number, (target, weight) in enumerate(zip(targets, weights, strict=True)):
        if not 0 <= target < count or not math.isfinite(weight):
            raise node.malformed("has a leaf for a target that there is not, or that is no number")
        rows[1, number] = _Row(LEAF, 0, 0.0, (1, -1), (1, -1))
        leaves[1, number] = tuple(weight * share if each == target else 0.0 for each in range(count))
    return Variable(_emit(call, (0.0,) * count, [(0, each) for each in roots], rows, leaves))


MAX_TARGETS = 1 << 12
MODE_NUMBERS = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
"""The modes of ai.onnx.ml 5, by number; 6 is set membership."""

RULES: Rules = {
    "TreeEnsemble": _ensemble_v5,
    "TreeEnsembleClassifier": _classifier,
    "TreeEnsembleRegressor": _regressor,
}
