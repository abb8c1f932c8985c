# SPDX-License-Identifier: GPL-3.0-or-later
"""Pairs of pictures for a distance: one and the same, altered twice, or two different ones."""

from __future__ import annotations

from typing import Any

import numpy as np

_SHIFT = 1
_NOISE = 6.0


def pairs(images: Any, seed: int) -> tuple[Any, Any]:
    """Return two pairs for each square picture, int64[2 pictures, 2 pixels], and which show the same one (0, 1).

    `images` is int64[pictures, pixels] of 0 to 255. A different picture is the next of a random order.
    """
    random = np.random.default_rng(seed)
    side = int(images.shape[1] ** 0.5)
    order = random.permutation(len(images))
    rows, labels = [], []
    for place, each in enumerate(order):
        for same, other in ((1, each), (0, order[(place + 1) % len(order)])):
            both = (altered(images[i].reshape(side, side), random).ravel() for i in (each, other))
            rows.append(np.concatenate(list(both)))
            labels.append(same)
    return np.stack(rows), np.array(labels, dtype=np.int64)


def altered(image: Any, random: np.random.Generator) -> Any:
    """Return a picture moved by up to a pixel, brighter or darker by up to a tenth, with noise; int64, 0 to 255."""
    down, right = random.integers(0, 2 * _SHIFT + 1, 2)
    moved = np.pad(image, _SHIFT, mode="edge")[down : down + image.shape[0], right : right + image.shape[1]]
    noisy = moved * random.uniform(0.9, 1.1) + random.normal(0, _NOISE, moved.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.int64)
