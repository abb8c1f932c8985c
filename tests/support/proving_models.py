# SPDX-License-Identifier: GPL-3.0-or-later
"""Small real models for the tests of proving/: hand-made ONNX files, and what skl2onnx exports."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from proving.backends.base import Proved
from proving.bundle import Bundle
from proving.settings import InputRange, ModelSettings, OutputSpec, Predicate, Reveal, WeightMode, WeightSpec

ROOT = Path(__file__).resolve().parents[2]
SNARKJS_SCRIPT = ROOT / "tests" / "support" / "snarkjs_check.mjs"
FEATURES = 4
LOW, HIGH = -20, 107


@dataclass(frozen=True)
class Sample:
    """One real proof with its bundle."""

    bundle: Bundle
    result: Proved


def ranges(count: int = FEATURES) -> tuple[InputRange, ...]:
    """`count` inputs from -20 to 107, seven bits each."""
    return tuple(InputRange.covering(f"x{i}", LOW, HIGH) for i in range(count))


def public(count: int = FEATURES, bits: int = 8, score_bits: int = 8) -> ModelSettings:
    output = OutputSpec(Reveal.PUBLIC, score_bits=score_bits)
    return ModelSettings(ranges(count), output, fractional_bits=bits, weight_bits=bits)


def predicate(threshold: str = "0.7", count: int = FEATURES) -> ModelSettings:
    output = OutputSpec(Reveal.PREDICATE, predicate=Predicate.THRESHOLD, threshold=threshold)
    return ModelSettings(ranges(count), output)


def sample_rows(count: int = 200, seed: int = 0) -> Any:
    """Random whole numbers in range, as float32."""
    values = numpy.random.RandomState(seed).randint(LOW, HIGH + 1, (count, FEATURES))
    return values.astype(numpy.float32)


@lru_cache(maxsize=16)
def exported(kind: str, classes: int = 2) -> bytes:
    """Train on sample rows and export: `logistic`, `mlp` (5-3) or `wide` (one layer of 8)."""
    rows = sample_rows()
    labels = numpy.digitize(rows[:, 0] + rows[:, 1], numpy.linspace(0, 180, classes + 1)[1:-1])
    models = {
        "logistic": LogisticRegression(),
        "mlp": MLPClassifier((5, 3), max_iter=150, random_state=1),
        "wide": MLPClassifier((8,), max_iter=150, random_state=1),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = make_pipeline(StandardScaler(), models[kind]).fit(rows, labels)
    model = to_onnx(pipeline, rows[:1], options={"zipmap": False}, name="test")
    return bytes(model.SerializeToString(deterministic=True))


def tensor(name: str, values: Any) -> TensorProto:
    return numpy_helper.from_array(numpy.asarray(values, dtype=numpy.float32), name)


def graph(nodes: Sequence[Any], tensors: Sequence[TensorProto] = (), features: int = 2) -> Any:
    """An ONNX model from hand-made nodes; the input is `X`, the output `out`."""
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, features])]
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)]
    opsets = [helper.make_opsetid("", 14), helper.make_opsetid("ai.onnx.ml", 1)]
    made = helper.make_graph(list(nodes), "g", inputs, outputs, list(tensors))
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


def tiny() -> Any:
    """A 2-2-1 network with dyadic weights: every number in it can be checked by hand."""
    return graph(
        [
            helper.make_node("MatMul", ["X", "w"], ["a"], name="first"),
            helper.make_node("Add", ["a", "b"], ["c"], name="bias"),
            helper.make_node("Relu", ["c"], ["d"], name="relu"),
            helper.make_node("Gemm", ["d", "v", "u"], ["e"], name="last"),
            helper.make_node("Sigmoid", ["e"], ["out"], name="sigmoid"),
        ],
        [
            tensor("w", [[0.5, -1.0], [0.25, 1.0]]),
            tensor("b", [1.0, -2.0]),
            tensor("v", [[1.0], [-0.5]]),
            tensor("u", [0.25]),
        ],
    )


def credit_module() -> ModuleType:
    """examples/credit/train.py, loaded by path: `examples` is a name that other packages install too."""
    name = "proofmesh_example_credit"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / "credit" / "train.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def snarkjs(request: Mapping[str, object]) -> Any:
    """Ask snarkjs, in one process; see snarkjs_check.mjs for the request."""
    node = Path(sys.executable).with_name("node")
    done = subprocess.run(
        [node, SNARKJS_SCRIPT], input=json.dumps(request), capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def private_weights(mode: WeightMode) -> ModelSettings:
    """Settings of a small model whose weights are private, in one of the ways."""
    inputs = tuple(InputRange(f"x{i}", -64, 7, scale=6) for i in range(4))
    return ModelSettings(inputs, OutputSpec(Reveal.PUBLIC), WeightSpec(mode, 16), 8, 8)
