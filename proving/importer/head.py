# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a proof naturally stops: the scores in front of a final sigmoid, softmax and label read-out.

What lies behind keeps the order of the scores, so whoever knows them knows label and probabilities.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from onnx import TensorProto

from protocol.errors import UnsupportedOperatorError
from proving.importer.builder import Builder, Reading
from proving.importer.graph import Head, Linear, Link
from proving.importer.values import Elements, Variable


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Scores behind an output. `strength`: how much the output says of a classifier (0: plain values)."""

    scores: Elements
    link: Link
    strength: int
    labels: tuple[str, ...] = ()


def find_head(builder: Builder, outputs: list[Variable]) -> Head:
    """Return the scores behind the model's outputs; the first output that is no label, or a label's scores."""
    found = [_behind(builder, each) for each in outputs]
    best = max(found, key=lambda each: each.strength)
    labels = next((each.labels for each in found if each.labels), ())
    best = _one_logit(builder, best)
    if best.link is Link.SOFTMAX and best.scores.size == 2:
        best = _difference(builder, best)
    size = best.scores.size
    expected = 2 if size == 1 and best.link is Link.SIGMOID else size
    if best.strength and len(labels) != expected:
        labels = tuple(map(str, range(expected)))
    if not best.strength and len(labels) != size:
        labels = ()
    return Head(builder.vector(best.scores), best.link, labels)


def _behind(builder: Builder, output: Variable) -> _Found:
    flat = output.elements.reshape(-1)
    if not flat.size:
        raise UnsupportedOperatorError("An output of the model is empty.")
    refs = np.unique(builder.refs(flat))
    origin = builder.origins.get(int(refs[0])) if len(refs) == 1 else None
    labels = output.labels or output.table
    if origin is not None and origin.reading in (Reading.POSITION, Reading.LABEL):
        inner = _behind(builder, Variable(origin.scores))
        return replace(inner, strength=max(inner.strength, 1), labels=labels or origin.labels)
    if output.table or output.type == TensorProto.STRING:
        return _Found(flat, Link.NONE, 0, labels)
    if (pair := _complement(builder, flat)) is not None:
        positive = _behind(builder, Variable(pair))
        if positive.link is Link.SIGMOID:
            return replace(positive, strength=3, labels=labels)
    if origin is not None:
        scores = origin.scores[flat - builder.start(int(refs[0]))]
        match origin.reading:
            case Reading.SIGMOID:
                return _Found(scores, Link.SIGMOID, 3, labels)
            case Reading.SOFTMAX if flat.size == builder.size(int(refs[0])):
                return _Found(scores, Link.SOFTMAX, 3, labels)
            case Reading.NORMALISED:
                return replace(_behind(builder, Variable(scores)), strength=3, labels=labels)
            case _:
                pass
    return _Found(flat, Link.NONE, 2 if labels else 0, labels)


def _complement(builder: Builder, flat: Elements) -> Elements | None:
    """Return p for elements [1 - p, p]."""
    if flat.size != 2:
        return None
    ref = int(builder.refs(flat[:1])[0])
    node, row = builder.nodes[ref], int(flat[0]) - builder.start(ref)
    if not isinstance(node, Linear) or node.bias[row] != 1.0:
        return None
    entries = node.matrix.row(row)
    sources, places, _ = builder.locate(flat[1:])
    if sources != node.sources or entries != {int(places[0]): -1.0}:
        return None
    return flat[1:]


def _one_logit(builder: Builder, found: _Found) -> _Found:
    """Return the one logit behind sigmoid(-z), sigmoid(z)."""
    if found.link is not Link.SIGMOID or found.scores.size != 2 or not _opposite(builder, found.scores):
        return found
    return replace(found, scores=found.scores[1:])


def _opposite(builder: Builder, pair: Elements) -> bool:
    """Whether the first of two scores is minus the second."""
    refs = [int(each) for each in builder.refs(pair)]
    first, second = (builder.nodes[ref] for ref in refs)
    if not isinstance(first, Linear):
        return False
    row = int(pair[0]) - builder.start(refs[0])
    if refs[0] != refs[1] or not isinstance(second, Linear):
        sources, places, _ = builder.locate(pair[1:])
        return bool(sources == first.sources and first.bias[row] == 0
                    and first.matrix.row(row) == {int(places[0]): -1.0})
    other = int(pair[1]) - builder.start(refs[1])
    negated = {column: -value for column, value in first.matrix.row(row).items()}
    return bool(first.bias[row] == -first.bias[other] and negated == first.matrix.row(other))


def _difference(builder: Builder, found: _Found) -> _Found:
    """Return the logit of the second of two classes under softmax."""
    builder.label = "logit"
    logit = builder.combine(found.scores.reshape(1, 2), np.array([-1.0, 1.0]))
    return _Found(logit, Link.SIGMOID, found.strength, found.labels)
