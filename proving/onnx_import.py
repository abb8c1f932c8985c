# SPDX-License-Identifier: GPL-3.0-or-later
"""ONNX to exact dense layers: what skl2onnx writes for a scaler with a logistic regression or a ReLU MLP.

The importer walks the nodes and keeps, for the one value that depends on the input, an affine map over the
last ReLU's outputs. It stops at the logit: behind Sigmoid, Softmax or LinearClassifier only the read-out of
class and probability may follow, which the circuit does not need. Arithmetic is in exact rationals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from onnx import NodeProto

from protocol.errors import MalformedModelError, UnsupportedOperatorError, WeightError
from proving.network import Dense, Network
from proving.onnx_file import FLOATS, Constant, OnnxGraph, attribute, exact_number, read_onnx

READ_OUT = frozenset({
    "Identity", "Sub", "Concat", "ArgMax", "ArrayFeatureExtractor", "Reshape", "Cast", "Normalizer", "ZipMap",
})
"""Operators that turn logits into label and probabilities."""

Vector = tuple[Fraction, ...]


@dataclass(frozen=True, slots=True)
class _Scaled:
    """Elementwise `scale * v + offset`: what a scaler gives, before any matrix."""

    scale: Vector
    offset: Vector


@dataclass(slots=True)
class _Walk:
    """The state of the import: the current value's name and form, and the layers finished so far."""

    graph: OnnxGraph
    name: str
    form: _Scaled | Dense
    layers: list[Dense]
    labels: tuple[str, ...] = ()
    read_out: bool = False


def import_onnx(data: bytes) -> Network:
    """Return the network in a model file, up to its logits.

    Raises:
        ModelError: one of its kinds; an unsupported operator is named with its node and what is supported.
    """
    graph = read_onnx(data)
    identity = _Scaled((Fraction(1),) * graph.input_size, (Fraction(0),) * graph.input_size)
    walk = _Walk(graph, graph.input_name, identity, [])
    derived: set[str] = set()
    for node in graph.nodes:
        if walk.read_out:
            _read_out(walk, node, derived)
            continue
        rule = _RULES.get((_domain(node), node.op_type))
        if rule is None:
            raise _unsupported(node, "is not supported")
        rule(walk, node)
        derived = {*node.output}
    if not walk.read_out:
        raise UnsupportedOperatorError("The model does not end in a classifier (Sigmoid, Softmax, "
                                       "LinearClassifier).")
    size = len(walk.layers[-1].biases)
    labels = walk.labels if len(walk.labels) == max(2, size) else tuple(map(str, range(max(2, size))))
    return Network(graph.input_size, tuple(walk.layers), labels)


def _domain(node: NodeProto) -> str:
    return "" if node.domain == "ai.onnx" else node.domain


def _unsupported(node: NodeProto, what: str) -> UnsupportedOperatorError:
    domain = f"{node.domain}." if node.domain else ""
    supported = ", ".join(sorted(op for _, op in _RULES))
    return UnsupportedOperatorError(
        f"Node {node.name or node.output[:1]!r:.80}: operator {domain}{node.op_type:.40} {what}. "
        f"Supported up to the logits: {supported}; behind them: {', '.join(sorted(READ_OUT))}."
    )


def _advance(walk: _Walk, node: NodeProto, form: _Scaled | Dense) -> None:
    if len([each for each in node.output if each]) != 1:
        raise _unsupported(node, "has several outputs here")
    walk.name, walk.form = node.output[0], form


def _operand(walk: _Walk, node: NodeProto, index: int) -> Constant:
    """Return a constant operand; the model must be a chain, so the others are the current value."""
    name = node.input[index] if index < len(node.input) else ""
    if name not in walk.graph.constants:
        raise _unsupported(node, "needs a float constant as its other operand here")
    return walk.graph.constants[name]


def _takes_current(walk: _Walk, node: NodeProto, operands: int) -> None:
    if not node.input or len(node.input) != operands or node.input[0] != walk.name:
        raise _unsupported(node, "does not continue the chain from the input here")


def _width(form: _Scaled | Dense) -> int:
    return len(form.scale) if isinstance(form, _Scaled) else len(form.biases)


def _vector(walk: _Walk, node: NodeProto, constant: Constant) -> Vector:
    width = _width(walk.form)
    if constant.shape and any(each != 1 for each in constant.shape[:-1]):
        raise _unsupported(node, "has an operand that is no row")
    if len(constant.values) not in (1, width) or (len(constant.values) == 1 != width and constant.shape
                                                  and constant.shape[-1] != 1):
        raise _unsupported(node, f"has an operand whose size is not {width}")
    return constant.values if len(constant.values) == width else constant.values * width


def _elementwise(form: _Scaled | Dense, scale: Vector, offset: Vector) -> _Scaled | Dense:
    if isinstance(form, _Scaled):
        return _Scaled(
            tuple(a * s for a, s in zip(form.scale, scale, strict=True)),
            tuple(b * s + o for b, s, o in zip(form.offset, scale, offset, strict=True)),
        )
    return Dense(
        tuple(tuple(w * s for w in row) if s != 1 else row
              for row, s in zip(form.weights, scale, strict=True)),
        tuple(b * s + o for b, s, o in zip(form.biases, scale, offset, strict=True)),
    )


def _dense(walk: _Walk, node: NodeProto, rows: tuple[Vector, ...], biases: Vector) -> Dense:
    """Return the affine map `rows . v + biases` over the last ReLU; `rows[j]` is output j."""
    form = walk.form
    if not isinstance(form, _Scaled):
        # Exact products of matrices would let a small file ask for hours of work.
        raise _unsupported(node, "behind another matrix without a Relu between is not supported")
    weights = tuple(tuple(w * s for w, s in zip(row, form.scale, strict=True)) for row in rows)
    return Dense(weights, tuple(b + _dot(row, form.offset) for row, b in zip(rows, biases, strict=True)))


def _dot(left: Vector, right: Vector) -> Fraction:
    return sum((a * b for a, b in zip(left, right, strict=True)), Fraction(0))


def _scaler(walk: _Walk, node: NodeProto) -> None:
    _takes_current(walk, node, 1)
    width = _width(walk.form)
    scale, offset = _float_list(node, "scale", width), _float_list(node, "offset", width)
    moved = tuple(-o * s for o, s in zip(offset, scale, strict=True))
    _advance(walk, node, _elementwise(walk.form, scale, moved))


def _float_list(node: NodeProto, name: str, size: int) -> Vector:
    found = attribute(node, name)
    values = tuple(exact_number(each, node.name) for each in found.floats) if found else ()
    if len(values) == 1:
        values *= size
    if len(values) != size:
        raise _unsupported(node, f"has an attribute {name} whose size is not {size}")
    return values


def _same(walk: _Walk, node: NodeProto) -> None:
    _takes_current(walk, node, 1)
    target = attribute(node, "to")
    if node.op_type == "Cast" and (target is None or target.i not in FLOATS):
        raise _unsupported(node, "to another type than float is not supported before the logits")
    _advance(walk, node, walk.form)


def _matmul(walk: _Walk, node: NodeProto) -> None:
    _takes_current(walk, node, 2)
    rows = _columns(walk, node, _operand(walk, node, 1))
    _advance(walk, node, _dense(walk, node, rows, (Fraction(0),) * len(rows)))


def _columns(walk: _Walk, node: NodeProto, matrix: Constant) -> tuple[Vector, ...]:
    width = _width(walk.form)
    if len(matrix.shape) != 2 or matrix.shape[0] != width:
        raise _unsupported(node, f"has a matrix that does not take {width} values")
    columns = matrix.shape[1]
    return tuple(matrix.values[column::columns] for column in range(columns))


def _gemm(walk: _Walk, node: NodeProto) -> None:
    _takes_current(walk, node, len(node.input))
    if len(node.input) > 3:
        raise _unsupported(node, "has too many inputs")
    trans_a, trans_b = attribute(node, "transA"), attribute(node, "transB")
    if trans_a is not None and trans_a.i:
        raise _unsupported(node, "with transA is not supported")
    matrix = _operand(walk, node, 1)
    if trans_b is not None and trans_b.i and len(matrix.shape) == 2:
        rows = tuple(matrix.row(index) for index in range(matrix.shape[0]))
        if matrix.shape[1] != _width(walk.form):
            raise _unsupported(node, f"has a matrix that does not take {_width(walk.form)} values")
    else:
        rows = _columns(walk, node, matrix)
    alpha, beta = attribute(node, "alpha"), attribute(node, "beta")
    form: _Scaled | Dense = _dense(walk, node, rows, (Fraction(0),) * len(rows))
    factor = exact_number(alpha.f, node.name) if alpha is not None else Fraction(1)
    form = _elementwise(form, (factor,) * len(rows), (Fraction(0),) * len(rows))
    if len(node.input) > 2:
        walk.form = form
        share = exact_number(beta.f, node.name) if beta is not None else Fraction(1)
        bias = tuple(share * each for each in _vector(walk, node, _operand(walk, node, 2)))
        form = _elementwise(form, (Fraction(1),) * len(rows), bias)
    _advance(walk, node, form)


def _arithmetic(walk: _Walk, node: NodeProto) -> None:
    if len(node.input) != 2 or walk.name not in node.input or node.input[0] == node.input[1]:
        raise _unsupported(node, "does not continue the chain from the input here")
    first = node.input[0] == walk.name
    vector = _vector(walk, node, _operand(walk, node, 1 if first else 0))
    ones, zeros = (Fraction(1),) * len(vector), (Fraction(0),) * len(vector)
    match node.op_type, first:
        case "Add", _:
            scale, offset = ones, vector
        case "Mul", _:
            scale, offset = vector, zeros
        case "Sub", True:
            scale, offset = ones, tuple(-each for each in vector)
        case "Sub", False:
            scale, offset = tuple(-each for each in ones), vector
        case "Div", True:
            if not all(vector):
                raise WeightError(f"Node {node.name!r:.80} divides by zero.")
            scale, offset = tuple(1 / each for each in vector), zeros
        case _:
            raise _unsupported(node, "of a constant by the input is not supported")
    _advance(walk, node, _elementwise(walk.form, scale, offset))


def _relu(walk: _Walk, node: NodeProto) -> None:
    _takes_current(walk, node, 1)
    if not isinstance(walk.form, Dense):
        raise _unsupported(node, "before the first matrix is not supported")
    walk.layers.append(walk.form)
    width = len(walk.form.biases)
    _advance(walk, node, _Scaled((Fraction(1),) * width, (Fraction(0),) * width))


def _logits(walk: _Walk, node: NodeProto) -> None:
    _takes_current(walk, node, 1)
    if not isinstance(walk.form, Dense):
        raise _unsupported(node, "before the first matrix is not supported")
    axis = attribute(node, "axis")
    if axis is not None and axis.i not in (1, -1):
        raise _unsupported(node, "over the rows is not supported")
    width = len(walk.form.biases)
    if (node.op_type == "Sigmoid") != (width == 1):
        raise _unsupported(node, f"over {width} logits is not supported")
    _finish(walk, _difference(walk.form) if width == 2 else walk.form)


def _difference(form: Dense) -> Dense:
    """Two softmax logits decide by their difference, which is the logit of the second class."""
    (first, second), (low, high) = form.weights, form.biases
    return Dense((tuple(b - a for a, b in zip(first, second, strict=True)),), (high - low,))


def _linear_classifier(walk: _Walk, node: NodeProto) -> None:
    if len(node.input) != 1 or node.input[0] != walk.name:
        raise _unsupported(node, "does not continue the chain from the input here")
    biases = attribute(node, "intercepts")
    classes = len(biases.floats) if biases else 0
    width = _width(walk.form)
    intercepts = _float_list(node, "intercepts", classes)
    flat = _float_list(node, "coefficients", classes * width)
    rows = tuple(flat[index * width : (index + 1) * width] for index in range(classes))
    form = _dense(walk, node, rows, intercepts)
    transform = attribute(node, "post_transform")
    kind = transform.s.decode("ascii", "replace") if transform else "NONE"
    walk.labels = _class_labels(node)
    match kind, classes:
        case "LOGISTIC", 2:
            if any(a != -b for a, b in zip(form.weights[0], form.weights[1], strict=True)):
                raise _unsupported(node, "with two unrelated logistic scores is not supported")
            _finish(walk, Dense(form.weights[1:], form.biases[1:]))
        case "SOFTMAX", 2:
            _finish(walk, _difference(form))
        case "SOFTMAX", _ if classes > 2:
            _finish(walk, form)
        case _:
            raise _unsupported(node, f"with {classes} scores and post_transform {kind:.20} is not supported")


def _class_labels(node: NodeProto) -> tuple[str, ...]:
    integers, strings = attribute(node, "classlabels_ints"), attribute(node, "classlabels_strings")
    if strings is not None and strings.strings:
        return tuple(each.decode("utf-8", "replace") for each in strings.strings)
    return tuple(str(each) for each in integers.ints) if integers is not None else ()


def _finish(walk: _Walk, logits: Dense) -> None:
    walk.layers.append(logits)
    walk.read_out = True


def _read_out(walk: _Walk, node: NodeProto, derived: set[str]) -> None:
    known = derived | set(walk.graph.constants) | set(walk.graph.tables)
    if node.op_type not in READ_OUT:
        raise _unsupported(node, "behind the logits is not supported")
    if any(each not in known for each in node.input) or not derived & {*node.input}:
        raise MalformedModelError(f"Node {node.name!r:.80} reads a value that is not behind the logits.")
    if node.op_type == "ArrayFeatureExtractor":
        walk.labels = walk.graph.tables.get(node.input[0], ())
    derived |= {*node.output}


_RULES: dict[tuple[str, str], Callable[[_Walk, NodeProto], None]] = {
    ("ai.onnx.ml", "Scaler"): _scaler,
    ("ai.onnx.ml", "LinearClassifier"): _linear_classifier,
    ("", "Cast"): _same,
    ("", "Identity"): _same,
    ("", "MatMul"): _matmul,
    ("", "Gemm"): _gemm,
    ("", "Add"): _arithmetic,
    ("", "Sub"): _arithmetic,
    ("", "Mul"): _arithmetic,
    ("", "Div"): _arithmetic,
    ("", "Relu"): _relu,
    ("", "Sigmoid"): _logits,
    ("", "Softmax"): _logits,
}
