# SPDX-License-Identifier: GPL-3.0-or-later
"""Hand-made ONNX files, and the comparison of what is imported from a file with onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from proving_graph_eval import outputs, trace

from proving.importer.graph import Graph
from proving.importer.model import import_model

ML = "ai.onnx.ml"
TOLERANCE = 2e-5
"""Largest error of a float64 evaluation against float32, relative to values beyond 1."""


def tensor(name: str, values: Any, dtype: Any = np.float32) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype=dtype), name)


def model(nodes: Sequence[Any], shape: Sequence[Any] = (None, 2), tensors: Sequence[TensorProto] = (), *,
          results: Sequence[str] = ("out",), opset: int = 17, ml: int = 3, kind: int = TensorProto.FLOAT) -> Any:
    """Return a model with the input `X`; None is a dynamic dimension."""
    inputs = [helper.make_tensor_value_info("X", kind, list(shape))]
    made = helper.make_graph(list(nodes), "g", inputs, [helper.make_empty_tensor_value_info(each) for each in results],
                             list(tensors))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(ML, ml)]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


def changed(made: Any, change: Callable[[Any], object]) -> bytes:
    """Return a model file after a change to it."""
    change(made)
    return bytes(made.SerializeToString())


@lru_cache(maxsize=4)
def imported(data: bytes) -> Graph:
    return import_model(data)


@lru_cache(maxsize=4)
def session_of(data: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options)


def runtime(data: bytes, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what onnxruntime computes; a ZipMap's dictionaries as a row of their values."""
    session = session_of(data)
    found = session.run(None, dict(inputs))
    names = [each.name for each in session.get_outputs()]
    return {name: np.array([list(each[0].values())]) if isinstance(each, list) else np.asarray(each)
            for name, each in zip(names, found, strict=True)}


def agree(data: bytes, *rows: Any, tolerance: float = TOLERANCE, names: Sequence[str] = ("X",)) -> Graph:
    """Import a model and compare every numeric output with onnxruntime's; `rows` are for each of the `names`."""
    graph = imported(data)
    found = outputs(graph, np.concatenate([np.asarray(each, dtype=np.float64).reshape(-1) for each in rows]))
    expected = runtime(data, dict(zip(names, rows, strict=True)))
    numeric = {name for name, each in expected.items() if each.dtype != object}
    assert set(found) == numeric
    for name in numeric:
        assert found[name].shape == expected[name].shape
        np.testing.assert_allclose(found[name], expected[name].astype(np.float64), rtol=tolerance, atol=tolerance)
    return graph


def head_scores(graph: Graph, row: Any) -> Any:
    return trace(graph, row)[graph.head.scores]
