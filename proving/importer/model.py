# SPDX-License-Identifier: GPL-3.0-or-later
"""ONNX bytes to a graph: the importer's one public function.

Reading and checking: reader.py. Each operator's meaning: operators/. Where the proof stops: head.py. What is then
made smaller: passes/.
"""

from __future__ import annotations

import math

import numpy as np

from protocol.errors import MalformedModelError, UnsupportedOperatorError
from proving.importer.builder import Builder
from proving.importer.call import Call
from proving.importer.graph import Graph, Input, Output
from proving.importer.head import find_head
from proving.importer.node import Node
from proving.importer.operators import RULES
from proving.importer.passes import simplify
from proving.importer.reader import ModelFile, read
from proving.importer.values import Fixed, Value, Variable

SUPPORTED = frozenset(f"{domain}.{name}" if domain else name for domain, name in RULES)
"""Every operator that the importer knows; some in some forms only."""
_MISFITS = (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError)
"""What numpy raises where operands do not fit each other."""


def import_model(data: bytes) -> Graph:
    """Return the graph of a model file.

    Raises:
        ModelTooLargeError: it passes a limit of limits.py.
        MalformedModelError: it is no self-contained, well-formed ONNX model.
        UnsupportedOperatorError: operators that the importer does not know, or not in this form: all of them, each
            with its node and the reason.
        WeightError: a weight is NaN, infinite or beyond 2^64.
    """
    model = read(data)
    _check_operators(model)
    builder = Builder()
    with np.errstate(all="ignore"):  # what is not finite is refused where it enters the graph
        values = _inputs(builder, model)
        failures: list[str] = []
        for node in model.nodes:
            _import_node(builder, node, values, failures)
        if failures:
            raise UnsupportedOperatorError(_listed(failures))
        return _graph(builder, model, values)


def _check_operators(model: ModelFile) -> None:
    """Name every operator that is not known, before any work."""
    unknown = [f"{node.title} is not supported." for node in model.nodes
               if (node.domain, node.operator) not in RULES]
    if unknown:
        raise UnsupportedOperatorError(_listed(unknown))


MAX_LISTED = 20


def _listed(failures: list[str]) -> str:
    rest = len(failures) - MAX_LISTED
    return " ".join(failures[:MAX_LISTED]) + (f" And {rest} more." if rest > 0 else "")


def _inputs(builder: Builder, model: ModelFile) -> dict[str, Value | None]:
    """Return the inputs, all in one node, and the constants, by name."""
    builder.label = "input"
    values: dict[str, Value | None] = dict(model.constants)
    sizes = [int(np.prod(each.shape, dtype=np.int64)) for each in model.inputs]
    elements = builder.emit(Input(sum(sizes)), sum(sizes))
    start = 0
    for each, size in zip(model.inputs, sizes, strict=True):
        values[each.name] = Variable(elements[start : start + size].reshape(each.shape), each.type)
        start += size
    return values


def _import_node(builder: Builder, node: Node, values: dict[str, Value | None], failures: list[str]) -> None:
    """Add a node's values; None for those of a node that failed, or that needs one that did."""
    operands = [values[name] if name else None for name in node.inputs]
    if any(name and value is None for name, value in zip(node.inputs, operands, strict=True)):
        values.update(dict.fromkeys(node.outputs))
        return
    builder.label = node.name
    try:
        result = RULES[node.domain, node.operator](Call(node, builder, tuple(operands)))
    except UnsupportedOperatorError as refusal:
        failures.append(refusal.message)
        values.update(dict.fromkeys(node.outputs))
        return
    except _MISFITS as error:
        raise MalformedModelError(f"{node.title} has operands that do not fit it: {error!s:.200}.") from None
    results = result if isinstance(result, tuple) else (result,)
    builder.spend(sum(math.prod(each.shape) for each in results))
    if any(node.outputs[len(results) :]):
        failures.append(node.unsupported(f"has more outputs than the {len(results)} supported").message)
        values.update(dict.fromkeys(node.outputs))
        return
    values.update(zip(node.outputs, results, strict=False))


def _graph(builder: Builder, model: ModelFile, values: dict[str, Value | None]) -> Graph:
    found: list[tuple[str, Variable]] = []
    for name in model.outputs:
        value = values[name]
        if isinstance(value, Variable):
            found.append((name, value))
        elif isinstance(value, Fixed) and value.values.dtype != object:
            builder.label = name
            found.append((name, builder.variable(value)))
    if not found:
        raise UnsupportedOperatorError("The model has no output that depends on its input.")
    head = find_head(builder, [each for _, each in found])
    outputs = tuple(Output(name, builder.vector(each.elements), each.shape)
                    for name, each in found if not each.table)
    graph = Graph(
        tuple(builder.nodes), head, outputs, tuple(each.name for each in model.inputs),
        tuple(each.shape for each in model.inputs), tuple(builder.labels),
    )
    return simplify(graph)
