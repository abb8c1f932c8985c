# SPDX-License-Identifier: GPL-3.0-or-later
"""The key that a ceremony starts from: a circuit over powers of tau, with delta = 1 (snarkjs' zkey_new.js)."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np

from protocol.errors import KeyMaterialError
from proving.constraints.system import ConstraintSystem
from proving.groth16.binfile import Bytes
from proving.groth16.column_sums import ColumnSums, public_terms, terms_of
from proving.groth16.curve import G1, G1_BYTES, G2, points_g1, raw_g1, raw_g2, uncompressed
from proving.groth16.lagrange_points import basis, odd_basis
from proving.groth16.ptau import LAGRANGE_ALPHA1, LAGRANGE_BETA1, LAGRANGE_TAU1, LAGRANGE_TAU2, Ptau
from proving.groth16.zkey import ZKey, coefficients_of

DIGEST_CHUNK = 1 << 14
_NO_DIGEST = bytes(64)


def initial_key(system: ConstraintSystem, ptau: Ptau) -> ZKey:
    """Return the ceremony's first key; about 0.8 ms for each point of the domain.

    The caller has checked the powers (`phase1.check_powers`); their Lagrange bases are checked here.

    Raises:
        KeyMaterialError: there are too few powers, or the file's Lagrange bases are not those of its powers.
    """
    domain = system.domain
    needed = domain.bit_length() - 1 + (domain > DIGEST_CHUNK)
    if needed > ptau.power:
        # snarkjs' digest of a circuit with a domain above 2^14 reads one power beyond the 2 domain - 1 that it has.
        raise KeyMaterialError(f"The circuit needs powers of tau up to 2^{needed}; the file has 2^{ptau.power}.")
    tau1 = basis(ptau, LAGRANGE_TAU1, ptau.tau1[:domain])
    tau2 = basis(ptau, LAGRANGE_TAU2, ptau.tau2[:domain])
    alpha1 = basis(ptau, LAGRANGE_ALPHA1, ptau.alpha_tau1[:domain])
    beta1 = basis(ptau, LAGRANGE_BETA1, ptau.beta_tau1[:domain])
    a, b, c, public = terms_of(system.a), terms_of(system.b), terms_of(system.c), public_terms(system)
    sums = ColumnSums(np.concatenate((tau1, alpha1, beta1)))
    mixed = sums.by_wire([c, b.moved(domain), a.moved(2 * domain), public.moved(2 * domain)], system.wires)
    key = ZKey(
        system.wires, system.public, domain,
        alpha1=ptau.alpha_tau1[0].tobytes(), beta1=ptau.beta_tau1[0].tobytes(), beta2=ptau.beta2[0].tobytes(),
        gamma2=raw_g2(G2), delta1=raw_g1(G1), delta2=raw_g2(G2),
        ic=mixed[: system.public + 1], coefficients=coefficients_of(system),
        a=sums.by_wire([a, public], system.wires), b1=sums.by_wire([b], system.wires),
        b2=ColumnSums(tau2).by_wire([b], system.wires), c=mixed[system.public + 1 :], h=odd_basis(ptau, domain),
        circuit_digest=_NO_DIGEST,
    )
    return dataclasses.replace(key, circuit_digest=_circuit_digest(key, ptau))


def _circuit_digest(key: ZKey, ptau: Ptau) -> bytes:
    """Return snarkjs' circuit hash: BLAKE2b over the header's points, IC, tau^i (tau^n - 1), C, A, B1, B2."""
    digest = hashlib.blake2b(digest_size=64)
    for raw in (key.alpha1, key.beta1, key.beta2, key.gamma2, key.delta1, key.delta2):
        digest.update(uncompressed(raw))
    _add_points(digest, len(key.ic), key.ic)
    count = key.domain - 1
    # Its loop takes whole chunks, so beyond the first it hashes more points than it says.
    hashed = count if count <= DIGEST_CHUNK else -(-count // DIGEST_CHUNK) * DIGEST_CHUNK
    lower, upper = points_g1(ptau.tau1[:hashed]), points_g1(ptau.tau1[key.domain : key.domain + hashed])
    differences = b"".join(raw_g1(high - low) for low, high in zip(lower, upper, strict=True))
    _add_points(digest, count, np.frombuffer(differences, np.uint8).reshape(-1, G1_BYTES))
    for points in (key.c, key.a, key.b1, key.b2):
        _add_points(digest, len(points), points)
    return digest.digest()


def _add_points(digest: Any, count: int, points: Bytes) -> None:
    digest.update(count.to_bytes(4, "big"))
    for row in points:
        digest.update(uncompressed(row.tobytes()))
