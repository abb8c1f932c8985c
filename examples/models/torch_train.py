# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the models of PyTorch: `python -m examples.models.torch_train FOLDER NAME...` in an environment of its own.

Writes `NAME.onnx` and `NAME.npz`: `rows` (8-bit or 4-bit pixels, int64[rows, pixels]), `labels`, and the numbers of the
rows for fitting (`fit`) and of those held out (`held_out`). What the model sees are pixels / 2^`scale`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

_SEED = 7
_HELD_OUT = 0.3
_BATCH = 32


def main(folder: Path, names: list[str]) -> None:
    """Train each named model and write its two files."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name in names:
        torch.manual_seed(_SEED)
        _MAKERS[name](folder / name)


def _digits(path: Path) -> None:
    digits = load_digits()
    layers = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(64, 10),
    )  # fmt: skip
    _make(path, layers, digits.data.astype(np.int64), digits.target, (1, 8, 8), scale=4, epochs=40)


def _faces(path: Path) -> None:
    """scikit-image's lfw_subset: 200 grey images of 25 x 25, the first hundred faces; class 1 is a face."""
    from skimage.data import lfw_subset

    images = np.rint(lfw_subset().reshape(200, -1) * 255).astype(np.int64)
    labels = (np.arange(200) < 100).astype(np.int64)
    layers = nn.Sequential(
        nn.Conv2d(1, 6, 5, stride=2), nn.ReLU(), nn.Conv2d(6, 12, 3, stride=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(300, 2),
    )  # fmt: skip
    _make(path, layers, images, labels, (1, 25, 25), scale=8, epochs=40)


def _make(
    path: Path, layers: nn.Module, rows: Any, labels: Any, shape: tuple[int, ...], scale: int, epochs: int
) -> None:
    fit, held_out = train_test_split(np.arange(len(rows)), test_size=_HELD_OUT, random_state=_SEED, stratify=labels)
    inputs = torch.tensor((rows[fit] / 2**scale).astype(np.float32)).reshape(-1, *shape)
    _fit(layers, inputs, torch.tensor(labels[fit]), epochs)
    whole = nn.Sequential(layers, nn.Softmax(dim=1)).eval()
    torch.onnx.export(
        whole, (torch.zeros(1, *shape),), str(path.with_suffix(".onnx")), input_names=["x"], output_names=["p"],
        dynamo=False,
    )  # fmt: skip
    np.savez(path.with_suffix(".npz"), rows=rows, labels=labels, fit=fit, held_out=held_out, scale=scale)


def _fit(layers: nn.Module, inputs: Any, labels: Any, epochs: int) -> None:
    loss_of = nn.CrossEntropyLoss()
    optimiser = torch.optim.Adam(layers.parameters(), lr=2e-3, weight_decay=1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs)).split(_BATCH):
            optimiser.zero_grad()
            loss_of(layers(inputs[batch]), labels[batch]).backward()
            optimiser.step()


_MAKERS: dict[str, Callable[[Path], None]] = {"digits-cnn": _digits, "faces-cnn": _faces}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
