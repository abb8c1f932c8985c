# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights that are zero are private too: where a model is pruned shows neither in its circuit nor in its file."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
import pytest
from onnx import numpy_helper
from proving_models import exported, private_weights

from proving.architecture import without_weights
from proving.groth16.compiled import compile_model
from proving.settings import WeightMode


def trained(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """The matrices of a model."""
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 2 and tensor.data_type == onnx.TensorProto.FLOAT and min(tensor.dims) > 1:
            yield tensor


def pruned(data: bytes) -> bytes:
    """The same model with a column, a row and one number of each matrix at zero."""
    model = onnx.load_model_from_string(data)
    for tensor in trained(model):
        values = numpy_helper.to_array(tensor).copy()
        values[:, 1] = 0
        values[1, :] = 0
        values[0, 0] = 0
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model.SerializeToString()


@pytest.mark.parametrize("mode", [WeightMode.FOLDED, WeightMode.POSEIDON])
def test_a_pruned_model_looks_like_any_other(mode: WeightMode) -> None:
    whole, sparse = exported("mlp"), pruned(exported("mlp"))
    compiled = compile_model(sparse, private_weights(mode))
    assert compiled.circuit_hash == compile_model(whole, private_weights(mode)).circuit_hash
    shown = onnx.load_model_from_string(without_weights(sparse, private_weights(mode), compiled))
    matrices = list(trained(shown))
    assert matrices
    for tensor in matrices:
        assert numpy_helper.to_array(tensor).all()
