# SPDX-License-Identifier: GPL-3.0-or-later
"""The largest of several values, and where it is: tournaments in which neighbours meet.

A group of k costs k - 1 decompositions, at the full precision of the values; a pair that meets in several
overlapping groups meets once.
"""

from __future__ import annotations

import numpy as np

from proving.fixedpoint.elementwise import difference
from proving.fixedpoint.lowering import Lowering, Value
from proving.fixedpoint.program import Constant, Gather, Maximum, NonNegative, Ref, Select
from proving.sparse import Array, diagonal


def maximum(lowering: Lowering, value: Value, groups: Array) -> Value:
    """Return the largest element of each group (int64[n, k], positions in `value`), [n]."""
    value = lowering.plain(value)
    scale = int(value.scale.max(initial=0))
    sources: tuple[Ref, ...] = (value.ref,)
    while groups.shape[1] > 1:
        pairs = groups.shape[1] // 2
        met = np.sort(np.stack([groups[:, 0 : 2 * pairs : 2], groups[:, 1 : 2 * pairs : 2]], axis=-1), axis=-1)
        unique, place = np.unique(met.reshape(-1, 2), axis=0, return_inverse=True)
        left, right = (lowering.add(Gather(sources, unique[:, side]), scale) for side in (0, 1))
        winners = lowering.add(Maximum(left, right), scale)
        rest = groups[:, 2 * pairs :] + len(unique)
        groups = np.concatenate([place.reshape(len(groups), pairs), rest], axis=1)
        sources = (winners, *sources) if rest.shape[1] else (winners,)
    ref = lowering.add(Gather(sources, groups[:, 0]), scale)
    peak = float(value.span.max(initial=0))
    return lowering.value(ref, scale, value.exact, peak)


def arg_max(lowering: Lowering, value: Value, groups: Array, last: bool) -> Value:
    """Return for each group the place of its largest element: of equals the first, or the last."""
    value = lowering.plain(value)
    scale = int(value.scale.max(initial=0))
    count, size = groups.shape
    values = lowering.add(Gather((value.ref,), groups.reshape(-1)), scale)
    places = lowering.add(Constant(np.tile(np.arange(size, dtype=np.int64), count)), 0)
    while size > 1:
        pairs = size // 2
        at = np.arange(count * size, dtype=np.int64).reshape(count, size)
        left, right = at[:, 0 : 2 * pairs : 2].reshape(-1), at[:, 1 : 2 * pairs : 2].reshape(-1)
        ahead_of, behind = (lowering.add(Gather((values,), each), scale) for each in (left, right))
        ahead = difference(lowering, ahead_of, behind, scale)
        first = lowering.add(NonNegative(lowering.shifted(ahead, -1) if last else ahead), 0)
        winners = [
            lowering.add(Select(first, ahead_of, behind), scale),
            _choice_of_places(lowering, first, places, left, right),
        ]
        index = np.arange(count * pairs, dtype=np.int64).reshape(count, pairs)
        if size % 2:
            index = np.concatenate([index, at[:, -1:] + count * pairs], axis=1)
        values = lowering.add(Gather((winners[0], values), index.reshape(-1)), scale)
        places = lowering.add(Gather((winners[1], places), index.reshape(-1)), 0)
        size = index.shape[1]
    return lowering.value(places, 0, value.exact)


def _choice_of_places(lowering: Lowering, first: Ref, places: Ref, left: Array, right: Array) -> Ref:
    """Return the place of the left one where `first` is 1; between constants, that is linear."""
    node = lowering.nodes[places]
    if isinstance(node, Constant):
        a, b = node.values[left], node.values[right]
        return lowering.linear((first,), diagonal(a - b), b, 0)
    then, otherwise = (lowering.add(Gather((places,), each), 0) for each in (left, right))
    return lowering.add(Select(first, then, otherwise), 0)
