# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixed-point program between a model and its circuit: integers and exact bounds, nothing else.

A node yields a vector of integers; `sources` are positions of earlier nodes, concatenated where there are
several. A vector's `scale` s says that the integer n stands for the real n / 2^s; it is for people and for
reports, no operation here depends on it. Meaning of each node in plain integers: `interpreter.py`, the oracle.
Enclosing intervals: `bounds.py`. Constraints: proving/constraints.

The circuit is a function of `Program` alone, so everything in it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

from proving.settings import InputRange, OutputSpec, WeightSpec
from proving.sparse import Array, Sparse

Ref = int
"""The position of a node in `Program.nodes`."""


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """The raw inputs made unsigned: `u = raw - low`, so `0 <= u < 2^bits`; all fields, concatenated."""

    size: int


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """Committed weights, unsigned: `u = w + 2^(bits-1)`, so `0 <= u < 2^bits`; at most one such node.

    `values` are this owner's; the circuit depends on `size` and `bits` alone. Nothing checks their range in
    the circuit: for weights outside it the circuit computes a (partial) function all the same.
    """

    size: int
    bits: int


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    values: Array


@dataclass(frozen=True, slots=True, eq=False)
class Gather:
    """`y[i] = concat(sources)[index[i]]`. Costs nothing."""

    sources: tuple[Ref, ...]
    index: Array


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """`y = matrix @ concat(sources) + bias`, all integers. Costs nothing: combinations compose."""

    sources: tuple[Ref, ...]
    matrix: Sparse
    bias: Array


@dataclass(frozen=True, slots=True, eq=False)
class Multiply:
    """Elementwise product; one constraint each."""

    left: Ref
    right: Ref


@dataclass(frozen=True, slots=True, eq=False)
class Rescale:
    """`floor(x / 2^shift)`, or `floor(max(x, 0) / 2^shift)` with `relu`; one decomposition, at most bits + 2.

    `shift` may be 0 with `relu` only. `relu` with bounds that never are negative is a plain rescale.
    """

    source: Ref
    shift: int
    relu: bool


@dataclass(frozen=True, slots=True, eq=False)
class Maximum:
    """Elementwise the larger of two vectors, `right + relu(left - right)`: one decomposition of the difference.

    Costs what a Rescale of `left - right` with `relu` and no shift costs. A node of its own, since intervals of the
    sum would forget what the summands have in common.
    """

    left: Ref
    right: Ref


@dataclass(frozen=True, slots=True, eq=False)
class NonNegative:
    """1 where `x >= 0`, else 0; one decomposition, at most bits + 1. All comparisons come down to it."""

    source: Ref


@dataclass(frozen=True, slots=True, eq=False)
class Select:
    """`then` where the condition (0 or 1 by its bounds) is 1, else `otherwise`; one constraint each."""

    condition: Ref
    then: Ref
    otherwise: Ref


@dataclass(frozen=True, slots=True, eq=False)
class Quotient:
    """`floor(left / right)`; by their bounds `left >= 0` and `right >= 1`. Remainder and quotient are range-checked."""

    left: Ref
    right: Ref


@dataclass(frozen=True, slots=True, eq=False)
class Thermometer:
    """For each element i and each of its thresholds q: 1 where `x[i] > q`, else 0.

    `thresholds[i]` rise strictly and lie in `[low_i, high_i)` of the source's bounds; the outputs are ordered by i,
    then by threshold. Trees are made of it, and Piecewise. Costs (m+1) + 2(k+1) for m thresholds and k bits of the
    widest bucket between two, and proves that x[i] is within its bounds.
    """

    source: Ref
    thresholds: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Piecewise:
    """A function of one variable on segments of any lengths: `y[i] = slopes[k] * x[i] + intercepts[k]`.

    `source` x is also the source of the node `thermometer`, whose thresholds are where segments end; k is the number
    of ones that element i has there, counted from the element's first segment: element i with m thresholds has m + 1
    slopes and as many intercepts, one element's after the other's. One product each.
    """

    source: Ref
    thermometer: Ref
    slopes: Array
    intercepts: Array


Node = (
    Input | Parameter | Constant | Gather | Linear | Multiply | Rescale | Maximum | NonNegative | Select
    | Quotient | Thermometer | Piecewise
)


def sources_of(node: Node) -> tuple[Ref, ...]:
    """Return the positions of the nodes that a node reads."""
    match node:
        case Input() | Parameter() | Constant():
            return ()
        case Gather() | Linear():
            return node.sources
        case Multiply() | Maximum() | Quotient():
            return (node.left, node.right)
        case Select():
            return (node.condition, node.then, node.otherwise)
        case Rescale() | NonNegative() | Thermometer():
            return (node.source,)
        case Piecewise():
            return (node.source, node.thermometer)


@dataclass(frozen=True, slots=True)
class Revealed:
    """What the statement says of the output: the `count` unsigned integers of `ref`, each below 2^bits by its bounds.

    n stands for the real `(n - offset) / 2^scale`; a predicate is one bit. `name` is the output's name in the schema
    of a committed output: "scores", "label", or an ONNX output's. Made by fixedpoint/outputs.py.
    """

    ref: Ref
    name: str
    count: int
    bits: int
    offset: int
    scale: int


@dataclass(frozen=True, slots=True)
class Approximation:
    """A layer's function is off by at most `error`, or by `error` times its value where that is above 1."""

    label: str
    function: str
    error: float


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A whole model in integers.

    `inputs` and `output`, `weights`: as in proving/settings.py. `scores` is the vector that the output speaks of, at
    `scale_bits` fractional bits. `scales[ref]` and `labels[ref]` are for reports.
    `approximations` are for reports too.
    `parameter_values` (int64, size of the Parameter node, unsigned) are no part of the circuit.
    `threshold` is the integer, at the score's scale, of a predicate with a constant threshold. Where the threshold is a
    public input (`output.threshold_public`), it is the last field of `inputs`, one element at the scale `score_bits`,
    and the last element of the Input node. Every made program has `revealed`.
    """

    inputs: tuple[InputRange, ...]
    weights: WeightSpec
    output: OutputSpec
    nodes: tuple[Node, ...]
    scores: Ref
    scale_bits: int
    scales: tuple[int, ...]
    labels: tuple[str, ...]
    threshold: int | None = None
    parameter_values: Array | None = None
    revealed: Revealed | None = None
    approximations: tuple[Approximation, ...] = ()
