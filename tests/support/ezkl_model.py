# SPDX-License-Identifier: GPL-3.0-or-later
"""A network of two layers that EZKL proves in seconds, and where `make test-ezkl` has put EZKL."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from contracts.toolchain import CHECKOUT

BENCHMARK = CHECKOUT / "build" / "bench-ezkl" / "bin" / "python"


def weights() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The weights of both layers, of shapes (4, 6) and (6, 2)."""
    random = np.random.default_rng(3)
    return (random.normal(size=(4, 6)).astype(np.float32), random.normal(size=(6, 2)).astype(np.float32))


def model_bytes() -> bytes:
    """The network as ONNX: y = relu(x w1) w2, x of shape (1, 4)."""
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w2"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(each, name) for name, each in zip(("w1", "w2"), weights(), strict=True)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
