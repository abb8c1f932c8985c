# SPDX-License-Identifier: GPL-3.0-or-later
"""The proof that a model's key was folded from weights, and from nothing else.

A Schnorr proof of knowledge of a representation (Okamoto, CRYPTO 1992) of the commitment over exactly the points of the
weights and their blinding, made non-interactive by Fiat and Shamir: T = sum k_i IC_i, c = H(all that is claimed, T),
z_i = k_i + c w_i; the proof is c and the z_i, 32 bytes each. The hash takes in architecture key, wires, commitment,
publisher, chain and registry, so that nobody can register somebody else's model as his own.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from protocol.errors import KeyMaterialError
from protocol.hashing import keccak256
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.groth16.curve import PointG1, check_on_curve_g1
from proving.groth16.field import ELEMENT_BYTES, hash_to_field, to_bytes
from proving.groth16.folded import (
    Commitment,
    FoldedWires,
    commitment_point,
    fold,
    folded_points,
    key_bytes,
    model_key,
)
from proving.groth16.point_sums import sum_g1
from proving.groth16.verifying_key import WORD_BYTES

_TAG = b"proofmesh.weights.registration.v1"
ADDRESS_BYTES = 20


@dataclass(frozen=True, slots=True)
class Registrar:
    """Who registers where: publisher and registry are addresses of 20 bytes."""

    publisher: bytes
    chain_id: int
    registry: bytes

    def __post_init__(self) -> None:
        if len(self.publisher) != ADDRESS_BYTES or len(self.registry) != ADDRESS_BYTES or self.chain_id < 0:
            raise KeyMaterialError("Publisher and registry are addresses of 20 bytes, the chain id a number.")


def prove_registration(
    architecture_key: Sequence[int],
    wires: FoldedWires,
    weights: Sequence[int],
    blinding: int,
    registrar: Registrar,
) -> bytes:
    """Return the registration proof of a model, 32 * (weights + 2) bytes.

    Raises:
        KeyMaterialError: see `fold`.
    """
    _, commitment = fold(architecture_key, weights, blinding, wires)
    points = folded_points(architecture_key, wires)
    nonces = [secrets.randbelow(R) for _ in range(wires.weights + 1)]
    challenge = _challenge(architecture_key, wires, commitment, registrar, sum_g1(points, nonces))
    responses = [(k + challenge * w) % R for k, w in zip(nonces, [*weights, blinding], strict=True)]
    return to_bytes([challenge, *responses]).tobytes()


def verify_registration(
    architecture_key: Sequence[int],
    wires: FoldedWires,
    commitment: Commitment,
    registrar: Registrar,
    proof: bytes,
) -> bool:
    """Say whether the publisher knows weights and blinding behind a commitment; False for garbage.

    The caller has audited the architecture's key, or had it from whom he trusts, and takes `wires` from the recompiled
    circuit; the model's key is `folded.model_key(architecture_key, commitment, wires)`.
    """
    if not isinstance(proof, bytes) or len(proof) != ELEMENT_BYTES * (wires.weights + 2):
        return False
    challenge, *responses = (
        int.from_bytes(proof[at : at + ELEMENT_BYTES], "little") for at in range(0, len(proof), ELEMENT_BYTES)
    )
    if max(challenge, *responses) >= R:
        return False
    try:
        model_key(architecture_key, commitment, wires)
        points = folded_points(architecture_key, wires)
        check_on_curve_g1(points, "the weights' points")
        claimed = commitment_point(commitment)
    except KeyMaterialError:
        return False
    announced = sum_g1(points, responses) + claimed * (R - challenge)
    return challenge == _challenge(architecture_key, wires, commitment, registrar, announced)


def _challenge(
    architecture_key: Sequence[int],
    wires: FoldedWires,
    commitment: Commitment,
    registrar: Registrar,
    announced: PointG1,
) -> int:
    numbers = (wires.statement, wires.weights, registrar.chain_id, *commitment, announced.x, announced.y)
    return hash_to_field(
        _TAG,
        keccak256(key_bytes(architecture_key)),
        *(number.to_bytes(WORD_BYTES, "big") for number in numbers),
        registrar.publisher,
        registrar.registry,
    )
