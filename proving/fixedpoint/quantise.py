# SPDX-License-Identifier: GPL-3.0-or-later
"""Real numbers to integers: a graph and its settings become a program. Deterministic to the last bit.

A vector of activations has `fractional_bits` after each rounding, and roundings are rare: an affine map only adds
to the scale, so a chain of them needs none; a ReLU rounds in its own decomposition; a product or a quotient
rounds what would get too wide. Which scale an affine map adds: affine.py. Inputs are `raw - low`, and the
next affine map takes `low` into its bias.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from protocol.errors import CompileSettingsError
from proving.fixedpoint import elementwise, functions, largest, outputs, private_weights, trees
from proving.fixedpoint.affine import constant_scale, integer_map, to_integers
from proving.fixedpoint.bounds import input_bounds
from proving.fixedpoint.lowering import WIDE_BITS, Lowering, Value
from proving.fixedpoint.passes.affine_chains import fused
from proving.fixedpoint.passes.dead import without_dead_nodes
from proving.fixedpoint.passes.reading import needed, without_unread_rows
from proving.fixedpoint.passes.softmax import below_maximum
from proving.fixedpoint.program import Constant, Gather, Input, Linear, Program
from proving.fixedpoint.tree_cuts import Element
from proving.importer import graph
from proving.settings import Encoding, InputRange, ModelSettings
from proving.sparse import Array, exact

LEAF_BITS = 24
"""Leaves of trees have at least the precision of float32: selections cost the same at any width."""
PROVISIONAL = InputRange("public threshold", 0, 1)
"""Stands for a public threshold until the range of the scores, and so its own, is known."""


def quantise(model: graph.Graph, settings: ModelSettings) -> Program:
    """Return the fixed-point program of a model.

    Raises:
        CompileSettingsError: the settings do not fit the model.
        WeightError: a weight or a sum is too large.
        UnsupportedOperatorError: a layer needs what cannot be shown (a positive divisor), or has no circuit.
    """
    _check_inputs(model, settings)
    lowering = Lowering(settings)
    scores, link, labels = _target(model, settings)
    nodes = without_unread_rows(model.nodes, scores)
    model = replace(model, nodes=nodes if private_weights.wanted(settings) else fused(nodes, scores))
    values = _Values(model, lowering)
    value = values.of(scores)
    lowering.layer = "output"
    value = lowering.plain(value)
    return replace(_finished(lowering, value, link, labels), parameter_values=values.parameters)


def _check_inputs(model: graph.Graph, settings: ModelSettings) -> None:
    first = model.nodes[0]
    size = first.size if isinstance(first, graph.Input) else 0
    described = sum(each.count for each in settings.inputs)
    if size != described:
        raise CompileSettingsError(f"The model takes {size} inputs, the settings describe {described}.")


def _target(model: graph.Graph, settings: ModelSettings) -> tuple[graph.Ref, graph.Link, tuple[str, ...]]:
    """Return what is computed: the head's scores, or one of the model's own outputs."""
    wanted = settings.output.target
    if wanted in ("scores", "label"):
        # Also where an output of the model has this name: skl2onnx calls its own label so.
        return model.head.scores, model.head.link, model.head.labels
    for output in model.outputs:
        if output.name == wanted:
            return output.ref, graph.Link.NONE, ()
    known = ", ".join(repr(each.name) for each in model.outputs)
    raise CompileSettingsError(f"The model has no output {wanted!r}; choose scores, label, or one of {known}.")


def _finished(lowering: Lowering, value: Value, link: graph.Link, labels: tuple[str, ...]) -> Program:
    settings, bounds = lowering.settings, lowering.bounds[value.ref]
    scale = int(value.scale.max(initial=0))
    scores = outputs.Scores(value.ref, bounds.low, bounds.high, scale, link, labels)
    end = outputs.finish(settings, scores, input_node=0, first=len(lowering.nodes))
    _set_inputs(lowering, end.inputs)
    for node in end.nodes:
        lowering.add(node, 0)
    if end.revealed.ref < len(lowering.scales):
        lowering.scales[end.revealed.ref] = end.revealed.scale
    program = Program(
        inputs=end.inputs,
        weights=settings.weights,
        output=settings.output,
        nodes=tuple(lowering.nodes),
        scores=value.ref,
        scale_bits=scale,
        scales=tuple(lowering.scales),
        labels=tuple(lowering.labels),
        threshold=end.threshold,
        revealed=end.revealed,
        approximations=tuple(lowering.approximations),
    )
    return without_dead_nodes(program)


def _set_inputs(lowering: Lowering, inputs: tuple[InputRange, ...]) -> None:
    """Let the inputs be these from here on: what was provisional becomes the threshold."""
    lowering.inputs = inputs
    lowering.bounds[0] = input_bounds(inputs)


class _Values:
    """The value of each node of the graph, lowered when it is first asked for."""

    def __init__(self, model: graph.Graph, lowering: Lowering) -> None:
        self._model, self._lowering = model, lowering
        self._known: dict[graph.Ref, Value] = {}
        self._private: private_weights.PrivateWeights | None = None

    @property
    def parameters(self) -> Array | None:
        """The owner's weights, where they are private."""
        return None if self._private is None else self._private.values

    def of(self, wanted: graph.Ref) -> Value:
        model, lowering = self._model, self._lowering
        refs = needed(model.nodes, wanted)
        for ref in refs:
            lowering.layer = model.labels[ref] if model.labels else f"node {ref}"
            self._known[ref] = self._lowered(ref, model.nodes[ref])
            if ref == 0 and private_weights.wanted(lowering.settings):
                self._private = private_weights.PrivateWeights(lowering, model.nodes, refs)
        return self._known[wanted]

    def _lowered(self, ref: graph.Ref, node: graph.Node) -> Value:
        lowering, known = self._lowering, self._known
        match node:
            case graph.Input():
                return _input(lowering)
            case graph.Constant():
                return _constant(lowering, node.values)
            case graph.Gather():
                return lowering.gathered([known[each] for each in node.sources], node.index)
            case graph.Linear():
                sources = [known[each] for each in node.sources]
                if node.trained and self._private is not None:
                    return _private_layer(lowering, self._private, ref, node, sources)
                return _linear(lowering, node, sources)
            case graph.Multiply():
                return elementwise.multiply(lowering, known[node.left], known[node.right])
            case graph.Divide():
                return elementwise.divide(lowering, known[node.left], known[node.right])
            case graph.Relu():
                return elementwise.relu(lowering, known[node.source])
            case graph.Maximum():
                return largest.maximum(lowering, known[node.source], node.groups)
            case graph.Compare():
                return elementwise.compare(lowering, node.comparison, known[node.left], known[node.right])
            case graph.Select():
                operands = (known[each] for each in (node.condition, node.then, node.otherwise))
                return elementwise.select(lowering, *operands)
            case graph.Apply():
                sizes = {each: value.size for each, value in known.items()}
                below = node.function is graph.Function.EXP and below_maximum(self._model.nodes, sizes, node.source)
                return functions.apply(lowering, known[node.source], node.function, most=0 if below else None)
            case graph.Round():
                return elementwise.rounded(lowering, known[node.source], node.rounding)
            case graph.ArgMax():
                return largest.arg_max(lowering, known[node.source], node.groups, node.last)
            case graph.Trees():
                return _trees(lowering, node, known[node.source])


def _input(lowering: Lowering) -> Value:
    fields = lowering.settings.inputs
    counts = [each.count for each in fields]
    size = sum(counts)
    if lowering.settings.output.threshold_public:
        lowering.inputs = (*fields, PROVISIONAL)
    ref = lowering.add(Input(outputs.input_size(lowering.settings)), max(each.scale for each in fields))
    if lowering.settings.output.threshold_public:
        ref = lowering.add(Gather((ref,), np.arange(size, dtype=np.int64)), lowering.scales[ref])
    coded = np.repeat([each.encoding is Encoding.FLOAT32 for each in fields], counts)
    offset = exact(np.repeat(np.array([each.low for each in fields], dtype=object), counts))
    span = [float(np.ldexp(float((1 << each.bits) - 1), -each.scale)) for each in fields]
    return Value(
        ref,
        np.repeat(np.array([each.scale for each in fields], dtype=np.int64), counts),
        np.repeat(np.array(span, dtype=np.float64), counts),
        offset if np.any(offset != 0) else None,
        True,
        coded if coded.any() else None,
    )


def _constant(lowering: Lowering, values: Array) -> Value:
    reals = np.asarray(values, dtype=np.float64)
    scale = constant_scale(reals, lowering.settings.weight_bits, lowering.layer)
    scaled = np.ldexp(reals, scale)
    integers = to_integers(np.rint(scaled))
    ref = lowering.add(Constant(integers), scale)
    return Value(
        ref, np.full(len(reals), scale, np.int64), np.abs(reals), None, bool(np.all(scaled == np.rint(scaled)))
    )


def _linear(lowering: Lowering, node: graph.Linear, sources: list[Value]) -> Value:
    for each in sources:
        lowering.refuse_coded(each)
    sources = [_narrowed_where_cheaper(lowering, each, node) for each in sources]
    value = _affine(lowering, node, sources)
    if lowering.bits(value.ref) > WIDE_BITS:
        narrow = [lowering.narrowed(each) for each in sources]
        value = _affine(lowering, node, narrow)
    return value


def _private_layer(
    lowering: Lowering,
    private: private_weights.PrivateWeights,
    ref: graph.Ref,
    node: graph.Linear,
    sources: list[Value],
) -> Value:
    """Products with weights are constraints, so what they multiply is rescaled to the precision of activations."""
    for each in sources:
        lowering.refuse_coded(each)
    return private.layer(ref, node, [each if each.exact else lowering.narrowed(each) for each in sources])


def _affine(lowering: Lowering, node: graph.Linear, sources: list[Value]) -> Value:
    joined = lowering.joined(sources)
    bits = lowering.settings.weight_bits
    found = integer_map(node.matrix, node.bias, joined, bits, node.trained, lowering.layer)
    ref = lowering.add(Linear(tuple(each.ref for each in sources), found.matrix, found.bias), found.scale)
    value = lowering.value(ref, found.scale, found.exact)
    if node.trained:
        return value
    reach = np.bincount(
        node.matrix.row_of_entry(),
        weights=np.abs(node.matrix.values) * joined.span[node.matrix.indices],
        minlength=node.matrix.rows,
    )
    return Value(ref, value.scale, reach, None, found.exact)


def _narrowed_where_cheaper(lowering: Lowering, value: Value, node: graph.Linear) -> Value:
    """Rescale a source that is finer than activations are, if that costs less than its bits in every row."""
    spare = int(value.scale.max(initial=0)) - lowering.precision
    if spare <= 0 or value.exact or not node.trained or value.offset is not None:
        return value
    cost = value.size * (lowering.bits(value.ref) + 2)
    return lowering.narrowed(value) if cost < spare * node.matrix.rows else value


def _trees(lowering: Lowering, node: graph.Trees, value: Value) -> Value:
    bounds = lowering.bounds[value.ref]
    offset = np.zeros(value.size, np.int64) if value.offset is None else value.offset
    coded = np.zeros(value.size, np.bool_) if value.coded is None else value.coded
    elements = [
        Element(int(low), int(high), int(move), int(scale), Encoding.FLOAT32 if code else Encoding.INTEGER)
        for low, high, move, scale, code in zip(bounds.low, bounds.high, offset, value.scale, coded, strict=True)
    ]
    first = len(lowering.nodes)
    lowered = trees.lower(node, elements, value.ref, first, max(lowering.precision, LEAF_BITS))
    for each in lowered.nodes:
        lowering.add(each, 0)
    lowering.scales[lowered.result] = lowered.scale
    return lowering.value(lowered.result, lowered.scale)
