# SPDX-License-Identifier: GPL-3.0-or-later
"""What an ONNX value is while a model is imported: known numbers, or elements of graph nodes.

All elements of all nodes are numbered through: node by node, in order. A tensor that depends on the input is an
array of such numbers in the tensor's shape, so every operator that only moves elements (reshape, transpose,
slice, concat, pad, expand...) is the numpy operation on that array and costs no node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

Elements = NDArray[np.int64]
"""Numbers of elements, in a tensor's shape."""

FLOATS: frozenset[int] = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16})
SMALL_FLOATS: frozenset[int] = frozenset({
    TensorProto.FLOAT8E4M3FN, TensorProto.FLOAT8E4M3FNUZ, TensorProto.FLOAT8E5M2, TensorProto.FLOAT8E5M2FNUZ,
    TensorProto.FLOAT8E8M0, TensorProto.FLOAT4E2M1,
})
"""Floats that are read as the numbers they are, but never rounded to."""
INTEGER_BITS: dict[int, tuple[int, int]] = {
    TensorProto.INT2: (-2, 1), TensorProto.UINT2: (0, 3),
    TensorProto.INT4: (-8, 7), TensorProto.UINT4: (0, 15),
    TensorProto.INT8: (-(1 << 7), (1 << 7) - 1), TensorProto.UINT8: (0, (1 << 8) - 1),
    TensorProto.INT16: (-(1 << 15), (1 << 15) - 1), TensorProto.UINT16: (0, (1 << 16) - 1),
    TensorProto.INT32: (-(1 << 31), (1 << 31) - 1), TensorProto.UINT32: (0, (1 << 32) - 1),
    TensorProto.INT64: (-(1 << 63), (1 << 63) - 1), TensorProto.UINT64: (0, (1 << 64) - 1),
}
"""Integer element types and their ranges."""
INTEGERS = frozenset(INTEGER_BITS)
BOOLEAN, TEXT = TensorProto.BOOL, TensorProto.STRING


@dataclass(frozen=True, slots=True, eq=False)
class Variable:
    """A tensor that depends on the input. `type` is ONNX's element type.

    `table`: the tensor holds class positions that stand for these texts. `labels`: what a ZipMap named its columns.
    """

    elements: Elements
    type: int = TensorProto.FLOAT
    table: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.elements.shape


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """A known tensor: float64, int64 (Python integers where 64 bits are too few), bool, or text (dtype object).

    `trained`: the numbers are learnt weights, which private weights hide (initializers, except scalars).
    """

    values: NDArray[Any]
    type: int = TensorProto.FLOAT
    trained: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    @property
    def numbers(self) -> NDArray[np.float64]:
        """The values as float64."""
        return self.values.astype(np.float64)


Value = Variable | Fixed


def number(value: float) -> Fixed:
    """Return a scalar constant that is structure, not a weight."""
    return Fixed(np.array(value, dtype=np.float64))
