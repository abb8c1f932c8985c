# SPDX-License-Identifier: GPL-3.0-or-later
# mypy: ignore-errors
"""Writes the .onnx files beside it: `python export.py`, with torch 2.13.0, onnx and onnxscript; no part of the tests.

Each network goes through both exporters. What the second one records of the machine (stack traces with paths) is
taken out; nothing else is changed.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from torch import nn

HERE = Path(__file__).parent


class Convolutions(nn.Module):
    """Batch normalisation behind a convolution, max pooling behind ReLU, average pooling."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.second, self.last = nn.Conv2d(3, 4, 2), nn.Linear(16, 5)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.norm(self.first(x))), 2)
        x = nn.functional.avg_pool2d(torch.relu(self.second(x)), 2)
        return self.last(torch.flatten(x, 1))


class Residual(nn.Module):
    """A depthwise convolution, a residual sum, and a reshape by the batch's dynamic size."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.deep, self.last = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Linear(4, 3)

    def forward(self, x):
        y = nn.functional.relu6(self.norm(self.first(x)))
        y = nn.functional.hardswish(self.deep(y)) + y
        y = nn.functional.adaptive_avg_pool2d(y, 1).view(x.size(0), -1)
        return torch.softmax(self.last(y), dim=1)


class Attention(nn.Module):
    """Products of variables, a softmax within the model, layer normalisation."""

    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(4, 4) for _ in range(3))
        self.norm, self.last = nn.LayerNorm(4), nn.Linear(12, 2)

    def forward(self, x):
        weights = torch.softmax(self.query(x) @ self.key(x).transpose(1, 2) / 2.0, dim=-1)
        y = nn.functional.gelu(self.norm(x + weights @ self.value(x)))
        return self.last(y.reshape(y.shape[0], -1))


NETWORKS = {
    "mlp": (nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.BatchNorm1d(5), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1),
                          nn.Sigmoid()), (1, 6)),
    "convolutions": (Convolutions(), (1, 1, 10, 10)),
    "residual": (Residual(), (1, 2, 6, 6)),
    "attention": (Attention(), (1, 3, 4)),
    "conv1d": (nn.Sequential(nn.Conv1d(2, 3, 3, dilation=2), nn.LeakyReLU(), nn.MaxPool1d(2, ceil_mode=True),
                             nn.Flatten(), nn.Dropout(), nn.Linear(12, 3), nn.LogSoftmax(1)), (1, 2, 11)),
}


def main():
    torch.manual_seed(0)
    for name, (network, shape) in NETWORKS.items():
        for part in network.modules():
            if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
                part.running_mean.normal_()
                part.running_var.uniform_(0.5, 2)
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
        example = (torch.randn(shape),)
        network.eval()
        torch.onnx.export(network, example, HERE / f"{name}_torchscript.onnx", dynamo=False, input_names=["x"],
                          dynamic_axes={"x": {0: "batch"}})
        torch.onnx.export(network, example, HERE / f"{name}_dynamo.onnx", dynamo=True, external_data=False,
                          dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
        _forget(HERE / f"{name}_dynamo.onnx")


def _forget(path):
    """Take out what names the machine."""
    model = onnx.load(path)
    del model.metadata_props[:], model.graph.metadata_props[:]
    for each in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del each.metadata_props[:]
    path.write_bytes(model.SerializeToString())


if __name__ == "__main__":
    main()
