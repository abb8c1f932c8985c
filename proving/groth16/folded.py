# SPDX-License-Identifier: GPL-3.0-or-later
"""Private weights folded into a verifying key: one circuit and one set-up for every owner of an architecture.

In the architecture's circuit the weights w_i and a blinding r are its last public wires. The model's verifying key has
IC_0' = IC_0 + sum w_i IC_i + r IC_r and no points for them: an ordinary Groth16 key, whose size and cost do not depend
on the number of weights. The sum that is added is a Pedersen commitment: it hides the weights perfectly and binds
their owner as long as nobody knows a relation between the points (so not under development keys). Whoever relies on
a model key checks its registration (registration.py), or the sum could hold points of outputs as well and shift
them. docs/adr/0007-folded-weights.md has the argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from protocol.errors import KeyMaterialError, SecretError
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.groth16.binfile import Bytes
from proving.groth16.curve import G2, PointG1, point_g1, raw_g2, raw_of_words, words_g2
from proving.groth16.field import hash_to_field, to_bytes
from proving.groth16.point_sums import sum_g1
from proving.groth16.verifying_key import BN254_BASE_ORDER as Q
from proving.groth16.verifying_key import HEAD_WORDS, WORD_BYTES, check_words

MIN_STATEMENT = 2
"""A commitment and a binding."""
MIN_SECRET_BYTES = 16
_BLINDING_TAG = b"proofmesh.weights.blinding.v1"

Commitment = tuple[int, int]
"""The affine coordinates of the point that is added to IC_0."""


@dataclass(frozen=True, slots=True)
class FoldedWires:
    """Which public wires are folded away: of `statement + weights + 1` those after the first `statement`.

    Both numbers come from the recompiled circuit, never from a manifest: so no output and no binding can pass for a
    weight.
    """

    statement: int
    weights: int

    def __post_init__(self) -> None:
        if self.statement < MIN_STATEMENT or self.weights < 1:
            raise KeyMaterialError("Folding needs a statement and at least one weight.")

    @property
    def public(self) -> int:
        return self.statement + self.weights + 1


def weight_blinding(secret: bytes, architecture_key: Sequence[int], weights: Sequence[int]) -> int:
    """Return the blinding of a model, from its publisher's secret: uniform, recoverable, new for other weights.

    Raises:
        SecretError: the secret has less than 16 bytes.
    """
    if len(secret) < MIN_SECRET_BYTES:
        raise SecretError(f"A secret for blinding must have at least {MIN_SECRET_BYTES} bytes.")
    return hash_to_field(_BLINDING_TAG, secret, key_bytes(architecture_key), to_bytes(_residues(weights)).tobytes())


def fold(
    architecture_key: Sequence[int], weights: Sequence[int], blinding: int, wires: FoldedWires
) -> tuple[tuple[int, ...], Commitment]:
    """Return the model's verifying key and the commitment to its weights (signed integers, in the wires' order).

    Raises:
        KeyMaterialError: the key is no architecture's with these wires, or there are more or fewer weights.
    """
    points = folded_points(architecture_key, wires)
    if len(weights) != wires.weights or not 0 <= blinding < R:
        raise KeyMaterialError(f"The architecture takes {wires.weights} weights and a blinding in the field.")
    total = sum_g1(points, [*_residues(weights), blinding])
    commitment = (total.x, total.y)
    return model_key(architecture_key, commitment, wires), commitment


def model_key(architecture_key: Sequence[int], commitment: Commitment, wires: FoldedWires) -> tuple[int, ...]:
    """Return the verifying key that a commitment makes; public, so everybody recomputes it.

    Raises:
        KeyMaterialError: the commitment is no point, or the key would not be sound.
    """
    check_architecture(architecture_key, wires)
    first = point_g1(raw_of_words(architecture_key[HEAD_WORDS : HEAD_WORDS + 2])) + commitment_point(commitment)
    kept = architecture_key[HEAD_WORDS + 2 : HEAD_WORDS + 2 * (wires.statement + 1)]
    words = (*architecture_key[:HEAD_WORDS], first.x, first.y, *kept)
    check_words(words)
    return words


def check_architecture(architecture_key: Sequence[int], wires: FoldedWires) -> None:
    """Check what folding rests on and the words show; the rest is the audit of the architecture's proving key.

    gamma is the generator, as every set-up here has it; no IC point is at infinity or equal or opposite to another;
    there are as many as the circuit has public wires. That IC points are independent follows from the audit: each
    public wire has a row of its own in A (zkey.coefficients_of).

    Raises:
        KeyMaterialError: naming what is wrong.
    """
    if len(architecture_key) != HEAD_WORDS + 2 * (wires.public + 1):
        raise KeyMaterialError("The architecture's key has another number of public inputs than its circuit.")
    check_words(architecture_key, limit=None)
    if tuple(architecture_key[6:10]) != words_g2(raw_g2(G2)):
        raise KeyMaterialError("The architecture's gamma is not the generator.")


def folded_points(architecture_key: Sequence[int], wires: FoldedWires) -> Bytes:
    """Return the raw points of the weights and their blinding."""
    check_architecture(architecture_key, wires)
    words = architecture_key[HEAD_WORDS + 2 * (wires.statement + 1) :]
    data = b"".join(raw_of_words(words[at : at + 2]) for at in range(0, len(words), 2))
    return np.frombuffer(data, np.uint8).reshape(-1, 64)


def key_bytes(words: Sequence[int]) -> bytes:
    return b"".join(word.to_bytes(WORD_BYTES, "big") for word in words)


def commitment_point(commitment: Commitment) -> PointG1:
    """Return a commitment for computing.

    Raises:
        KeyMaterialError: it is no canonical point of the curve, or at infinity.
    """
    canonical = len(commitment) == 2 and all(type(word) is int and 0 <= word < Q for word in commitment)
    if not canonical or not any(commitment):
        raise KeyMaterialError("The commitment to the weights is no point, or the one at infinity.")
    return point_g1(raw_of_words(commitment))


def _residues(weights: Sequence[int]) -> list[int]:
    return [int(weight) % R for weight in weights]
