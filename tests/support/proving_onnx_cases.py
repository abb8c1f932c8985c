# SPDX-License-Identifier: GPL-3.0-or-later
"""The ONNX project's own node tests, as models that the importer takes.

Selected is every case whose operators are all known to the importer. Operands that must be constants of the model
(shapes, axes, kernels, statistics, scales), but which the cases give as inputs so that runtimes can vary them, become
initializers with the case's values; a model that then has no input gets one that nothing reads.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.backend.test.loader import load_model_tests

from proving.importer.model import SUPPORTED

REST = 99
"""An index beyond which all operands are constants."""
CONSTANT_OPERANDS: dict[str, tuple[int, ...]] = {
    "ArrayFeatureExtractor": (1,), "BatchNormalization": (1, 2, 3, 4), "Clip": (1, 2), "ConstantOfShape": (0,),
    "Conv": (1, 2), "ConvInteger": (1, 2, 3), "ConvTranspose": (1, 2), "DequantizeLinear": (1, 2), "Dropout": (1, 2),
    "Expand": (1,), "Gather": (1,), "GatherElements": (1,), "GatherND": (1,), "Gemm": (1, 2),
    "GroupNormalization": (1, 2), "InstanceNormalization": (1, 2), "LayerNormalization": (1, 2),
    "MatMulInteger": (1, 2, 3), "Mod": (1,), "OneHot": (1, 2), "PRelu": (1,), "Pad": (1, 2, 3),
    "Pow": (1,), "QLinearConv": (1, 2, 3, 4, 5, 6, 7, 8), "QLinearMatMul": (1, 2, 3, 4, 5, 6, 7),
    "QuantizeLinear": (1, 2), "RMSNormalization": (1,), "Range": (0, 1, 2), "ReduceL1": (1,), "ReduceL2": (1,),
    "ReduceLogSum": (1,), "ReduceLogSumExp": (1,), "ReduceMax": (1,), "ReduceMean": (1,), "ReduceMin": (1,),
    "ReduceProd": (1,), "ReduceSum": (1,), "ReduceSumSquare": (1,), "Reshape": (1,), "Slice": (1, 2, 3, 4),
    "Split": (1,), "Squeeze": (1,), "Tile": (1,), "Trilu": (1,), "Unsqueeze": (1,),
}
"""Positions of operands that must be known; by operator."""


@dataclass(frozen=True)
class Case:
    """One test: a model with its constants inside, the remaining inputs' values, the expected outputs."""

    name: str
    operators: tuple[str, ...]
    model: ModelProto
    inputs: dict[str, Any]
    outputs: dict[str, Any]
    rtol: float
    atol: float


def operator(node: Any) -> str:
    """Return an operator's name with its domain."""
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else str(node.op_type)


@lru_cache(maxsize=1)
def selected() -> tuple[Case, ...]:
    """Return all cases whose operators the importer knows, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = load_model_tests(kind="node")
    found = []
    for case in cases:
        if case.model is not None and all(operator(node) in SUPPORTED for node in case.model.graph.node):
            found.append(_case(case))
    return tuple(sorted(found, key=lambda each: each.name))


def _case(case: Any) -> Case:
    model = ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    values, expected = case.data_sets[0]
    inputs = dict(zip([each.name for each in graph.input], [_array(each) for each in values], strict=False))
    known = {node.input[index] for node in graph.node for index in CONSTANT_OPERANDS.get(node.op_type, ())
             if index < len(node.input)}
    variable = [each for each in graph.input if each.name not in known and each.name in inputs]
    for name in known & set(inputs):
        graph.initializer.append(numpy_helper.from_array(np.asarray(inputs[name]), name))
    if not variable:
        variable = [helper.make_tensor_value_info("unread", TensorProto.FLOAT, [1])]
        inputs["unread"] = np.zeros(1, dtype=np.float32)
    del graph.input[:]
    graph.input.extend(variable)
    outputs = dict(zip([each.name for each in graph.output], [_array(each) for each in expected], strict=False))
    return Case(
        case.name, tuple(sorted({operator(node) for node in graph.node})), model,
        {each.name: inputs[each.name] for each in variable}, outputs, case.rtol, case.atol,
    )


def _array(value: Any) -> Any:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else value
