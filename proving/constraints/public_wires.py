# SPDX-License-Identifier: GPL-3.0-or-later
"""Which public wire is what, in the order of docs/adr/0005."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import numpy as np

from proving.sparse import Array


@dataclass(frozen=True, slots=True, eq=False)
class PublicWires:
    """Wire numbers: commitment, commitments of further groups, commitment to the weights (Poseidon mode), packed public
    inputs, threshold, outputs, binding, and, with folded weights, the weights and their blinding."""

    commitment: int
    groups: tuple[int, ...]
    weight_commitment: int | None
    inputs: tuple[int, ...]
    threshold: int | None
    outputs: tuple[int, ...]
    binding: int
    weights: Array
    """int64, the weights and last their blinding; empty unless weights are folded."""

    @property
    def count(self) -> int:
        """All public wires; they are 1 to `count`."""
        return self.binding + len(self.weights)

    @property
    def statement(self) -> int:
        """The public wires that a verifier sees, up to the binding: those without the weights."""
        return self.binding


def public_wires(
    outputs: int,
    groups: int = 0,
    inputs: int = 0,
    threshold: bool = False,
    weights: int = 0,
    weight_commitment: bool = False,
) -> PublicWires:
    """Return the wires of a statement with these numbers of elements; `weights` counts the blinding too."""
    places = iter(range(1, 3 + groups + weight_commitment + inputs + threshold + outputs))
    return PublicWires(
        commitment=next(places),
        groups=tuple(islice(places, groups)),
        weight_commitment=next(places) if weight_commitment else None,
        inputs=tuple(islice(places, inputs)),
        threshold=next(places) if threshold else None,
        outputs=tuple(islice(places, outputs)),
        binding=(binding := next(places)),
        weights=np.arange(binding + 1, binding + 1 + weights, dtype=np.int64),
    )
