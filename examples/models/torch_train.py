# SPDX-License-Identifier: GPL-3.0-or-later
"""Trains the models of PyTorch: `python -m examples.models.torch_train FOLDER NAME...` in an environment of its own.

Writes `NAME.onnx` and `NAME.npz`: `rows` (8-bit or 4-bit pixels, int64[rows, pixels]), `labels`, the numbers of the
rows for fitting (`fit`) and of those held out (`held_out`), and the names of the pictures in a row (`fields`). What
the model sees are pixels / 2^`scale`.
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

from examples.models.picture_pairs import altered, pairs

_SEED = 7
_HELD_OUT = 0.3
_BATCH = 32
_SHARPNESS = 32
"""What a distance counts in the loss: with 32, different pictures come to lie a few units apart."""


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


def _digits_logits(path: Path) -> None:
    """Ends in its logits: what EZKL proves is the whole file, and a softmax would be most of the cost."""
    digits = load_digits()
    layers = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    _make(path, layers, digits.data.astype(np.int64), digits.target, (64,), scale=4, epochs=40, softmax=False)


def _faces(path: Path) -> None:
    """Class 1 is a face."""
    images, labels = _lfw()
    layers = nn.Sequential(*_face_features(), nn.Linear(300, 2))
    _make(path, layers, images, labels, (1, 25, 25), scale=8, epochs=40)


def _face_distance(path: Path) -> None:
    """The distance between two pictures' embeddings; label 1 are pairs of a picture and the same one, altered.

    Pictures, not people: the data has no identities. Nothing of a held-out pair was seen in training.
    """
    images, kinds = _lfw()
    fit, held_out = train_test_split(np.arange(len(images)), test_size=_HELD_OUT, random_state=_SEED, stratify=kinds)
    embedding = nn.Sequential(*_face_features(), nn.Linear(300, 16))
    _fit_embedding(embedding, images[fit].reshape(-1, 25, 25), epochs=150)
    rows, labels = zip(*(pairs(images[each], _SEED + i) for i, each in enumerate((fit, held_out))), strict=True)
    zero = torch.zeros(1, 1, 25, 25)
    _export(path, _Distance(embedding), (zero, zero), ["probe", "enrolled"])
    count = len(rows[0])
    _save(path, np.concatenate(rows), np.concatenate(labels), np.arange(count), np.arange(len(rows[1])) + count, 8,
          ["probe", "enrolled"])  # fmt: skip


def _lfw() -> tuple[Any, Any]:
    """scikit-image's lfw_subset: 200 grey images of 25 x 25, the first hundred faces."""
    from skimage.data import lfw_subset

    images = np.rint(lfw_subset().reshape(200, -1) * 255).astype(np.int64)
    return images, (np.arange(200) < 100).astype(np.int64)


def _face_features() -> tuple[nn.Module, ...]:
    return nn.Conv2d(1, 6, 5, stride=2), nn.ReLU(), nn.Conv2d(6, 12, 3, stride=2), nn.ReLU(), nn.Flatten()


class _Distance(nn.Module):  # type: ignore[misc, unused-ignore]
    """The mean square of the difference of two embeddings."""

    def __init__(self, embedding: nn.Module) -> None:
        super().__init__()
        self.embedding = embedding

    def forward(self, probe: Any, enrolled: Any) -> Any:
        difference = self.embedding(probe) - self.embedding(enrolled)
        return (difference * difference).mean(dim=1)


def _make(
    path: Path, layers: nn.Module, rows: Any, labels: Any, shape: tuple[int, ...], scale: int, epochs: int,
    softmax: bool = True,
) -> None:  # fmt: skip
    fit, held_out = train_test_split(np.arange(len(rows)), test_size=_HELD_OUT, random_state=_SEED, stratify=labels)
    inputs = torch.tensor((rows[fit] / 2**scale).astype(np.float32)).reshape(-1, *shape)
    _fit(layers, inputs, torch.tensor(labels[fit]), epochs)
    whole = nn.Sequential(layers, nn.Softmax(dim=1)) if softmax else layers
    _export(path, whole, (torch.zeros(1, *shape),), ["x"])
    _save(path, rows, labels, fit, held_out, scale, ["pixel"])


def _export(path: Path, model: nn.Module, inputs: tuple[Any, ...], names: list[str]) -> None:
    torch.onnx.export(
        model.eval(), inputs, str(path.with_suffix(".onnx")), input_names=names, output_names=["p"], dynamo=False
    )


def _save(path: Path, rows: Any, labels: Any, fit: Any, held_out: Any, scale: int, fields: list[str]) -> None:
    np.savez(
        path.with_suffix(".npz"), rows=rows, labels=labels, fit=fit, held_out=held_out, scale=scale, fields=fields
    )


def _fit(layers: nn.Module, inputs: Any, labels: Any, epochs: int) -> None:
    loss_of = nn.CrossEntropyLoss()
    optimiser = torch.optim.Adam(layers.parameters(), lr=2e-3, weight_decay=1e-3)
    for _ in range(epochs):
        for batch in torch.randperm(len(inputs)).split(_BATCH):
            optimiser.zero_grad()
            loss_of(layers(inputs[batch]), labels[batch]).backward()
            optimiser.step()


def _fit_embedding(embedding: nn.Module, images: Any, epochs: int) -> None:
    """Bring each picture nearer to itself, altered, than to the others of its batch."""
    loss_of = nn.CrossEntropyLoss()
    optimiser = torch.optim.Adam(embedding.parameters(), lr=2e-3, weight_decay=1e-3)
    random = np.random.default_rng(_SEED)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(_BATCH):
            optimiser.zero_grad()
            seen = [np.stack([altered(each, random) for each in images[batch]]) / 256 for _ in range(2)]
            first, second = (embedding(torch.tensor(each, dtype=torch.float32)[:, None]) for each in seen)
            distances = ((first[:, None] - second[None]) ** 2).mean(dim=2)
            loss_of(-_SHARPNESS * distances, torch.arange(len(batch))).backward()
            optimiser.step()


_MAKERS: dict[str, Callable[[Path], None]] = {
    "digits-cnn": _digits,
    "digits-ezkl": _digits_logits,
    "faces-cnn": _faces,
    "faces-distance": _face_distance,
}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
