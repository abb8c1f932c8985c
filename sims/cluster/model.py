# SPDX-License-Identifier: GPL-3.0-or-later
"""The small model that the cluster proves: 4 numbers, 8 hidden units, a score. About a thousand constraints."""

from __future__ import annotations

import json
import random
from pathlib import Path

from onnx import TensorProto, helper

INPUTS = 4
HIGH = 255
_HIDDEN = 8


def write_model(folder: Path, seed: int) -> tuple[Path, Path]:
    """Write an ONNX file with weights drawn from the seed, and its settings; return both paths."""
    draw = random.Random(f"model {seed}")
    shapes = {"w1": [INPUTS, _HIDDEN], "b1": [_HIDDEN], "w2": [_HIDDEN, 1], "b2": [1]}
    weights = []
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = [draw.uniform(-1, 1) for _ in range(count)]
        weights.append(helper.make_tensor(name, TensorProto.FLOAT, shape, values))
    graph = helper.make_graph(
        [
            helper.make_node("Gemm", ["x", "w1", "b1"], ["hidden"]),
            helper.make_node("Relu", ["hidden"], ["active"]),
            helper.make_node("Gemm", ["active", "w2", "b2"], ["score"]),
        ],
        "cluster",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, INPUTS])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [1, 1])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx, settings = folder / "model.onnx", folder / "settings.json"
    onnx.write_bytes(model.SerializeToString(deterministic=True))
    fields = {"inputs": [{"name": "x", "count": INPUTS, "low": 0, "high": HIGH}], "output": "public"}
    settings.write_text(json.dumps(fields))
    return onnx, settings
