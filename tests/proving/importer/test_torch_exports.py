# SPDX-License-Identifier: GPL-3.0-or-later
"""What torch's two exporters write is imported as it comes; torch_exports/export.py says how the files were made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from proving_onnx_models import agree, imported

from proving.importer.graph import Graph, Linear, Link, Maximum, Relu

FILES = Path(__file__).parent / "torch_exports"
NETWORKS = ("mlp", "convolutions", "residual", "attention", "conv1d")
EXPORTERS = ("torchscript", "dynamo")
LINKS = {"mlp": Link.SIGMOID, "residual": Link.SOFTMAX, "conv1d": Link.SOFTMAX}


def data(network: str, exporter: str) -> bytes:
    return (FILES / f"{network}_{exporter}.onnx").read_bytes()


def rows(graph: Graph, count: int = 5) -> Any:
    return np.random.RandomState(3).randn(count, *graph.input_shapes[0]).astype(np.float32)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_exports_agree_with_onnxruntime(network: str, exporter: str) -> None:
    graph = imported(data(network, exporter))
    for row in rows(graph):
        agree(data(network, exporter), row, names=graph.input_names)
    assert graph.head.link is LINKS.get(network, Link.NONE)


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_convolutional_network_is_its_layers_with_pooling_before_relu(exporter: str) -> None:
    graph = imported(data("convolutions", exporter))
    kinds = [type(each) for each in graph.nodes[1:]]
    assert kinds == [Linear, Maximum, Relu, Linear, Relu, Linear, Linear]
    layers = [each for each in graph.nodes if isinstance(each, Linear) and each.trained]
    assert [len(np.unique(parameters(each))) for each in layers] == [3 * 9, 4 * 3 * 4, 16 * 5]


def parameters(layer: Linear) -> Any:
    return np.arange(len(layer.matrix.indices)) if layer.tied is None else layer.tied


def test_both_exporters_give_the_same_head() -> None:
    for network in NETWORKS:
        first, second = (imported(data(network, each)) for each in EXPORTERS)
        assert first.head.labels == second.head.labels and len(first.nodes) == len(second.nodes)
