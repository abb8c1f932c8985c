# SPDX-License-Identifier: GPL-3.0-or-later
"""The ONNX project's own node tests, as models that the importer takes, and three ways to run them.

Selected is every test of an operator of `LISTED`, and the test of its expansion into simpler operators where the
importer knows all of those. Operands that must be constants of the model (shapes, axes, kernels, statistics, scales),
but which the tests give as inputs so that runtimes can vary them, become initializers with the test's values; a model
that then has no input gets one that nothing reads. The range of an input is that of its values in the test; in fixed
point, NaN and infinities are left out of them (as 0), since no proof can have any.
"""

from __future__ import annotations

import importlib
import pkgutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.backend.test.case import node as node_tests
from proving_emission import nodes_of
from proving_graph_eval import outputs

from proving.constraints.check import violated
from proving.fixedpoint.batch import Evaluator
from proving.fixedpoint.interpreter import run
from proving.fixedpoint.quantise import quantise
from proving.importer.graph import Graph
from proving.importer.limits import MIN_ML_OPSET, MIN_OPSET
from proving.importer.model import SUPPORTED, import_model
from proving.importer.reader import ML
from proving.settings import InputRange, ModelSettings, OutputSpec, Reveal

LISTED = frozenset({
    "Abs", "Add", "And", "ArgMax", "ArgMin", "Atan", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Celu",
    "Clip", "Concat", "Constant", "ConstantOfShape", "Conv", "ConvInteger", "ConvTranspose", "Cos",
    "DequantizeLinear", "Div", "Dropout", "Elu", "Equal", "Erf", "Exp", "Expand", "Flatten", "Floor", "Gather",
    "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "Greater", "GreaterOrEqual", "HardSigmoid", "HardSwish",
    "Hardmax", "Identity", "InstanceNormalization", "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual",
    "Log", "LogSoftmax", "MatMul", "MatMulInteger", "Max", "MaxPool", "Mean", "Min", "Mish", "Mul", "Neg", "Not",
    "Or", "PRelu", "Pad", "Pow", "QLinearConv", "QLinearMatMul", "QuantizeLinear", "Reciprocal", "ReduceL1",
    "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum",
    "ReduceSumSquare", "Relu", "Reshape", "Round", "Selu", "Shape", "Sigmoid", "Sign", "Sin", "Size", "Slice",
    "Softmax", "Softplus", "Softsign", "Split", "Sqrt", "Squeeze", "Sub", "Sum", "Tanh", "ThresholdedRelu",
    "Tile", "Transpose", "Unsqueeze", "Where", "Xor", "ai.onnx.ml.ArrayFeatureExtractor", "ai.onnx.ml.Binarizer",
    "ai.onnx.ml.LabelEncoder", "ai.onnx.ml.TreeEnsemble",
})
"""The operators that the proving toolkit promises (and those of ai.onnx.ml that have tests)."""
SLOW_MODULES = ("affinegrid", "attention", "flexattention", "gridsample", "image_decoder", "linear_attention", "lppool",
                "_image_decoder_data", "resize")
"""Modules of tests of other operators, left out since they compute for seconds when they are loaded."""
FRACTION = 12
"""Fractional bits of float inputs."""
PRECISION = 12
"""Fractional bits of activations and weights."""
TOLERANCE = 4e-3
"""Largest error against the float evaluator, relative to values beyond 1."""
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
    """Return the selected tests, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for module in pkgutil.walk_packages(node_tests.__path__, f"{node_tests.__name__}."):
            if not module.name.endswith(SLOW_MODULES):
                importlib.import_module(module.name)
    cases = {each.name: each for each in node_tests._NodeTestCases if each.model is not None}
    own = {name for name, each in cases.items() if "_expanded" not in name
           and len(each.model.graph.node) == 1 and operator(each.model.graph.node[0]) in LISTED}
    expanded = {name for name, each in cases.items() if name.split("_expanded")[0] in own
                and all(operator(node) in SUPPORTED for node in each.model.graph.node)}
    return tuple(_case(cases[name]) for name in sorted(own | expanded))


def _case(case: Any) -> Case:
    model = ModelProto()
    model.CopyFrom(case.model)
    graph = model.graph
    for each in model.opset_import:  # a test names the first version that has its operator in this form
        each.version = max(each.version, MIN_ML_OPSET if each.domain == ML else MIN_OPSET)
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


def imported(case: Case) -> Graph:
    """Import a test's model and compare the graph, in float64, with the test's outputs."""
    graph = import_model(case.model.SerializeToString())
    found = outputs(graph, flattened(case))
    for name, wanted in case.outputs.items():
        expected = np.asarray(wanted)
        assert name in found, f"output {name} is missing"
        assert expected.shape == found[name].shape, f"output {name} has shape {found[name].shape}"
        narrow = expected.dtype.kind not in "biu" and expected.dtype.itemsize < 4
        rtol, atol = (1e-2, 1e-3) if narrow else (case.rtol, 1e-5)
        np.testing.assert_allclose(found[name], expected.astype(np.float64), rtol=rtol, atol=atol)
    return graph


def flattened(case: Case) -> Any:
    """Return the inputs as one vector of float64."""
    return np.concatenate([np.asarray(each).astype(np.float64).reshape(-1) for each in case.inputs.values()])


def fields(case: Case) -> Iterator[tuple[InputRange, list[int]]]:
    """Return each input's range and its raw integers."""
    for name, value in case.inputs.items():
        array = np.asarray(value)
        scale = 0 if array.dtype.kind in "biu" else FRACTION
        finite = np.nan_to_num(array.astype(np.float64).reshape(-1), nan=0.0, posinf=0.0, neginf=0.0)
        raw = [int(each) for each in np.rint(finite * (1 << scale))]
        bits = max(1, (max(raw) - min(raw)).bit_length())
        yield InputRange(name, min(raw), bits, len(raw), scale), raw


def interpreted(case: Case, graph: Graph, circuit: bool) -> int:
    """Run each output through fixed point; compare with the float evaluator on the same inputs.

    Small tests go through the interpreter, all through the batch evaluator, which is held to it elsewhere. With
    `circuit` the constraints, too, must hold on the witness. Returns how many constraints were checked.
    """
    described = list(fields(case))
    raw = [each for _, field in described for each in field]
    inputs = np.concatenate([np.array(field) / 2.0**each.scale for each, field in described])
    wanted = outputs(graph, inputs)
    checked = 0
    for output in graph.outputs:
        settings = ModelSettings(tuple(each for each, _ in described), OutputSpec(Reveal.COMMITTED, output.name),
                                 fractional_bits=PRECISION, weight_bits=PRECISION)
        program = quantise(graph, settings)
        trace = Evaluator(program).trace(raw)
        if len(raw) <= SMALL:
            assert list(run(program, raw).scores) == [int(each) for each in trace[program.scores]]
        found = trace[program.scores].astype(np.float64) / 2.0**program.scale_bits
        expected = wanted[output.name].reshape(-1)
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)
        if circuit:
            nodes = nodes_of(program)
            assert violated(nodes.system, nodes.witness(raw)) is None
            checked += nodes.system.constraints
    return checked


SMALL = 64
"""Inputs up to which the plain interpreter runs as well."""
