# SPDX-License-Identifier: GPL-3.0-or-later
"""Small graphs by hand, and fixed point beside float64."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import proving_graph_eval

from proving.fixedpoint import interpreter
from proving.fixedpoint.batch import Evaluator
from proving.fixedpoint.program import Program
from proving.fixedpoint.quantise import quantise
from proving.importer.graph import Graph, Head, Input, Linear, Link, Maximum, Node, Relu
from proving.settings import InputRange, ModelSettings, OutputSpec, Reveal, WeightSpec
from proving.sparse import from_entries


def graph_of(
    nodes: Sequence[Node], scores: int | None = None, link: Link = Link.NONE, labels: Sequence[str] = ()
) -> Graph:
    """Return a graph whose scores are the last node, unless said otherwise."""
    first = nodes[0]
    assert isinstance(first, Input)
    head = Head(len(nodes) - 1 if scores is None else scores, link, tuple(labels))
    return Graph(tuple(nodes), head, (), ("x",), ((1, first.size),))


def dense(weights: Any, bias: Any, *sources: int, trained: bool = True) -> Linear:
    """Return a layer with all its entries."""
    matrix = np.asarray(weights, dtype=np.float64)
    rows, width = matrix.shape
    row, column = np.divmod(np.arange(matrix.size), width)
    return Linear(sources, from_entries(rows, width, row, column, matrix.reshape(-1)), np.asarray(bias, float), trained)


def mlp(sizes: Sequence[int], seed: int = 0, first: float = 1.0) -> Graph:
    """Return dense layers with a ReLU between two; the weights of the first are multiplied by `first`."""
    rng = np.random.default_rng(seed)
    nodes: list[Node] = [Input(sizes[0])]
    for place, (width, rows) in enumerate(pairwise(sizes)):
        weights = rng.normal(size=(rows, width)) * np.sqrt(2 / width) * (first if place == 0 else 1.0)
        nodes.append(dense(weights, rng.normal(size=rows) * 0.1, len(nodes) - 1))
        if place < len(sizes) - 2:
            nodes.append(Relu(len(nodes) - 1))
    return graph_of(nodes)


def convolution(rng: np.random.Generator, channels: int, side: int, filters: int, kernel: int, source: int) -> Linear:
    """Return a valid convolution of a square image, with ties."""
    out = side - kernel + 1
    place = np.arange(filters * out * out)
    filter_, y, x = place // (out * out), place // out % out, place % out
    rows, columns, tied = [], [], []
    for channel, dy, dx in np.ndindex(channels, kernel, kernel):
        rows.append(place)
        columns.append(channel * side * side + (y + dy) * side + x + dx)
        tied.append(((filter_ * channels + channel) * kernel + dy) * kernel + dx)
    row, column, parameter = (np.concatenate(each) for each in (rows, columns, tied))
    order = np.lexsort((column, row))
    weights = rng.normal(size=filters * channels * kernel * kernel) * np.sqrt(2 / (channels * kernel * kernel))
    width = channels * side * side
    matrix = from_entries(len(place), width, row[order], column[order], weights[parameter[order]])
    bias = rng.normal(size=filters) * 0.1
    return Linear((source,), matrix, bias[filter_], True, parameter[order], filter_)


def max_pool(channels: int, side: int, source: int) -> Maximum:
    """Return the maximum of each 2x2 square."""
    index = np.arange(channels * side * side).reshape(channels, side, side)
    corners = [index[:, a::2, b::2].reshape(-1) for a in (0, 1) for b in (0, 1)]
    return Maximum(source, np.stack(corners, axis=1))


def lenet(seed: int = 0) -> Graph:
    """Return LeNet for images of 28x28 in 0 to 255."""
    rng = np.random.default_rng(seed)
    first = convolution(rng, 1, 28, 6, 5, 0)
    scaled = type(first.matrix)(784, first.matrix.indptr, first.matrix.indices, first.matrix.values / 255)
    nodes: list[Node] = [Input(784), Linear((0,), scaled, first.bias, True, first.tied, first.bias_tied)]
    nodes += [max_pool(6, 24, 1), Relu(2), convolution(rng, 6, 12, 16, 5, 3), max_pool(16, 8, 4), Relu(5)]
    for width, rows in ((256, 120), (120, 84), (84, 10)):
        weights = rng.normal(size=(rows, width)) * np.sqrt(2 / width)
        nodes += [dense(weights, rng.normal(size=rows) * 0.1, len(nodes) - 1), Relu(len(nodes))]
    return graph_of(nodes[:-1], link=Link.SOFTMAX, labels=[str(each) for each in range(10)])


def settings(
    *inputs: InputRange, fractional_bits: int = 8, weight_bits: int = 8, weights: WeightSpec | None = None
) -> ModelSettings:
    """Return settings that show the scores."""
    return ModelSettings(
        inputs, OutputSpec(Reveal.PUBLIC), weights or WeightSpec(), fractional_bits, weight_bits
    )


def fixed_and_real(graph: Graph, chosen: ModelSettings, rows: Any) -> tuple[Program, Any, Any]:
    """Return the program, and its scores and the graph's as reals, [rows, scores]; the interpreters must agree."""
    program = quantise(graph, chosen)
    evaluator = Evaluator(program)
    batch = evaluator.scores(rows)
    for row, scores in list(zip(rows, batch, strict=True))[:3]:
        raw = [int(each) for each in row]
        trace = interpreter.run(program, raw)
        assert trace.scores == tuple(int(each) for each in scores)
        assert all(
            oracle == tuple(int(each) for each in fast)
            for oracle, fast in zip(trace.values, evaluator.trace(raw), strict=True)
        )
    scale = np.repeat([2.0**each.scale for each in chosen.inputs], [each.count for each in chosen.inputs])
    real = np.stack([proving_graph_eval.scores(graph, np.asarray(row, float) / scale) for row in rows])
    return program, batch.astype(float) / 2.0**program.scale_bits, real


def random_rows(chosen: ModelSettings, count: int, seed: int = 0) -> Any:
    """Return rows of raw inputs in range; the first two are the ends of every range."""
    rng = np.random.default_rng(seed)
    fields = [each for each in chosen.inputs for _ in range(each.count)]
    rows = [[each.low for each in fields], [each.high for each in fields]]
    rows += [[int(rng.integers(each.low, each.high, endpoint=True)) for each in fields] for _ in range(count)]
    return np.array(rows)
