# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a file of powers of tau what it says: powers of one number?

Who knows that number is the ceremony's matter: `snarkjs powersoftau verify` replays its contributions, and a network
names the file it trusts by `phase1_id`.
"""

from __future__ import annotations

import numpy as np

from protocol.errors import KeyMaterialError
from protocol.hashing import keccak256
from proving.groth16.curve import (
    G1,
    G2,
    check_on_curve_g1,
    check_on_curve_g2,
    point_g1,
    point_g2,
    raw_g1,
    raw_g2,
    words_g1,
    words_g2,
)
from proving.groth16.pairing import same_ratio
from proving.groth16.point_sums import check_subgroup_g2, random_weights, sum_g1, sum_g2
from proving.groth16.ptau import Ptau
from proving.groth16.verifying_key import WORD_BYTES

_TAG = b"proofmesh.setup.ceremony.v1"


def phase1_id(alpha1: bytes, beta2: bytes) -> bytes:
    """Return the id of a ceremony's phase 1: Keccak-256 over its alpha, beta and gamma (raw points of a key or file).

    Anyone who holds a key can recompute it; the programs that share it can be verified in one batch.
    """
    words = (*words_g1(alpha1), *words_g2(beta2), *words_g2(raw_g2(G2)))
    return keccak256(_TAG + b"".join(word.to_bytes(WORD_BYTES, "big") for word in words))


def check_powers(ptau: Ptau, count: int) -> None:
    """Check the powers that a circuit with a domain of `count` points takes: 2 count - 1 in G1, count of the others.

    Raises:
        KeyMaterialError: there are fewer, a point is none, or the points are not the powers of one tau.
    """
    if count > 1 << ptau.power:
        raise KeyMaterialError(f"The powers of tau go up to 2^{ptau.power}; the circuit needs {count}.")
    series = [ptau.tau1[: 2 * count - 1], ptau.alpha_tau1[:count], ptau.beta_tau1[:count]]
    for points in series:
        check_on_curve_g1(points, "powers of tau")
    tau2 = ptau.tau2[:count]
    check_on_curve_g2(tau2, "powers of tau in G2")
    check_subgroup_g2(tau2, "powers of tau in G2")
    if series[0][0].tobytes() != raw_g1(G1) or tau2[0].tobytes() != raw_g2(G2):
        raise KeyMaterialError("The powers of tau do not start at the generators.")
    tau_g1, tau_g2 = point_g1(series[0][1].tobytes()), point_g2(tau2[1].tobytes())
    lower, upper = np.concatenate([each[:-1] for each in series]), np.concatenate([each[1:] for each in series])
    weights = random_weights(len(lower))
    short = random_weights(count - 1)
    if not (
        same_ratio(sum_g1(lower, weights), sum_g1(upper, weights), G2, tau_g2)
        and same_ratio(G1, tau_g1, sum_g2(tau2[:-1], short), sum_g2(tau2[1:], short))
        and same_ratio(G1, point_g1(ptau.beta_tau1[0].tobytes()), G2, point_g2(ptau.beta2[0].tobytes()))
    ):
        raise KeyMaterialError("The powers of tau are not the powers of one number.")
