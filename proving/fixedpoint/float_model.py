# SPDX-License-Identifier: GPL-3.0-or-later
"""What a model says by onnxruntime, and what its program says, in the same terms: for measuring, not for deciding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from protocol.errors import InputShapeError, ProvingError
from proving.fixedpoint.float32_order import numbers
from proving.importer.graph import Graph, Head, Link
from proving.settings import Encoding, InputRange, OutputSpec
from proving.sparse import Array


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """One line a row of data: the classes' probabilities, or plain values; and the decision.

    `values` is float64[rows, n]; `decisions` int64[rows]: the place of the class, or the predicate's bit; empty for
    regressors, which decide nothing.
    """

    values: Array
    decisions: Array


def real_inputs(fields: Sequence[InputRange], rows: Array) -> Array:
    """Return the numbers that raw inputs stand for, float64[rows, inputs]."""
    counts = [each.count for each in fields]
    if rows.ndim != 2 or rows.shape[1] != sum(counts):
        raise InputShapeError(f"The model takes {sum(counts)} inputs, rows of shape {rows.shape} were given.")
    scale = np.repeat([each.scale for each in fields], counts)
    coded = np.repeat([each.encoding is Encoding.FLOAT32 for each in fields], counts)
    reals: Array = np.ldexp(rows.astype(np.float64), -scale)
    if coded.any():
        reals[:, coded] = numbers(rows[:, coded].astype(np.int64)).astype(np.float64)
    return reals


def by_onnxruntime(model: bytes, graph: Graph, spec: OutputSpec, inputs: Array) -> Answers:
    """Return what the model answers, by onnxruntime (imported here), for float inputs [rows, inputs].

    Raises:
        ProvingError: onnxruntime is not installed or cannot run the model, or the model has no such output.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ProvingError("onnxruntime is not installed.", remedy="Install proofmesh[train].") from None
    try:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        found = _run(session, graph, inputs)
    except Exception as error:
        # Its errors have no common base but this.
        raise ProvingError(f"onnxruntime cannot run the model: {str(error)[:200]}", remedy="") from error
    return _answers(found, graph, spec)


def of_scores(graph: Graph, spec: OutputSpec, scores: Array) -> Answers:
    """Return what scores of a program say, float64[rows, scores], as the model itself would say it."""
    if _names_output(spec) and any(each.name == spec.target for each in graph.outputs):
        return Answers(scores, np.zeros(0, np.int64))
    values = linked(graph.head.link, scores, len(graph.head.labels))
    return Answers(values, decisions(values, spec, graph.head))


def linked(link: Link, scores: Array, labels: int) -> Array:
    """Return probabilities for scores, as the model's end would make them."""
    if link is Link.SIGMOID:
        positive = 1 / (1 + np.exp(-np.clip(scores, -700, 700)))
        return np.hstack([1 - positive, positive]) if scores.shape[1] == 1 and labels == 2 else positive
    if link is Link.SOFTMAX:
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    return scores


def decisions(values: Array, spec: OutputSpec, head: Head) -> Array:
    """Return the class of each row, or the bit that a predicate with a threshold on its one number gives.

    The number is the probability of the second of two classes, or the only value of a model without classes.
    """
    classes, width = len(head.labels), values.shape[1]
    alone = width == 1 and classes < 2
    number = "score" if alone and head.link is Link.NONE else "probability"
    if spec.threshold is not None and spec.threshold_on == number and (alone or width == classes == 2):
        limit = float(spec.threshold)
        bits = values[:, -1] <= limit if spec.at_most else values[:, -1] >= limit
        return np.asarray(bits, dtype=np.int64)
    if width < 2 or classes < 2:
        return np.zeros(0, np.int64)
    return np.asarray(values.argmax(axis=1), dtype=np.int64)


def _run(session: Any, graph: Graph, inputs: Array) -> dict[str, Any]:
    """Run all rows at once if the model has a free batch dimension, one by one otherwise; whatever is an array."""
    described = {each.name: each for each in session.get_inputs()}
    free = all(not isinstance((each.shape or [1])[0], int) for each in described.values())
    parts = [inputs] if free else [inputs[i : i + 1] for i in range(len(inputs))]
    collected: dict[str, list[Any]] = {}
    for part in parts:
        outputs = session.run(None, _feed(described, graph, part))
        for output, value in zip(session.get_outputs(), outputs, strict=True):
            collected.setdefault(output.name, []).append(_table(value))
    return {name: np.concatenate(each) for name, each in collected.items() if all(v is not None for v in each)}


def _feed(described: dict[str, Any], graph: Graph, part: Array) -> dict[str, Any]:
    feed, start = {}, 0
    for name, shape in zip(graph.input_names, graph.input_shapes, strict=True):
        size = int(np.prod(shape))
        kinds = {"tensor(double)": np.float64, "tensor(int64)": np.int64, "tensor(int32)": np.int32,
                 "tensor(bool)": np.bool_}
        values: Array = part[:, start : start + size].astype(kinds.get(described[name].type, np.float32))
        rank = len(described[name].shape)
        feed[name] = values.reshape(len(part), *shape[1:]) if rank == len(shape) else values.reshape(shape)
        start += size
    return feed


def _table(value: Any) -> Any:
    """Return an output as one line a row: a tensor flattened, or the probabilities of a ZipMap."""
    if isinstance(value, np.ndarray):
        return value.reshape(len(value), -1) if value.ndim else value.reshape(1, 1)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return np.array([list(each.values()) for each in value], dtype=np.float64)
    return None


def _answers(found: dict[str, Any], graph: Graph, spec: OutputSpec) -> Answers:
    if _names_output(spec) and spec.target in found:
        return Answers(found[spec.target].astype(np.float64), np.zeros(0, np.int64))
    labels = len(graph.head.labels)
    floats = [each for each in found.values() if each.dtype.kind == "f" and each.size]
    for each in floats:
        if labels >= 2 and each.shape[1] == labels and graph.head.link is not Link.NONE and _sums_to_one(each):
            return Answers(each.astype(np.float64), decisions(each.astype(np.float64), spec, graph.head))
    wanted = max(labels, 1) if graph.head.link is not Link.NONE else None
    for each in floats:
        if wanted is None or each.shape[1] in (wanted, 1):
            values = each.astype(np.float64)
            if labels >= 2 and not _sums_to_one(each):
                values = linked(graph.head.link, values, labels)
            if labels == 2 and values.shape[1] == 1:
                values = np.hstack([1 - values, values])
            return Answers(values, decisions(values, spec, graph.head))
    raise ProvingError("The model has no output of numbers to compare with.", remedy="Export it with zipmap=False.")


def _names_output(spec: OutputSpec) -> bool:
    """Say whether the target is one of the model's own outputs; "label" never is, though skl2onnx calls its own so."""
    return spec.target not in ("scores", "label")


def _sums_to_one(values: Array) -> bool:
    return values.shape[1] > 1 and bool(np.all(np.abs(values.sum(axis=1) - 1) < 1e-3))
