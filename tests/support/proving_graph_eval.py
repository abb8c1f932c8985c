# SPDX-License-Identifier: GPL-3.0-or-later
"""What a graph of importer/graph.py computes, in float64: small and plain, for comparison with onnxruntime."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from proving.importer.graph import (
    Apply,
    ArgMax,
    Compare,
    Comparison,
    Constant,
    Divide,
    Function,
    Gather,
    Graph,
    Head,
    Input,
    Linear,
    Link,
    Maximum,
    Multiply,
    Node,
    Relu,
    Round,
    Rounding,
    Select,
    Tree,
    Trees,
)

FUNCTIONS: dict[Function, Any] = {
    Function.SIGMOID: lambda x: 0.5 * (1 + np.tanh(x / 2)),
    Function.TANH: np.tanh,
    Function.EXP: np.exp,
    Function.LOG: np.log,
    Function.SQRT: np.sqrt,
    Function.RECIPROCAL: lambda x: 1 / x,
    Function.ERF: np.vectorize(math.erf, otypes=[float]),
    Function.SOFTPLUS: lambda x: np.logaddexp(x, 0),
    Function.SIN: np.sin,
    Function.COS: np.cos,
    Function.ATAN: np.arctan,
}
ROUNDINGS: dict[Rounding, Any] = {
    Rounding.FLOOR: np.floor, Rounding.CEIL: np.ceil, Rounding.NEAREST_EVEN: np.rint,
    Rounding.TOWARDS_ZERO: np.trunc,
}
COMPARISONS: dict[Comparison, Any] = {
    Comparison.GREATER: np.greater, Comparison.GREATER_EQUAL: np.greater_equal, Comparison.EQUAL: np.equal,
}


def trace(graph: Graph, inputs: Any) -> list[Any]:
    """Return the vector of every node; `inputs` are all ONNX inputs, flattened and concatenated."""
    values: list[Any] = []
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            values.append(np.asarray(_value(node, values, inputs), dtype=np.float64))
    return values


def outputs(graph: Graph, inputs: Any) -> dict[str, Any]:
    """Return the model's outputs in their shapes."""
    values = trace(graph, inputs)
    return {each.name: values[each.ref].reshape(each.shape) for each in graph.outputs}


def scores(graph: Graph, inputs: Any) -> Any:
    """Return the head's scores."""
    return trace(graph, inputs)[graph.head.scores]


def probabilities(head: Head, found: Any) -> Any:
    """Return what the head's link makes of scores: one probability a label."""
    if head.link is Link.SIGMOID:
        positive = 1 / (1 + np.exp(-found))
        return np.array([1 - positive[0], positive[0]]) if len(found) == 1 else positive / positive.sum()
    if head.link is Link.SOFTMAX:
        powers = np.exp(found - found.max())
        return powers / powers.sum()
    return found


def _value(node: Node, values: list[Any], inputs: Any) -> Any:
    match node:
        case Input(size):
            flat = np.asarray(inputs, dtype=np.float64).reshape(-1)
            assert flat.size == size
            return flat
        case Constant(numbers):
            return numbers
        case Gather(sources, index):
            return np.concatenate([values[each] for each in sources])[index]
        case Linear():
            return _linear(node, values)
        case Multiply(left, right):
            return values[left] * values[right]
        case Divide(left, right):
            return values[left] / values[right]
        case Relu(source):
            return np.maximum(values[source], 0)
        case Maximum(source, groups):
            return values[source][groups].max(axis=1)
        case Compare(comparison, left, right):
            return COMPARISONS[comparison](values[left], values[right])
        case Select(condition, then, otherwise):
            return np.where(values[condition] == 1, values[then], values[otherwise])
        case Apply(source, function):
            return FUNCTIONS[function](values[source])
        case Round(source, rounding):
            return ROUNDINGS[rounding](values[source])
        case ArgMax(source, groups, last):
            taken = values[source][groups]
            return groups.shape[1] - 1 - taken[:, ::-1].argmax(axis=1) if last else taken.argmax(axis=1)
        case Trees(source, base, trees, scaler):
            features = values[source].astype(np.float32)
            if scaler is not None:
                features = (features - scaler.offset.astype(np.float32)) * scaler.scale.astype(np.float32)
            return np.array(base) + sum(np.array(_leaf(each, features)) for each in trees)


def _linear(node: Linear, values: list[Any]) -> Any:
    source = np.concatenate([values[each] for each in node.sources])
    assert node.matrix.width == len(source)
    products = node.matrix.values * source[node.matrix.indices]
    return np.bincount(node.matrix.row_of_entry(), weights=products, minlength=node.matrix.rows) + node.bias


def _leaf(tree: Tree, features: Any) -> tuple[float, ...]:
    if not tree.splits:
        return tree.leaves[0]
    place = 0
    while place >= 0:
        split = tree.splits[place]
        value = np.float32(features[split.feature])
        met = value < np.float32(split.threshold) if split.strict else value <= np.float32(split.threshold)
        place = split.yes if met else split.no
    return tree.leaves[-1 - place]
