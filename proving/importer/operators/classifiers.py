# SPDX-License-Identifier: GPL-3.0-or-later
"""From a classifier's raw scores to its label and probabilities, as ai.onnx.ml's post_transform says.

onnxruntime is the reference where the specification is silent (binary classifiers with one score).
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from proving.importer import arithmetic
from proving.importer.builder import Builder, Origin, Reading
from proving.importer.graph import Comparison, Function
from proving.importer.node import Node
from proving.importer.operators.labels import named
from proving.importer.operators.probability import softmax
from proving.importer.operators.reduction import positions
from proving.importer.values import Elements, Fixed, Value, Variable, number


def class_labels(node: Node, integers: str = "classlabels_int64s") -> Fixed:
    """Return the labels of a classifier, texts or integers."""
    if texts := node.texts("classlabels_strings"):
        return Fixed(np.array(texts, dtype=object), TensorProto.STRING)
    if not (found := node.integers(integers)):
        raise node.malformed("has no class labels")
    return Fixed(np.array(found, dtype=np.int64), TensorProto.INT64)


def many_scores(builder: Builder, node: Node, scores: Elements, labels: Fixed) -> tuple[Value, Value]:
    """Return label and probabilities for one score a class; scores are [rows, classes]."""
    if scores.shape[1] != labels.values.size:
        raise node.malformed(f"has {scores.shape[1]} scores for {labels.values.size} labels")
    label = named(builder, positions(builder, scores), labels, scores[0])
    match transform := node.text("post_transform", "NONE"):
        case "NONE":
            found = scores
        case "LOGISTIC":
            found = builder.apply(scores, Function.SIGMOID)
        case "SOFTMAX":
            found = softmax(builder, scores)
        case _:
            raise node.unsupported(f"has post_transform {transform:.20}, which is not supported")
    return label, Variable(found)


def one_score(builder: Builder, node: Node, score: Elements, labels: Fixed, probability: bool) -> tuple[Value, Value]:
    """Return label and the two probabilities for a binary classifier with one score, [rows, 1].

    `probability`: without post_transform the score is a probability (positive above 0.5), else a margin (above 0).
    """
    if labels.values.size != 2:
        raise node.malformed(f"has one score for {labels.values.size} labels")
    match transform := node.text("post_transform", "NONE"):
        case "LOGISTIC":
            second = Variable(builder.apply(score, Function.SIGMOID))
            first = arithmetic.subtract(builder, number(1.0), second)
        case "NONE" if probability:
            second = Variable(score)
            first = arithmetic.subtract(builder, number(1.0), second)
        case "NONE":
            second = Variable(score)
            first = arithmetic.negate(builder, second)
        case _:
            raise node.unsupported(f"has post_transform {transform:.20} on one score, where runtimes disagree")
    assert isinstance(first, Variable)
    both = np.concatenate([first.elements, second.elements], axis=1)
    bound = number(0.5 if probability else 0.0)
    above = arithmetic.compare(builder, Comparison.GREATER, Variable(score), bound)
    assert isinstance(above, Variable)
    if len(both) == 1:
        builder.origins[int(builder.refs(above.elements.reshape(-1))[0])] = Origin(Reading.POSITION, both[0])
    label = named(builder, above.elements[:, 0], labels, both[0])
    return label, Variable(both)
