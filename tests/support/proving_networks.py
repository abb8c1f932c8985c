# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of a given shape as programs, with random weights of eight bits: for sizes and times, not for answers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from proving_programs import program_of

from proving.fixedpoint.program import Input, Linear, Node, Program, Rescale
from proving.settings import InputRange
from proving.sparse import Sparse, compose

SHIFT = 8


def dense_network(sizes: Sequence[int], bits: int = 8, seed: int = 0) -> Program:
    """Return Linear and ReLU in turn; `sizes` from inputs to scores."""
    rng = np.random.default_rng(seed)
    nodes: list[Node] = [Input(sizes[0])]
    for place, (width, rows) in enumerate(pairwise(sizes)):
        _append(nodes, _dense(rng, width, rows), last=place == len(sizes) - 2)
    return program_of(nodes, (InputRange("x", 0, bits, sizes[0]),))


def lenet(seed: int = 0) -> Program:
    """Return LeNet on 28x28: convolutions 6 and 16 of 5x5, sums over 2x2 folded into what follows, 120, 84, 10."""
    rng = np.random.default_rng(seed)
    nodes: list[Node] = [Input(784)]
    _append(nodes, _convolution(rng, 1, 28, 6, 5))
    _append(nodes, compose(_convolution(rng, 6, 12, 16, 5), _pool(6, 24)))
    _append(nodes, compose(_dense(rng, 256, 120), _pool(16, 8)))
    _append(nodes, _dense(rng, 120, 84))
    _append(nodes, _dense(rng, 84, 10), last=True)
    return program_of(nodes, (InputRange("image", 0, 8, 784),))


def large_cnn(seed: int = 0) -> Program:
    """Return a CNN on 32x32x3 with about three million multiplications."""
    rng = np.random.default_rng(seed)
    nodes: list[Node] = [Input(3072)]
    _append(nodes, _convolution(rng, 3, 32, 16, 5))
    _append(nodes, compose(_convolution(rng, 16, 14, 32, 5), _pool(16, 28)))
    _append(nodes, compose(_dense(rng, 800, 128), _pool(32, 10)))
    _append(nodes, _dense(rng, 128, 10), last=True)
    return program_of(nodes, (InputRange("image", 0, 8, 3072),))


def _append(nodes: list[Node], matrix: Sparse, last: bool = False) -> None:
    nodes.append(Linear((len(nodes) - 1,), matrix, np.arange(matrix.rows, dtype=np.int64)))
    if not last:
        nodes.append(Rescale(len(nodes) - 1, SHIFT, relu=True))


def _weights(rng: np.random.Generator, count: int) -> np.ndarray:
    weights = np.rint(rng.standard_normal(count) * 30).astype(np.int64)
    return np.where(weights == 0, 1, weights)


def _dense(rng: np.random.Generator, width: int, rows: int) -> Sparse:
    indptr = np.arange(rows + 1, dtype=np.int64) * width
    return Sparse(width, indptr, np.tile(np.arange(width, dtype=np.int64), rows), _weights(rng, rows * width))


def _convolution(rng: np.random.Generator, channels: int, side: int, filters: int, kernel: int) -> Sparse:
    """Return a valid convolution of stride 1 as a matrix; outputs by filter, row, column."""
    out = side - kernel + 1
    weights = _weights(rng, filters * channels * kernel * kernel).reshape(filters, -1)
    c, y, x = (each.ravel() for each in np.meshgrid(np.arange(channels), np.arange(kernel), np.arange(kernel),
                                                      indexing="ij"))
    window = (c * side + y) * side + x
    corner = (np.arange(out)[:, None] * side + np.arange(out)[None, :]).ravel()
    columns = np.tile((corner[:, None] + window[None, :]).ravel(), filters)
    values = np.repeat(weights, out * out, axis=0).ravel()
    rows = filters * out * out
    return Sparse(channels * side * side, np.arange(rows + 1) * len(window), columns, values)


def _pool(channels: int, side: int) -> Sparse:
    """Return the sums over windows of 2x2 as a matrix."""
    half = side // 2
    c, y, x = (each.ravel() for each in np.meshgrid(np.arange(channels), np.arange(half), np.arange(half),
                                                      indexing="ij"))
    corner = (c * side + 2 * y) * side + 2 * x
    columns = (corner[:, None] + np.array([0, 1, side, side + 1])[None, :]).ravel()
    return Sparse(channels * side * side, np.arange(len(corner) + 1) * 4, columns, np.ones(len(columns), np.int64))
