# SPDX-License-Identifier: GPL-3.0-or-later
"""What intervals do not see in a softmax: an element less the maximum of its row never is positive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from proving.importer import graph
from proving.sparse import Array


def below_maximum(nodes: Sequence[graph.Node], sizes: Mapping[graph.Ref, int], ref: graph.Ref) -> bool:
    """Say whether a node is `x - max(.., x, ..)`, each element of it."""
    node = nodes[ref]
    if not isinstance(node, graph.Linear) or np.any(node.bias > 0) or np.any(np.diff(node.matrix.indptr) != 2):
        return False
    origins = np.concatenate([_origins(nodes, sizes, each) for each in node.sources])
    values = node.matrix.values.reshape(-1, 2)
    if not bool(np.all(np.sort(values, axis=1) == [-1.0, 1.0])):
        return False
    pairs = origins[node.matrix.indices].reshape(-1, 2, 2)
    for (first, second), pair in zip(pairs.tolist(), values.tolist(), strict=True):
        (x, element), (top, group) = (first, second) if pair[0] == 1.0 else (second, first)
        largest_of = nodes[top]
        if not isinstance(largest_of, graph.Maximum):
            return False
        members = _origins(nodes, sizes, largest_of.source)[largest_of.groups[group]]
        if [x, element] not in members.tolist():
            return False
    return True


def _origins(nodes: Sequence[graph.Node], sizes: Mapping[graph.Ref, int], ref: graph.Ref) -> Array:
    """Return the node and the element that each element of a node is, behind gathers; int64[n, 2]."""
    node = nodes[ref]
    if isinstance(node, graph.Gather):
        return np.concatenate([_origins(nodes, sizes, each) for each in node.sources])[node.index]
    size = sizes[ref]
    return np.stack([np.full(size, ref, dtype=np.int64), np.arange(size, dtype=np.int64)], axis=1)
