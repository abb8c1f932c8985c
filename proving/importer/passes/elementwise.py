# SPDX-License-Identifier: GPL-3.0-or-later
"""Elementwise affine maps (scalers, batch normalisation, biases, averages' factors) join the layer beside them.

With trained weights, a product or sum of parameters becomes one parameter. Which entries share one follows from the
parameters' numbers alone, never from their values, so it is the same for every owner of an architecture. A merge
that would need more parameters than it removes (a scaler in front of a padded convolution, whose bias would differ
at the borders) is left alone: the two maps compose in the circuit anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from proving.importer.graph import Graph, Linear, Node, Ref
from proving.importer.passes.references import sizes, sources
from proving.importer.rows import without_zeros
from proving.sparse import Array, Sparse


def merge_elementwise(graph: Graph) -> Graph:
    """Return the graph with elementwise maps merged into linear neighbours; merged nodes are left dead."""
    state = _State(list(graph.nodes), list(graph.labels), sizes(graph.nodes), _consumers(graph))
    for ref in range(len(state.nodes)):
        node = state.nodes[ref]
        if isinstance(node, Linear) and _is_elementwise(node):
            _merge(state, ref, node)
    return replace(graph, nodes=tuple(state.nodes), labels=tuple(state.labels))


@dataclass(slots=True)
class _State:
    nodes: list[Node]
    labels: list[str]
    sizes: list[int]
    consumers: dict[Ref, set[Ref]]
    """-1 stands for the outside: head and outputs."""


def _consumers(graph: Graph) -> dict[Ref, set[Ref]]:
    found: dict[Ref, set[Ref]] = {ref: set() for ref in range(len(graph.nodes))}
    for ref, node in enumerate(graph.nodes):
        for source in sources(node):
            found[source].add(ref)
    for ref in (graph.head.scores, *(each.ref for each in graph.outputs)):
        found[ref].add(-1)
    return found


def _is_elementwise(node: Linear) -> bool:
    matrix = node.matrix
    return (len(node.sources) == 1 and matrix.rows == matrix.width == len(matrix.indices)
            and bool((matrix.indices == np.arange(matrix.width)).all())
            and bool((np.diff(matrix.indptr) == 1).all()))


def _merge(state: _State, ref: Ref, node: Linear) -> None:
    """Merge one elementwise map: into trained layers rather than into structure, which stays exact."""
    before = state.nodes[node.sources[0]]
    after = [state.nodes[each] if each >= 0 else None for each in sorted(state.consumers[ref])]
    alone = isinstance(before, Linear) and state.consumers[node.sources[0]] == {ref}
    trained_after = bool(after) and all(isinstance(each, Linear) and each.trained for each in after)
    linear_after = bool(after) and all(isinstance(each, Linear) for each in after)
    if alone and isinstance(before, Linear) and before.trained and _backward(state, ref, node, before):
        return
    if trained_after and _forward(state, ref, node):
        return
    if node.trained:
        return
    if alone and isinstance(before, Linear) and not before.trained and _backward(state, ref, node, before):
        return
    if linear_after:
        _forward(state, ref, node)


def _backward(state: _State, ref: Ref, node: Linear, before: Linear) -> bool:
    """Put the merged map in the place of the elementwise one."""
    factors, rows = node.matrix.values, before.matrix.row_of_entry()
    values, bias = before.matrix.values * factors[rows], before.bias * factors + node.bias
    matrix = Sparse(before.matrix.width, before.matrix.indptr, before.matrix.indices, values)
    if not before.trained and not node.trained:
        merged = Linear(before.sources, without_zeros(matrix), bias)
    else:
        own, own_bias = _entry_keys(before), _bias_keys(before)
        other, other_bias = _entry_keys(node), _bias_keys(node)
        tied = _numbered(own, other[rows])
        # A structural bias of 0 stays 0 under any factor.
        silent = (before.bias == 0) & (own_bias < 0)
        bias_tied = _numbered(own_bias, np.where(silent, -1, other), other_bias)
        if _count(tied) + _count(bias_tied) > sum(map(_count, (own, own_bias, other, other_bias))):
            return False
        merged = Linear(before.sources, matrix, bias, True, _each_own(tied), _each_own(bias_tied))
    state.nodes[ref], state.labels[ref] = merged, state.labels[node.sources[0]]
    for source in before.sources:
        state.consumers[source].discard(node.sources[0])
        state.consumers[source].add(ref)
    state.consumers[node.sources[0]] = set()
    return True


def _forward(state: _State, ref: Ref, node: Linear) -> bool:
    """Merge into every consumer, or into none."""
    merged: dict[Ref, Linear] = {}
    for each in sorted(state.consumers[ref]):
        consumer = state.nodes[each]
        assert isinstance(consumer, Linear)
        found = _merged_forward(state, ref, node, consumer)
        if found is None:
            return False
        merged[each] = found
    for each, found in merged.items():
        state.nodes[each] = found
        state.consumers[node.sources[0]].add(each)
    state.consumers[ref] = set()
    state.consumers[node.sources[0]].discard(ref)
    return True


def _merged_forward(state: _State, ref: Ref, node: Linear, consumer: Linear) -> Linear | None:
    """Return the consumer with the map's factors in its columns and the offsets in its bias."""
    if consumer.sources.count(ref) != 1 or (node.sources[0] in consumer.sources):
        return None
    start = sum(state.sizes[each] for each in consumer.sources[: consumer.sources.index(ref)])
    matrix, count = consumer.matrix, node.matrix.rows
    columns = matrix.indices - start
    inside = (columns >= 0) & (columns < count)
    columns = np.where(inside, columns, 0)
    values = np.where(inside, matrix.values * node.matrix.values[columns], matrix.values)
    rows = matrix.row_of_entry()
    shift = np.bincount(rows, weights=np.where(inside, matrix.values * node.bias[columns], 0.0), minlength=matrix.rows)
    bias = consumer.bias + shift  # bincount adds in the order of the entries: the same on every machine
    changed = tuple(node.sources[0] if each == ref else each for each in consumer.sources)
    result = Sparse(matrix.width, matrix.indptr, matrix.indices, values)
    if not consumer.trained:
        return Linear(changed, without_zeros(result), bias)
    own, own_bias = _entry_keys(consumer), _bias_keys(consumer)
    other, other_bias = _entry_keys(node), _bias_keys(node)
    tied = _numbered(own, np.where(inside, other[columns], -1))
    bias_tied = own_bias
    if bool((node.bias != 0).any()) or bool((other_bias >= 0).any()):
        bias_tied = _numbered(own_bias, _signatures(matrix, own, np.where(inside, other_bias[columns], -1)))
    if _count(tied) + _count(bias_tied) > sum(map(_count, (own, own_bias, other, other_bias))):
        return None
    return Linear(changed, result, bias, True, _each_own(tied), _each_own(bias_tied))


def _entry_keys(node: Linear) -> Array:
    """Return the parameter behind each entry; negative: structure, a number for each value."""
    return _keys(node.matrix.values, node.trained, node.tied)


def _bias_keys(node: Linear) -> Array:
    return _keys(node.bias, node.trained, node.bias_tied)


def _keys(values: Array, trained: bool, tied: Array | None) -> Array:
    if trained and tied is None:
        return np.arange(len(values), dtype=np.int64)
    structure = -1 - np.unique(values, return_inverse=True)[1].astype(np.int64)
    return structure if not trained or tied is None else np.where(tied >= 0, tied, structure)


def _numbered(*keys: Array) -> Array:
    """Return one parameter number for each combination of keys; -1 where all of them are structure."""
    combined = np.zeros(len(keys[0]), dtype=np.int64)
    for each in keys:
        _, inverse = np.unique(each, return_inverse=True)
        combined = combined * (int(inverse.max(initial=0)) + 1) + inverse
        combined = np.unique(combined, return_inverse=True)[1].astype(np.int64)
    structural = np.logical_and.reduce([each < 0 for each in keys])
    return np.where(structural, -1, combined)


def _count(numbers: Array) -> int:
    return len(np.unique(numbers[numbers >= 0]))


def _each_own(numbers: Array) -> Array | None:
    """Return None for numbers that are all different parameters."""
    if bool((numbers >= 0).all()) and len(np.unique(numbers)) == len(numbers):
        return None
    return numbers


def _signatures(matrix: Sparse, own: Array, other: Array) -> Array:
    """Return a number for each row's multiset of parameter pairs: rows of one number have one sum of products."""
    pairs = _mixed(_mixed(own.astype(np.uint64)) + other.astype(np.uint64))
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(pairs, dtype=np.uint64)])
    return np.unique(sums[matrix.indptr[1:]] - sums[matrix.indptr[:-1]], return_inverse=True)[1].astype(np.int64)


def _mixed(words: Array) -> Array:
    """Return splitmix64's finaliser of each word (Steele, Lea and Flood 2014)."""
    words = np.asarray(words, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(words ^ (words >> np.uint64(31)))
