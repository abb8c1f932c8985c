# SPDX-License-Identifier: GPL-3.0-or-later
"""ai.onnx.ml without trees: scalers, linear models, imputation, label read-out."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from proving.importer import arithmetic
from proving.importer.builder import Builder, Origin, Reading
from proving.importer.call import Call, Rules
from proving.importer.graph import Comparison, Function, Scaler
from proving.importer.operators.classifiers import class_labels, many_scores, one_score
from proving.importer.operators.elementwise import magnitude
from proving.importer.operators.labels import named
from proving.importer.operators.linear import dense
from proving.importer.operators.reduction import square, total
from proving.importer.operators.shape import check_size
from proving.importer.reader import fixed as read_tensor
from proving.importer.values import Elements, Fixed, Value, Variable, number


def rows_of(call: Call) -> Elements:
    """Return the operand as [rows, features]."""
    value = call.variable()
    if len(value.shape) == 1:
        return value.elements[None, :]
    if len(value.shape) != 2:
        raise call.node.malformed("needs an input [rows, features]")
    return value.elements


def weights(values: object) -> Fixed:
    """Return an attribute's numbers as learnt weights."""
    return Fixed(np.asarray(values, dtype=np.float64), TensorProto.FLOAT, True)


def _scaler(call: Call) -> Value:
    """Return (x - offset) * scale."""
    value = call.variable()
    offset, scale = weights(call.node.numbers("offset")), weights(call.node.numbers("scale"))
    for each in (offset, scale):
        if each.values.size not in (1, value.shape[-1]):
            raise call.node.malformed(f"has {each.values.size} numbers for {value.shape[-1]} features")
    width = value.shape[-1]
    factors = np.broadcast_to(scale.values, value.shape).reshape(-1)
    offsets = -np.broadcast_to(offset.values, value.shape).reshape(-1) * factors
    column = np.broadcast_to(np.arange(width, dtype=np.int64), value.shape).reshape(-1)
    ties = None if len(factors) == width else column
    found = call.builder.elementwise(value.elements, np.array(factors), offsets, True, ties, ties)
    single = np.broadcast_to(offset.values, (width,)), np.broadcast_to(scale.values, (width,))
    call.builder.scalers[len(call.builder.nodes) - 1] = value.elements, Scaler(*map(np.array, single))
    return Variable(found)


def _normalizer(call: Call) -> Value:
    """Return each row divided by its largest element, the sum of its magnitudes, or its length."""
    b, rows = call.builder, rows_of(call)
    value, norm = Variable(rows), call.node.text("norm", "MAX")
    match norm:
        case "L1":
            parts = magnitude(b, value)
        case "L2":
            parts = square(b, value)
        case "MAX":
            return arithmetic.divide(b, value, Variable(arithmetic.largest(b, rows)[:, None]))
        case _:
            raise call.node.malformed(f"has norm {norm:.20}")
    assert isinstance(parts, Variable)
    sums: Value = Variable(total(b, parts.elements)[:, None])
    if norm == "L2":
        sums = arithmetic.apply(b, sums, Function.SQRT)
    found = arithmetic.divide(b, value, sums)
    assert isinstance(found, Variable)
    if norm == "L1" and found.elements.size:
        b.origins[int(b.refs(found.elements.reshape(-1)[:1])[0])] = Origin(Reading.NORMALISED, rows.reshape(-1))
    return Variable(found.elements.reshape(call.variable().shape))


def _scores(call: Call, count: int) -> Elements:
    """Return rows @ coefficients.T + intercepts, [rows, count]."""
    rows, node = rows_of(call), call.node
    coefficients = node.numbers("coefficients")
    if count < 1 or len(coefficients) != count * rows.shape[1]:
        raise node.malformed(f"has {len(coefficients)} coefficients for {count} scores of {rows.shape[1]} features")
    intercepts = node.numbers("intercepts")
    if len(intercepts) not in (0, count):
        raise node.malformed(f"has {len(intercepts)} intercepts for {count} scores")
    matrix = weights(coefficients)
    shaped = Fixed(matrix.values.reshape(count, -1), matrix.type, True)
    return dense(call.builder, rows, shaped, weights(intercepts) if intercepts else None)


def _linear_classifier(call: Call) -> tuple[Value, ...]:
    labels = class_labels(call.node, "classlabels_ints")
    width = rows_of(call).shape[1]
    count = len(call.node.numbers("coefficients")) // max(1, width)
    scores = _scores(call, count)
    if count == 1:
        return one_score(call.builder, call.node, scores, labels, False)
    return many_scores(call.builder, call.node, scores, labels)


def _linear_regressor(call: Call) -> Value:
    if (transform := call.node.text("post_transform", "NONE")) != "NONE":
        raise call.node.unsupported(f"has post_transform {transform:.20}, which is not supported")
    return Variable(_scores(call, call.node.integer("targets", 1)))




def _imputer(call: Call) -> Value:
    """Return x with one marked value replaced; a marker of NaN never occurs among proved inputs."""
    value, node = call.variable(), call.node
    whole = node.has("imputed_value_int64s")
    imputed = np.asarray(node.integers("imputed_value_int64s") if whole else node.numbers("imputed_value_floats"))
    marker = float(node.integer("replaced_value_int64") if whole else node.number("replaced_value_float"))
    if imputed.size not in (1, value.shape[-1]):
        raise node.malformed(f"has {imputed.size} values for {value.shape[-1]} features")
    if np.isnan(marker):
        return value
    missing = arithmetic.compare(call.builder, Comparison.EQUAL, value, number(marker))
    return arithmetic.select(call.builder, missing, Fixed(imputed.astype(np.float64), value.type), value)


def _extractor(call: Call) -> Value:
    """Return columns of a tensor; by variable positions: labels of classes."""
    value, chosen = call.value(0), call.value(1)
    if isinstance(chosen, Variable):
        if not isinstance(value, Fixed) or value.values.size > MAX_LABELS:
            raise call.node.unsupported("needs constant indices, or a table of labels")
        ref = int(call.builder.refs(chosen.elements.reshape(-1)[:1])[0])
        origin = call.builder.origins.get(ref)
        scores = origin.scores if origin is not None else chosen.elements.reshape(-1)
        return named(call.builder, chosen.elements.reshape(1, -1), value, scores)
    taken = chosen.values.reshape(-1)
    if isinstance(value, Fixed):
        return Fixed(value.values[..., taken], value.type, value.trained)
    found = value.elements[..., taken]
    return Variable(found.reshape(1, -1) if found.ndim == 1 else found, value.type)


MAX_LABELS = 4096


def _zipmap(call: Call) -> Value:
    value = call.variable()
    integers, texts = call.node.integers("classlabels_int64s"), call.node.texts("classlabels_strings")
    labels = texts or tuple(str(each) for each in integers)
    if len(labels) != value.shape[-1]:
        raise call.node.malformed(f"has {len(labels)} labels for {value.shape[-1]} columns")
    return Variable(value.elements, value.type, labels=labels)


def _label_encoder(call: Call) -> Value:
    """Return table[x], or the default where x is no key."""
    node, value = call.node, call.value()
    keys, results, default = _label_table(call)
    if isinstance(value, Fixed):
        table = dict(zip(keys.values.tolist(), results.values.tolist(), strict=True))
        found = [table.get(each, default) for each in value.values.reshape(-1).tolist()]
        kind = object if results.type == TensorProto.STRING else results.values.dtype
        return Fixed(np.array(found, dtype=kind).reshape(value.shape), results.type)
    if value.table:
        table = dict(zip(keys.values.tolist(), results.values.tolist(), strict=True))
        mapped: Any = np.array([table.get(each, default) for each in value.table],
                          dtype=object if results.type == TensorProto.STRING else results.values.dtype)
        return named(call.builder, value.elements, Fixed(mapped, results.type), value.elements.reshape(-1))
    if TensorProto.STRING in (keys.type, results.type):
        raise node.unsupported("maps texts that do not come from a classifier")
    shape = (*value.shape, keys.values.size)
    left = Variable(np.broadcast_to(value.elements[..., None], shape))
    equal = arithmetic.compare(call.builder, Comparison.EQUAL, left, Fixed(keys.numbers))
    assert isinstance(equal, Variable)
    steps = results.numbers - float(default)
    mapping = call.builder.combine(equal.elements.reshape(-1, keys.values.size), steps[None, :], float(default))
    return Variable(mapping.reshape(value.shape), results.type)


def _label_table(call: Call) -> tuple[Fixed, Fixed, Any]:
    node = call.node
    keys, results = _list(call, "keys"), _list(call, "values")
    if node.version < 2 and (texts := node.texts("classes_strings")):
        positions = Fixed(np.arange(len(texts)), TensorProto.INT64)
        names = Fixed(np.array(texts, dtype=object), TensorProto.STRING)
        whole = call.value().type == TensorProto.STRING
        return (names, positions, node.integer("default_int64", -1)) if whole else (
            positions, names, node.text("default_string", "_Unused"))
    if keys is None or results is None or keys.values.size != results.values.size:
        raise node.malformed("has keys and values that do not fit each other")
    if (tensor := node.tensor("default_tensor")) is not None:
        return keys, results, read_tensor(tensor).values.reshape(-1).tolist()[0]
    if results.type == TensorProto.STRING:
        return keys, results, node.text("default_string", "_Unused")
    if results.type == TensorProto.INT64:
        return keys, results, node.integer("default_int64", -1)
    return keys, results, node.number("default_float", -0.0)


def _list(call: Call, name: str) -> Fixed | None:
    node = call.node
    if (tensor := node.tensor(f"{name}_tensor")) is not None:
        return read_tensor(tensor)
    if texts := node.texts(f"{name}_strings"):
        return Fixed(np.array(texts, dtype=object), TensorProto.STRING)
    if integers := node.integers(f"{name}_int64s"):
        return Fixed(np.array(integers, dtype=np.int64), TensorProto.INT64)
    if numbers := node.numbers(f"{name}_floats"):
        return Fixed(np.array(numbers, dtype=np.float64), TensorProto.FLOAT)
    return None


def _binarizer(call: Call) -> Value:
    bound = number(call.node.number("threshold"))
    above = arithmetic.compare(call.builder, Comparison.GREATER, call.value(), bound)
    return arithmetic.cast(call.builder, above, call.value().type)


def _feature_vectorizer(call: Call) -> Value:
    """Return the operands' columns side by side, each cut or zero-padded to its stated number."""
    stated = call.node.integers("inputdimensions")
    parts = []
    for index in range(len(call.operands)):
        elements = call.variable(index).elements
        elements = elements[None, :] if elements.ndim == 1 else elements.reshape(len(elements), -1)
        parts.append(elements if index >= len(stated) else _fitted(call.builder, elements, stated[index]))
    return Variable(np.concatenate(parts, axis=1))


def _fitted(builder: Builder, elements: Elements, width: int) -> Elements:
    missing = width - elements.shape[1]
    if missing <= 0:
        return elements[:, :width]
    check_size((len(elements), width))
    zeros = builder.variable(Fixed(np.zeros((len(elements), missing)))).elements
    return np.concatenate([elements, zeros], axis=1)


def _one_hot_encoder(call: Call) -> Value:
    """Return one column for each category."""
    value, node = call.variable(), call.node
    if node.texts("cats_strings"):
        raise node.unsupported("encodes texts, which is not supported")
    categories = Fixed(np.array(node.integers("cats_int64s"), dtype=np.float64))
    shape = (*value.shape, categories.values.size)
    left = Variable(np.broadcast_to(value.elements[..., None], shape))
    hot = arithmetic.compare(call.builder, Comparison.EQUAL, left, categories)
    return arithmetic.cast(call.builder, hot, TensorProto.FLOAT)


RULES: Rules = {
    "ArrayFeatureExtractor": _extractor,
    "Binarizer": _binarizer,
    "FeatureVectorizer": _feature_vectorizer,
    "Imputer": _imputer,
    "LabelEncoder": _label_encoder,
    "LinearClassifier": _linear_classifier,
    "LinearRegressor": _linear_regressor,
    "Normalizer": _normalizer,
    "OneHotEncoder": _one_hot_encoder,
    "Scaler": _scaler,
    "ZipMap": _zipmap,
}
