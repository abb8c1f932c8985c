# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the benchmark's models and writes them as ONNX, with inputs and the floats they should give.

`python -m benchmarks.proving.train FOLDER`, in the benchmark's own environment (torch, scikit-learn, skl2onnx).
For each model: `NAME.onnx` and `NAME.npz` with `raw` (integer inputs, int64[rows, n]), `inputs` (what the model
sees, float32[rows, n]), `expected` (onnxruntime's outputs, float32[rows, m]) and `labels` (int64[rows]), all
held out from training.

Data: scikit-learn's digits (8x8, real; 28x28 by bilinear interpolation), its breast cancer set (the first 20 of
30 columns), and for 32x32x3 a composite: real digits, tinted, over patches of scikit-learn's two sample photos.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_digits, load_sample_images
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from torch import nn

from benchmarks.proving.models import BY_NAME

ROWS = 64
"""Held-out inputs on which both sides are measured."""
_SEED = 7
Data = tuple[Any, Any, Any, Any]
"""Raw training inputs, raw held-out inputs, training labels, held-out labels."""


def main(folder: Path, names: list[str]) -> None:
    """Write each named model that is not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if not (folder / f"{name}.npz").is_file():
            _MAKERS[name](name, folder)
            print(f"trained {name}", flush=True)


def _network(name: str, folder: Path, layers: nn.Module, data: Data, epochs: int) -> None:
    spec = BY_NAME[name]
    raw_train, raw_test, y_train, y_test = data
    step = np.float32(2.0**-spec.scale)
    inputs = torch.tensor((raw_train * step).astype(np.float32)).reshape(-1, *spec.shape)
    _fit(layers, inputs, torch.tensor(y_train), epochs)
    path = folder / f"{name}.onnx"
    torch.onnx.export(
        layers, torch.zeros(1, *spec.shape), str(path), input_names=["x"], output_names=["y"], dynamo=False
    )
    raw, labels = raw_test[:ROWS], y_test[:ROWS]
    inputs = (raw * step).astype(np.float32)
    expected = _expected(path, inputs.reshape(-1, *spec.shape))
    _save(folder / f"{name}.npz", raw, inputs, expected, labels)


def _fit(layers: nn.Module, x: Any, y: Any, epochs: int) -> None:
    one_score = layers(x[:1]).shape[1] == 1
    loss_of: Any = nn.BCEWithLogitsLoss() if one_score else nn.CrossEntropyLoss()
    optimiser = torch.optim.Adam(layers.parameters(), lr=2e-3, weight_decay=1e-4)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            target = y[batch].float().reshape(-1, 1) if one_score else y[batch]
            optimiser.zero_grad()
            loss_of(layers(x[batch]), target).backward()
            optimiser.step()
    layers.eval()


def _expected(path: Path, inputs: Any) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    rows = [session.run(None, {name: row[None]})[0].reshape(-1) for row in inputs]
    return np.array(rows, dtype=np.float32)


def _save(path: Path, raw: Any, inputs: Any, expected: Any, labels: Any) -> None:
    np.savez(path, raw=raw.astype(np.int64), inputs=inputs, expected=expected, labels=labels.astype(np.int64))


def _dense(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for here, there in pairwise(sizes):
        layers += [nn.Linear(here, there), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), *_dense(256, 120, 84, 10),
    )  # fmt: skip


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), *_dense(1024, 192, 10),
    )  # fmt: skip


def _split(raw: Any, labels: Any) -> Data:
    x_train, x_test, y_train, y_test = train_test_split(
        raw, labels, test_size=0.25, random_state=_SEED, stratify=labels
    )
    return x_train, x_test, y_train, y_test


def _digits() -> Data:
    digits = load_digits()
    return _split(digits.data.astype(np.int64), digits.target)


def _large_digits(size: int) -> tuple[Any, Any]:
    """Digits as 8-bit pixels of size x size, bilinear: int64[rows, size, size] and their labels."""
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    large = nn.functional.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    return (large[:, 0].numpy() * 255).round().astype(np.int64), digits.target


def _digits_28() -> Data:
    images, labels = _large_digits(28)
    return _split(images.reshape(len(images), -1), labels)


def _digits_on_photos() -> Data:
    images, labels = _large_digits(32)
    random = np.random.default_rng(_SEED)
    photos = load_sample_images().images
    rows = []
    for image in np.repeat(images, 3, axis=0):
        photo = photos[random.integers(len(photos))]
        top, left = random.integers(photo.shape[0] - 32), random.integers(photo.shape[1] - 32)
        patch = photo[top : top + 32, left : left + 32].astype(np.float32) * 0.5
        alpha = image[..., None].astype(np.float32) / 255
        tint = random.uniform(170, 255, 3)
        rows.append(np.round(patch * (1 - alpha) + tint * alpha).astype(np.int64).transpose(2, 0, 1).reshape(-1))
    return _split(np.array(rows), np.repeat(labels, 3))


def _cancer_columns() -> tuple[Any, Any]:
    data, target = load_breast_cancer(return_X_y=True)
    return data[:, :20], target


def _cancer() -> Data:
    """Standardised, as multiples of 2^-scale, cut to the declared range."""
    spec = BY_NAME["20-16-1"]
    columns, labels = _cancer_columns()
    train, test, y_train, y_test = _split(columns, labels)
    mean, deviation = train.mean(axis=0), train.std(axis=0)

    def raw(values: Any) -> Any:
        scaled = np.round((values - mean) / deviation * 2**spec.scale).astype(np.int64)
        return np.clip(scaled, spec.low, spec.low + 2**spec.bits - 1)

    return raw(train), raw(test), y_train, y_test


def _forest(name: str, folder: Path) -> None:
    columns, labels = _cancer_columns()
    train, test, y_train, y_test = _split(columns.astype(np.float32), labels)
    forest = RandomForestClassifier(n_estimators=50, max_depth=4, random_state=_SEED).fit(train, y_train)
    exported = to_onnx(forest, train[:1], options={"zipmap": False})
    path = folder / f"{name}.onnx"
    path.write_bytes(exported.SerializeToString())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = test[:ROWS]
    expected = session.run(None, {session.get_inputs()[0].name: inputs})[1]
    # The order of all floats as unsigned integers: flip the sign bit of a positive, every bit of a negative.
    bits = inputs.view(np.uint32)
    raw = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    _save(folder / f"{name}.npz", raw, inputs, np.asarray(expected, np.float32), y_test[:ROWS])


_MAKERS: dict[str, Callable[[str, Path], None]] = {
    "20-16-1": lambda name, folder: _network(name, folder, _dense(20, 16, 1), _cancer(), 60),
    "64-64-32-10": lambda name, folder: _network(name, folder, _dense(64, 64, 32, 10), _digits(), 40),
    "784-128-10": lambda name, folder: _network(name, folder, _dense(784, 128, 10), _digits_28(), 25),
    "784-512-256-10": lambda name, folder: _network(name, folder, _dense(784, 512, 256, 10), _digits_28(), 20),
    "lenet": lambda name, folder: _network(name, folder, _lenet(), _digits_28(), 25),
    "forest-50x4": _forest,
    "cnn-32x32x3": lambda name, folder: _network(name, folder, _cnn(), _digits_on_photos(), 12),
}


if __name__ == "__main__":
    torch.manual_seed(_SEED)
    torch.set_num_threads(2)
    main(Path(sys.argv[1]), sys.argv[2:] or list(_MAKERS))
