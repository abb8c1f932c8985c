# SPDX-License-Identifier: GPL-3.0-or-later
"""The oracle: what a program computes, in plain integers and the plainest of code.

Nothing here is fast, and nothing depends on bounds or scales. `batch.py` computes the same for many rows at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protocol.errors import InputRangeError, InputShapeError
from proving.fixedpoint.program import (
    Constant,
    Gather,
    Input,
    Linear,
    Maximum,
    Multiply,
    Node,
    NonNegative,
    Parameter,
    Piecewise,
    Program,
    Quotient,
    Ref,
    Rescale,
    Select,
    Thermometer,
)
from proving.settings import InputRange

Vector = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """`values[ref]` is the vector of each node; the representation is as private as the inputs."""

    values: tuple[Vector, ...]
    scores: Vector

    def __repr__(self) -> str:
        return f"Trace({len(self.values)} nodes)"


def run(program: Program, raw_inputs: Sequence[int]) -> Trace:
    """Evaluate a program on raw integer inputs, all fields concatenated.

    Raises:
        InputShapeError: wrong number of inputs.
        InputRangeError: an input is outside its range.
    """
    unsigned = _unsigned(program.inputs, raw_inputs)
    parameters = () if program.parameter_values is None else tuple(int(each) for each in program.parameter_values)
    values: list[Vector] = []
    for node in program.nodes:
        values.append(value_of(node, program.nodes, values, unsigned, parameters))
    return Trace(tuple(values), values[program.scores])


def value_of(
    node: Node, nodes: Sequence[Node], values: Sequence[Vector], inputs: Vector, parameters: Vector
) -> Vector:
    """Return the vector of one node, given those of all earlier ones."""
    match node:
        case Input():
            return inputs
        case Parameter():
            return parameters
        case Constant():
            return tuple(int(each) for each in node.values)
        case Gather():
            joined = _joined(values, node.sources)
            return tuple(joined[int(i)] for i in node.index)
        case Linear():
            joined = _joined(values, node.sources)
            return tuple(
                int(bias) + sum(int(factor) * joined[column] for column, factor in node.matrix.row(row).items())
                for row, bias in enumerate(node.bias)
            )
        case Multiply():
            return tuple(a * b for a, b in zip(values[node.left], values[node.right], strict=True))
        case Rescale():
            return tuple((max(x, 0) if node.relu else x) >> node.shift for x in values[node.source])
        case Maximum():
            return tuple(max(a, b) for a, b in zip(values[node.left], values[node.right], strict=True))
        case NonNegative():
            return tuple(int(x >= 0) for x in values[node.source])
        case Select():
            triples = zip(values[node.condition], values[node.then], values[node.otherwise], strict=True)
            return tuple(then if condition else otherwise for condition, then, otherwise in triples)
        case Quotient():
            return tuple(a // b for a, b in zip(values[node.left], values[node.right], strict=True))
        case Thermometer():
            pairs = zip(values[node.source], node.thresholds, strict=True)
            return tuple(int(x > threshold) for x, thresholds in pairs for threshold in thresholds)
        case Piecewise():
            thermometer = nodes[node.thermometer]
            assert isinstance(thermometer, Thermometer)
            result, first = [], 0
            for x, thresholds in zip(values[node.source], thermometer.thresholds, strict=True):
                segment = first + sum(x > threshold for threshold in thresholds)
                result.append(int(node.slopes[segment]) * x + int(node.intercepts[segment]))
                first += len(thresholds) + 1
            return tuple(result)


def _joined(values: Sequence[Vector], sources: Sequence[Ref]) -> Vector:
    return tuple(each for source in sources for each in values[source])


def _unsigned(fields: Sequence[InputRange], raw_inputs: Sequence[int]) -> Vector:
    elements = [field for field in fields for _ in range(field.count)]
    if len(raw_inputs) != len(elements):
        raise InputShapeError(f"The program takes {len(elements)} inputs, {len(raw_inputs)} were given.")
    for field, value in zip(elements, raw_inputs, strict=True):
        if not field.low <= value <= field.high:
            raise InputRangeError(f"A value of input {field.name!r} is outside {field.low} to {field.high}.")
    return tuple(int(value) - field.low for field, value in zip(elements, raw_inputs, strict=True))
