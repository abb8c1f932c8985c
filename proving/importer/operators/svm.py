# SPDX-License-Identifier: GPL-3.0-or-later
"""Support vector machines with a linear kernel: SVMClassifier, SVMRegressor.

Support vectors and their coefficients add up to one row of weights for each decision, so a machine is an affine map.
Decisions between pairs of classes are counted as votes, as libsvm and onnxruntime do.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from proving.importer import arithmetic
from proving.importer.builder import Origin, Reading
from proving.importer.call import Call, Rules
from proving.importer.graph import Comparison, Function
from proving.importer.operators.classical import rows_of, weights
from proving.importer.operators.classifiers import class_labels, many_scores
from proving.importer.operators.labels import named
from proving.importer.operators.linear import dense
from proving.importer.operators.reduction import positions
from proving.importer.values import Elements, Fixed, Value, Variable, number
from proving.sparse import Array

MAX_CLASSES = 64


def _check_kernel(call: Call) -> None:
    if (kernel := call.node.text("kernel_type", "LINEAR")) != "LINEAR":
        raise call.node.unsupported(f"has kernel {kernel:.20}; only LINEAR is supported")


def _weighted(vectors: Array, coefficients: Array) -> Array:
    """Return the sum of vectors times coefficients, in order: the same on every machine."""
    total = np.zeros(vectors.shape[1])
    for vector, coefficient in zip(vectors, coefficients, strict=True):
        total = total + vector * coefficient
    return total


def _vectors(call: Call, width: int) -> Array:
    flat = np.array(call.node.numbers("support_vectors"), dtype=np.float64)
    if not flat.size or flat.size % width:
        raise call.node.malformed("has support vectors of another width than its input")
    return flat.reshape(-1, width)


def _decisions(call: Call, rows: Elements, matrix: Array, offsets: Array) -> Elements:
    return dense(call.builder, rows, weights(matrix), weights(offsets))


def _regressor(call: Call) -> Value:
    _check_kernel(call)
    node, rows = call.node, rows_of(call)
    if node.text("post_transform", "NONE") != "NONE" or node.integer("one_class"):
        raise node.unsupported("has a post_transform or one class, which is not supported")
    coefficients, rho = np.array(node.numbers("coefficients")), np.array(node.numbers("rho"))
    row = coefficients if not node.integer("n_supports") else _weighted(_vectors(call, rows.shape[1]), coefficients)
    if row.shape != (rows.shape[1],) or rho.shape != (1,):
        raise node.malformed("has coefficients or rho that do not fit its input")
    return Variable(_decisions(call, rows, row[None, :], rho))


def _pair_weights(call: Call, width: int, classes: int) -> Array:
    """Return a row of weights for each pair of classes."""
    vectors, counts = _vectors(call, width), call.node.integers("vectors_per_class")
    coefficients = np.array(call.node.numbers("coefficients"), dtype=np.float64)
    if len(counts) != classes or min(counts) < 0 or sum(counts) != len(vectors) \
            or coefficients.size != (classes - 1) * len(vectors):
        raise call.node.malformed("has support vectors, counts and coefficients that do not fit each other")
    table, ends = coefficients.reshape(classes - 1, -1), np.cumsum(counts)
    parts = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    return np.array([
        _weighted(vectors[parts[i]], table[j - 1, parts[i]]) + _weighted(vectors[parts[j]], table[i, parts[j]])
        for i, j in combinations(range(classes), 2)
    ])


def _classifier(call: Call) -> tuple[Value, ...]:
    _check_kernel(call)
    node, rows, labels = call.node, rows_of(call), class_labels(call.node, "classlabels_ints")
    classes, rho = labels.values.size, np.array(node.numbers("rho"), dtype=np.float64)
    if not 2 <= classes <= MAX_CLASSES:
        raise node.unsupported(f"has {classes} classes; 2 to {MAX_CLASSES} are supported")
    if len(rows) != 1:
        raise node.unsupported("has a batch of more than one row")
    if not node.integers("vectors_per_class"):
        matrix = np.array(node.numbers("coefficients"), dtype=np.float64).reshape(classes, rows.shape[1])
        if rho.size < 1:
            raise node.malformed("has no rho")
        return many_scores(call.builder, node, _decisions(call, rows, matrix, np.full(classes, rho[0])), labels)
    if node.text("post_transform", "NONE") != "NONE":
        raise node.unsupported("has a post_transform, which is not supported")
    if rho.size != classes * (classes - 1) // 2:
        raise node.malformed(f"has {rho.size} offsets for {classes} classes")
    decisions = _decisions(call, rows, _pair_weights(call, rows.shape[1], classes), rho)
    if classes == 2:
        return _binary(call, decisions, labels)
    if node.numbers("prob_a"):
        raise node.unsupported("couples pairwise probabilities, which is not supported; export without probability")
    votes = _votes(call, decisions, classes)
    return named(call.builder, positions(call.builder, votes), labels, votes[0]), Variable(decisions)


def _votes(call: Call, decisions: Elements, classes: int) -> Elements:
    """Return how many pairs each class wins, [1, classes]."""
    first = arithmetic.compare(call.builder, Comparison.GREATER, Variable(decisions), number(0.0))
    assert isinstance(first, Variable)
    pairs = list(combinations(range(classes), 2))
    factors = np.zeros((classes, len(pairs)))
    lost = np.zeros(classes)
    for place, (i, j) in enumerate(pairs):
        factors[i, place], factors[j, place] = 1.0, -1.0
        lost[j] += 1.0
    table = np.broadcast_to(first.elements, factors.shape)
    return call.builder.combine(table, factors, lost)[None, :]


def _binary(call: Call, decision: Elements, labels: Fixed) -> tuple[Value, ...]:
    """A positive decision is for the first class."""
    b, node = call.builder, call.node
    a, offset = node.numbers("prob_a"), node.numbers("prob_b")
    opposite = arithmetic.negate(b, Variable(decision))
    assert isinstance(opposite, Variable)
    if not a:
        second = arithmetic.compare(b, Comparison.GREATER_EQUAL, opposite, number(0.0))
        scores = np.concatenate([decision, opposite.elements], axis=1)
        return _label(call, second, labels, scores), Variable(scores[:, ::-1])
    if len(a) != 1 or len(offset) != 1:
        raise node.malformed("has numbers of probabilities that do not fit two classes")
    logit = arithmetic.add(b, arithmetic.multiply(b, Variable(decision), weights(a)), weights(offset))
    assert isinstance(logit, Variable)
    positive = Variable(b.apply(logit.elements, Function.SIGMOID))
    negative = arithmetic.subtract(b, number(1.0), positive)
    assert isinstance(negative, Variable)
    both = np.concatenate([negative.elements, positive.elements], axis=1)
    second = arithmetic.compare(b, Comparison.GREATER, logit, number(0.0))
    return _label(call, second, labels, both), Variable(both)


def _label(call: Call, second: Value, labels: Fixed, scores: Elements) -> Value:
    assert isinstance(second, Variable)
    place = int(call.builder.refs(second.elements.reshape(-1))[0])
    call.builder.origins[place] = Origin(Reading.POSITION, scores[0])
    return named(call.builder, second.elements[:, 0], labels, scores[0])


RULES: Rules = {"SVMClassifier": _classifier, "SVMRegressor": _regressor}
