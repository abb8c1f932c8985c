# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's models: names, input encodings, and which of them count in the ratios."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod


@dataclass(frozen=True, slots=True)
class BenchmarkModel:
    """`shape` without the batch; the model sees `raw / 2^scale` with `low <= raw < low + 2^bits`.

    `float32`: raw is the place of a float32 in the order of all floats (trees). `five`: one of the five networks
    over which the ratios are taken. `data` says what it was trained on.
    """

    name: str
    shape: tuple[int, ...]
    bits: int
    low: int = 0
    scale: int = 0
    float32: bool = False
    five: bool = True
    data: str = ""

    @property
    def inputs(self) -> int:
        return prod(self.shape)


MODELS = (
    BenchmarkModel("20-16-1", (20,), 11, low=-1024, scale=7, data="breast cancer, 20 of 30 columns"),
    BenchmarkModel("64-64-32-10", (64,), 5, scale=4, data="digits, 8x8"),
    BenchmarkModel("784-128-10", (784,), 8, scale=8, data="digits, bilinear to 28x28"),
    BenchmarkModel("784-512-256-10", (784,), 8, scale=8, data="digits, bilinear to 28x28"),
    BenchmarkModel("lenet", (1, 28, 28), 8, scale=8, data="digits, bilinear to 28x28"),
    BenchmarkModel("forest-50x4", (20,), 32, float32=True, five=False, data="breast cancer, 20 of 30 columns"),
    BenchmarkModel("cnn-32x32x3", (3, 32, 32), 8, scale=8, five=False, data="digits over photo patches (composite)"),
)
BY_NAME = {model.name: model for model in MODELS}
