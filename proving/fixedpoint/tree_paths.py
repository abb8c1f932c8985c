# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of a decision tree that some input can reach, over integer cuts."""

from __future__ import annotations

from dataclasses import dataclass

from proving.fixedpoint.tree_cuts import Cuts
from proving.importer.graph import Tree
from proving.sparse import Array

Interval = tuple[int, int]


@dataclass(slots=True, eq=False)
class Branch:
    """A tree in which every branch is reached by some input, as far as intervals tell.

    `splits[i]` is (element, cut, position up to the cut, position above it); `splits[0]` is the root, positions below 0
    are leaves `-1 - position`. No splits: the leaf 0. `heights[i]` is 1 at the parent of two leaves.
    """

    splits: list[tuple[int, int, int, int]]
    leaves: list[tuple[int, ...]]
    heights: list[int]

    @property
    def height(self) -> int:
        return max(self.heights, default=0)

    @property
    def selections(self) -> int:
        """How many inner nodes are not the parent of two leaves."""
        return sum(each > 1 for each in self.heights)

    def cuts(self) -> set[tuple[int, int]]:
        return {(element, q) for element, q, _, _ in self.splits}

    def of_height(self, height: int) -> list[int]:
        return [position for position, each in enumerate(self.heights) if each == height]


def reachable(tree: Tree, leaves: Array, cuts: Cuts) -> Branch:
    """Return the reachable part of a tree with integer leaves, int64[leaves, scores]."""
    rows = [tuple(row) for row in leaves.tolist()]
    kept: list[list[int]] = []
    # A path's intervals are copied at each split: trees are shallow, and a copy needs no undoing.
    stack: list[tuple[int, dict[int, Interval], int, int]] = [(0 if tree.splits else -1, {}, -1, 0)]
    root = -1
    while stack:
        start, path, parent, side = stack.pop()
        position = _follow(tree, start, path, cuts)
        if position >= 0:
            cut = cuts.of(tree.splits[position])
            split = tree.splits[position]
            up_to, above = (split.no, split.yes) if cut.falling else (split.yes, split.no)
            low, high = path.get(cut.element, cuts.bounds(cut.element))
            kept.append([cut.element, cut.at, 0, 0])
            stack.append((above, {**path, cut.element: (cut.at + 1, high)}, len(kept) - 1, 3))
            stack.append((up_to, {**path, cut.element: (low, cut.at)}, len(kept) - 1, 2))
            position = len(kept) - 1
        if parent < 0:
            root = position
        else:
            kept[parent][side] = position
    return _compact(kept, rows, root)


def _follow(tree: Tree, position: int, path: dict[int, Interval], cuts: Cuts) -> int:
    """Skip the splits that the path has decided."""
    while position >= 0:
        split = tree.splits[position]
        cut = cuts.of(split)
        low, high = path.get(cut.element, cuts.bounds(cut.element))
        if low <= cut.at < high:
            return position
        position = split.yes if (high <= cut.at) != cut.falling else split.no
    return position


def _compact(kept: list[list[int]], rows: list[tuple[int, ...]], root: int) -> Branch:
    """Drop splits between equal leaves, which have become leaves; children stand behind their parents in `kept`."""
    leaf_of: dict[int, int] = {}
    for index in range(len(kept) - 1, -1, -1):
        for side in (2, 3):
            kept[index][side] = leaf_of.get(kept[index][side], kept[index][side])
        _, _, up_to, above = kept[index]
        if up_to < 0 and above < 0 and rows[-1 - up_to] == rows[-1 - above]:
            leaf_of[index] = up_to
    root = leaf_of.get(root, root)
    if root < 0:
        return Branch([], [rows[-1 - root]], [])
    places = {index: place for place, index in enumerate(each for each in range(len(kept)) if each not in leaf_of)}
    splits = [
        (kept[i][0], kept[i][1], places.get(kept[i][2], kept[i][2]), places.get(kept[i][3], kept[i][3])) for i in places
    ]
    heights = [0] * len(splits)
    for index in range(len(splits) - 1, -1, -1):
        heights[index] = 1 + max(heights[child] if child >= 0 else 0 for child in splits[index][2:])
    return Branch(splits, rows, heights)
