# SPDX-License-Identifier: GPL-3.0-or-later
"""Matrix products: Gemm, MatMul."""

from __future__ import annotations

import math

import numpy as np

from protocol.errors import ModelTooLargeError
from proving.importer import arithmetic
from proving.importer.builder import Builder
from proving.importer.call import Call, Rules
from proving.importer.kernels import apply_kernels
from proving.importer.limits import MAX_ELEMENTS
from proving.importer.values import Elements, Fixed, Value, Variable, number


def dense(builder: Builder, rows: Elements, weights: Fixed, bias: Fixed | None) -> Elements:
    """Return rows @ weights.T + bias: rows [n, k], weights [m, k], bias [m] -> elements [n, m]."""
    kernel = Fixed(weights.values[None], weights.type, weights.trained)
    return apply_kernels(builder, [rows], kernel, bias).T


def matmul(builder: Builder, left: Value, right: Value) -> Value:
    """Return the matrix product with numpy's rules: vectors at the ends, broadcast batches in front."""
    if isinstance(left, Fixed) and isinstance(right, Fixed):
        left = builder.variable(left)
    if not left.shape or not right.shape:
        raise ValueError("a matrix product of a scalar")
    first, second = _matrix(left, True), _matrix(right, False)
    if first.shape[-1] != second.shape[-2]:
        raise ValueError(f"inner dimensions {first.shape[-1]} and {second.shape[-2]} differ")
    batch = np.broadcast_shapes(first.shape[:-2], second.shape[:-2])
    rows, columns = first.shape[-2], second.shape[-1]
    if math.prod(batch) * rows * columns * first.shape[-1] > 2 * MAX_ELEMENTS:
        raise ModelTooLargeError(f"{builder.label:.80} has too many products.")
    result = _product(builder, first, second, batch)
    shape = batch + ((rows,) if len(left.shape) > 1 else ()) + ((columns,) if len(right.shape) > 1 else ())
    return Variable(result.reshape(shape), left.type)


def _matrix(value: Value, row: bool) -> Value:
    """Return a vector as a matrix of one row, or of one column."""
    if len(value.shape) > 1:
        return value
    shape = (1, value.shape[0]) if row else (value.shape[0], 1)
    if isinstance(value, Fixed):
        return Fixed(value.values.reshape(shape), value.type, value.trained)
    return Variable(value.elements.reshape(shape), value.type)


def _product(builder: Builder, left: Value, right: Value, batch: tuple[int, ...]) -> Elements:
    if isinstance(right, Fixed) and isinstance(left, Variable):
        if right.values.ndim == 2:  # one matrix for all batches: its weights are tied
            inner = left.shape[-1]
            flat = dense(builder, left.elements.reshape(-1, inner),
                         Fixed(right.values.T, right.type, right.trained), None)
            return np.broadcast_to(flat.reshape(*left.shape[:-1], -1), (*batch, left.shape[-2], right.shape[-1]))
        return _each(builder, left, right, batch)
    if isinstance(left, Fixed) and isinstance(right, Variable):
        turned = Variable(np.swapaxes(right.elements, -1, -2), right.type)
        mirrored = Fixed(np.swapaxes(left.values, -1, -2), left.type, left.trained)
        return np.swapaxes(_product(builder, turned, mirrored, batch), -1, -2)
    assert isinstance(left, Variable) and isinstance(right, Variable)
    shape = (*batch, left.shape[-2], right.shape[-1], left.shape[-1])
    first = np.broadcast_to(left.elements[..., :, None, :], shape)
    second = np.broadcast_to(np.swapaxes(right.elements, -1, -2)[..., None, :, :], shape)
    products = arithmetic.product(builder, first, second)
    return builder.combine(products.reshape(-1, shape[-1]), 1.0).reshape(shape[:-1])


def _each(builder: Builder, left: Variable, right: Fixed, batch: tuple[int, ...]) -> Elements:
    """Return the products with a different known matrix for each batch."""
    rows, inner = left.shape[-2:]
    columns = right.shape[-1]
    first = np.broadcast_to(left.elements, (*batch, rows, inner)).reshape(-1, rows, inner)
    second = np.broadcast_to(right.values, (*batch, inner, columns)).reshape(-1, inner, columns)
    parts = [dense(builder, a, Fixed(b.T, right.type, right.trained), None)
             for a, b in zip(first, second, strict=True)]
    return np.stack(parts).reshape(*batch, rows, columns)


def _matmul(call: Call) -> Value:
    return matmul(call.builder, call.value(0), call.value(1))


def _gemm(call: Call) -> Value:
    """Return alpha * A' @ B' + beta * C."""
    node, builder = call.node, call.builder
    left, right, offset = call.value(0), call.value(1), call.optional(2)
    if len(left.shape) != 2 or len(right.shape) != 2:
        raise node.malformed("needs matrices")
    left = transposed(left) if node.integer("transA") else left
    right = transposed(right) if node.integer("transB") else right
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    if isinstance(right, Fixed):
        right = arithmetic.fold(np.multiply, right, number(alpha))
    else:
        left = arithmetic.multiply(builder, left, number(alpha))
    if offset is not None:
        offset = arithmetic.multiply(builder, offset, number(beta))
        if isinstance(left, Variable) and isinstance(right, Fixed) and isinstance(offset, Fixed):
            if left.shape[1] != right.shape[0]:
                raise node.malformed(f"has inner dimensions {left.shape[1]} and {right.shape[0]}")
            if offset.shape in ((right.shape[1],), (1, right.shape[1])):
                weights = Fixed(right.values.T, right.type, right.trained)
                return Variable(dense(builder, left.elements, weights, offset), left.type)
    result = matmul(builder, left, right)
    return result if offset is None else arithmetic.add(builder, result, offset)


def transposed(value: Value) -> Value:
    """Return a matrix with its axes changed."""
    if isinstance(value, Fixed):
        return Fixed(value.values.T, value.type, value.trained)
    return Variable(value.elements.T, value.type)


RULES: Rules = {"Gemm": _gemm, "MatMul": _matmul}
