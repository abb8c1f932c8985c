# SPDX-License-Identifier: GPL-3.0-or-later
"""Development keys: an honest Groth16 key whose secrets everybody knows.

tau, alpha and beta come from a public seed, delta from seed and circuit, gamma is 1. So all programs of a seed share
their phase 1, the key is a function of the circuit (the audit recomputes what it needs), and anyone can forge a proof
of anything: that is what `dev` means. Private inputs are as safe as under any honest key, since hiding does not
rest on the secrets. docs/adr/0006-keys.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path

from protocol.errors import KeyMaterialError
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.constraints.system import ConstraintSystem
from proving.groth16.curve import G1, G2, raw_g1, raw_g2
from proving.groth16.field import hash_to_field
from proving.groth16.fixed_base import multiples_g1, multiples_g2
from proving.groth16.keys import Keys
from proving.groth16.queries import Secrets, queries_of
from proving.groth16.verifying_key import check_words, dev_setup_id
from proving.groth16.zkey import ZKey, coefficients_of, verifying_words, write_zkey

DEV_SEED = b"proofmesh.dev.phase1.v1"
"""The seed of every network's development keys: one phase 1, so that proofs of all dev programs batch."""
_NO_DIGEST = bytes(64)


@dataclass(frozen=True, slots=True)
class DevPhase1:
    """The secrets of a phase 1 that hides nothing."""

    seed: bytes = DEV_SEED

    def secrets(self, circuit_hash: bytes) -> Secrets:
        """Return the trapdoor of the key of one circuit."""
        tau, alpha, beta = (hash_to_field(self.seed, name) for name in (b"tau", b"alpha", b"beta"))
        return Secrets(tau, alpha, beta, hash_to_field(self.seed, b"delta", circuit_hash))


def dev_keys(system: ConstraintSystem, circuit_hash: bytes, zkey_path: Path, seed: bytes = DEV_SEED) -> Keys:
    """Make the development keys of a circuit and write the proving key.

    Raises:
        KeyMaterialError: the circuit is too large, or its verifying key would not be sound (check_words).
    """
    key = dev_zkey(system, DevPhase1(seed).secrets(circuit_hash))
    words = verifying_words(key)
    check_words(words, limit=None)
    write_zkey(key, zkey_path)
    return Keys(zkey_path, words, dev_setup_id(words), dev=True)


def dev_zkey(system: ConstraintSystem, secrets: Secrets) -> ZKey:
    """Return the key that given secrets make."""
    if pow(secrets.tau, 2 * system.domain, R) == 1:
        raise KeyMaterialError("tau is a root of unity: choose another seed.")
    queries = queries_of(system, secrets)
    parts = (queries.ic, queries.a, queries.b, queries.c, queries.h)
    points = multiples_g1([each for part in parts for each in part])
    ends = accumulate(map(len, parts), initial=0)
    ic, a, b1, c, h = (points[start:end] for start, end in pairwise(ends))
    return ZKey(
        system.wires, system.public, system.domain,
        alpha1=raw_g1(G1 * secrets.alpha), beta1=raw_g1(G1 * secrets.beta), beta2=raw_g2(G2 * secrets.beta),
        gamma2=raw_g2(G2), delta1=raw_g1(G1 * secrets.delta), delta2=raw_g2(G2 * secrets.delta),
        ic=ic, coefficients=coefficients_of(system), a=a, b1=b1, b2=multiples_g2(queries.b), c=c, h=h,
        circuit_digest=_NO_DIGEST,
    )
