# SPDX-License-Identifier: GPL-3.0-or-later
"""The graph between a model file and its fixed-point program: real numbers, flat vectors, static shapes.

A node yields one vector; tensors are flattened in row-major order, batch dimension of one included. Shapes,
axes, strides and broadcasting are gone: the importer has turned them into indices. `sources` are positions
of earlier nodes in `Graph.nodes`; where a node has several, it sees their concatenation. Booleans and class
indices are the reals 0, 1, 2...

Constants are float64; whoever computes with them uses elementwise IEEE-754 operations (correctly rounded
everywhere) or exact rationals, never BLAS, libm or a reduction whose order may vary: the circuit must be the
same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from proving.sparse import Array, Sparse

Ref = int
"""The position of a node in `Graph.nodes`."""


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """The model's inputs, all ONNX inputs flattened and concatenated: exactly one such node, the first."""

    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    values: Array


@dataclass(frozen=True, slots=True, eq=False)
class Gather:
    """`y[i] = concat(sources)[index[i]]`: reshape, transpose, slice, concat, pad (with a Constant), expand."""

    sources: tuple[Ref, ...]
    index: Array


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """`y = matrix @ concat(sources) + bias`: dense and convolution layers, normalisation, sums, averages, + and -.

    `trained`: matrix and bias are the model's weights (what `weights: private` hides), not structure.
    `tied[e]` numbers the parameter behind entry e (a kernel's weight occurs many times); None: each its own.
    `bias_tied` likewise for the bias, with numbers of its own; -1: this output has no bias, and its offset is 0.
    Entries and biases of one number have one value. Where `trained`, the matrix keeps its zeros: the places of its
    entries are architecture, their values are not. It may have no entries at all: a learnt vector.
    """

    sources: tuple[Ref, ...]
    matrix: Sparse
    bias: Array
    trained: bool = False
    tied: Array | None = None
    bias_tied: Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Multiply:
    """Elementwise product of two vectors of one size."""

    left: Ref
    right: Ref


@dataclass(frozen=True, slots=True, eq=False)
class Divide:
    """Elementwise quotient; the divisor must be shown positive by its interval, or the model is refused."""

    left: Ref
    right: Ref


@dataclass(frozen=True, slots=True, eq=False)
class Relu:
    source: Ref


@dataclass(frozen=True, slots=True, eq=False)
class Maximum:
    """`y[i] = max(source[groups[i]])`; `groups` is int64[n, k]. MaxPool, ReduceMax, Max of two (by Gather)."""

    source: Ref
    groups: Array


class Comparison(StrEnum):
    GREATER = ">"
    GREATER_EQUAL = ">="
    EQUAL = "=="


@dataclass(frozen=True, slots=True, eq=False)
class Compare:
    """Elementwise 1 where `left <comparison> right`, else 0. Less is Compare with the sides changed."""

    comparison: Comparison
    left: Ref
    right: Ref


@dataclass(frozen=True, slots=True, eq=False)
class Select:
    """`y = then where condition else otherwise`; the condition is 0 or 1."""

    condition: Ref
    then: Ref
    otherwise: Ref


class Function(StrEnum):
    """Smooth functions of one variable, approximated with a stated error."""

    SIGMOID = "sigmoid"
    TANH = "tanh"
    EXP = "exp"
    LOG = "log"
    SQRT = "sqrt"
    RECIPROCAL = "reciprocal"
    ERF = "erf"
    SOFTPLUS = "softplus"
    SIN = "sin"
    COS = "cos"
    ATAN = "atan"


@dataclass(frozen=True, slots=True, eq=False)
class Apply:
    """`y = function(x)`, elementwise."""

    source: Ref
    function: Function


class Rounding(StrEnum):
    FLOOR = "floor"
    CEIL = "ceil"
    NEAREST_EVEN = "nearest_even"
    TOWARDS_ZERO = "towards_zero"


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """To whole numbers: Floor, Ceil, Round, Cast to an integer, and (behind a Linear and a clip) QuantizeLinear."""

    source: Ref
    rounding: Rounding


@dataclass(frozen=True, slots=True, eq=False)
class ArgMax:
    """`y[i]` = position within `groups[i]` (int64[n, k]) of the largest element; the first of equals, or the last."""

    source: Ref
    groups: Array
    last: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    """An inner node: go to `yes` where `feature <= threshold` (or `<`, if strict), else to `no`.

    Positions at or above 0 are splits of the tree, `-1 - leaf` is a leaf.
    """

    feature: int
    threshold: float
    strict: bool
    yes: int
    no: int


@dataclass(frozen=True, slots=True)
class Tree:
    """`splits[0]` is the root (no splits: the leaf 0); `leaves[i]` are the weights that leaf i adds to each score."""

    splits: tuple[Split, ...]
    leaves: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Scaler:
    """`y[i] = (x[i] - offset[i]) * scale[i]`, each operation rounded to float32, as a runtime does (ml's Scaler)."""

    offset: Array
    scale: Array


@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """`y = base + sum of each tree's leaf`; thresholds are float32 values, compared as float32 does.

    `scaler` is what stands between source and trees, kept apart from Linear so that its rounding is that of float32.
    """

    source: Ref
    base: tuple[float, ...]
    trees: tuple[Tree, ...]
    scaler: Scaler | None = None


Node = (
    Input | Constant | Gather | Linear | Multiply | Divide | Relu | Maximum | Compare | Select
    | Apply | Round | ArgMax | Trees
)


class Link(StrEnum):
    """How scores become probabilities: what the importer left out, because it keeps the order of the scores."""

    NONE = "none"
    SIGMOID = "sigmoid"
    SOFTMAX = "softmax"


@dataclass(frozen=True, slots=True)
class Output:
    """One ONNX output, computed to its end: reference, and the shape that its flat vector has in the model."""

    name: str
    ref: Ref
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """The natural place to stop: the scores in front of a final sigmoid, softmax and label read-out.

    One score and `sigmoid`: the last label is the positive class and the score its logit. Otherwise one score a
    label (classifier), or, with no labels and Link.NONE, plain values (regressor).
    """

    scores: Ref
    link: Link
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """A whole model. `outputs` are the ONNX outputs that are vectors of numbers; `head` is what is proved by default.

    `input_names` and `input_shapes` are those of the ONNX inputs, in the order in which they are concatenated.
    Names of nodes for messages and for the constraints-per-layer table: `labels[ref]`.
    """

    nodes: tuple[Node, ...]
    head: Head
    outputs: tuple[Output, ...]
    input_names: tuple[str, ...]
    input_shapes: tuple[tuple[int, ...], ...]
    labels: tuple[str, ...] = field(default=())
