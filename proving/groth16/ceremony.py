# SPDX-License-Identifier: GPL-3.0-or-later
"""Phase 2 of a set-up by several people, over files that snarkjs reads and writes as well.

Each contribution multiplies delta by a number that only its maker knew; one honest maker is enough. A last one, the
beacon, comes from public randomness that nobody could choose, such as the hash of a block named in advance.
Contributions carry the proof of knowledge of Bowe, Gabizon and Miers ("Scalable Multi-party Computation for zk-SNARK
Parameters in the Random Beacon Model", 2017). Whoever verifies needs the circuit, the powers of tau and the final
key: nobody's word. docs/adr/0006-keys.md.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import AuditError, KeyMaterialError
from protocol.hashing import keccak256
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.constraints.system import ConstraintSystem
from proving.groth16.chacha import ChaCha, hash_to_g2, random_g1, scalar
from proving.groth16.contribution import (
    BEACON,
    MAX_BEACON_BYTES,
    MAX_NAME_CHARACTERS,
    Contribution,
)
from proving.groth16.curve import G1, PointG1, point_g1, point_g2, raw_g1, raw_g2, uncompressed
from proving.groth16.field import hash_to_field
from proving.groth16.initial_key import initial_key
from proving.groth16.key_audit import audit_key
from proving.groth16.keys import Keys
from proving.groth16.pairing import same_ratio
from proving.groth16.phase1 import check_powers, phase1_id
from proving.groth16.ptau import read_ptau
from proving.groth16.scaling import scaled
from proving.groth16.verifying_key import check_words
from proving.groth16.zkey import ZKey, read_zkey, verifying_words, write_zkey

MIN_ITERATIONS, MAX_ITERATIONS = 10, 24
"""Exponents of a beacon's SHA-256 iterations: snarkjs' least, and ten seconds for whoever verifies."""
MIN_ENTROPY_BYTES = 1
_TRANSCRIPT_TAG = b"proofmesh.setup.transcript.v1"


@dataclass(frozen=True, slots=True)
class Step:
    """A contribution as it is published; `digest` is what its maker's tool showed him (BLAKE2b, 64 bytes)."""

    name: str
    digest: bytes
    beacon: bytes
    iterations: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """What a ceremony made public. `digest`, 32 bytes, stands for all of it."""

    circuit_digest: bytes
    steps: tuple[Step, ...]

    @property
    def digest(self) -> bytes:
        return keccak256(_TRANSCRIPT_TAG + self.circuit_digest + b"".join(step.digest for step in self.steps))


def start(system: ConstraintSystem, ptau: Path, zkey: Path) -> bytes:
    """Write the key that the first contributor takes; return the circuit's digest (snarkjs' circuit hash).

    Raises:
        KeyMaterialError: the powers of tau are not what they say, or too few.
    """
    powers = read_ptau(ptau)
    check_powers(powers, system.domain)
    key = initial_key(system, powers)
    write_zkey(key, zkey)
    return key.circuit_digest


def contribute(previous: Path, following: Path, entropy: bytes, name: str) -> bytes:
    """Write a key with one more secret factor in its delta; return the contribution's digest for the maker to publish.

    The factor comes from the system's randomness and `entropy`, exists in memory only, and is worth forgetting.

    Raises:
        KeyMaterialError: `previous` holds no key, or the name is too long.
    """
    if len(entropy) < MIN_ENTROPY_BYTES or len(name) > MAX_NAME_CHARACTERS or len(name.encode()) > MAX_BEACON_BYTES:
        raise KeyMaterialError(f"A contribution takes some entropy and a name of up to {MAX_NAME_CHARACTERS} letters.")
    factor = hash_to_field(b"proofmesh.ceremony.factor", os.urandom(64), entropy)
    base = G1 * hash_to_field(b"proofmesh.ceremony.base", os.urandom(64), entropy)
    return _apply(previous, following, factor, base, Contribution(b"", b"", b"", b"", b"", name=name))


def beacon(previous: Path, following: Path, randomness: bytes, iterations: int, name: str = "beacon") -> bytes:
    """Write a key with a factor from public randomness, hashed 2^iterations times; return the contribution's digest.

    Raises:
        KeyMaterialError: `previous` holds no key, or randomness or iterations are out of range.
    """
    stream = _beacon_stream(randomness, iterations)
    factor, base = scalar(stream), random_g1(stream)
    record = Contribution(b"", b"", b"", b"", b"", BEACON, name, iterations, randomness)
    return _apply(previous, following, factor, base, record)


def finish(previous: Path, following: Path, randomness: bytes, iterations: int) -> Keys:
    """Write the final key, closed by a beacon, and return the pair of keys.

    Raises:
        KeyMaterialError: nobody has contributed, or see `beacon`.
    """
    key = read_zkey(previous)
    if all(each.kind == BEACON for each in key.contributions):
        raise KeyMaterialError("Nobody has contributed: whoever started the ceremony could forge proofs.")
    beacon(previous, following, randomness, iterations)
    final = read_zkey(following)
    words = verifying_words(final)
    check_words(words, limit=None)
    return Keys(following, words, phase1_id(final.alpha1, final.beta2), dev=False)


def verify(system: ConstraintSystem, ptau: Path, zkey: Path) -> Transcript:
    """Check a final key against circuit and powers of tau, point by point, and return what its makers did.

    Raises:
        AuditError: the key is not the one that these contributions make of the circuit.
    """
    try:
        powers = read_ptau(ptau)
        check_powers(powers, system.domain)
        key = read_zkey(zkey)
        first = initial_key(system, powers)
        if key.circuit_digest != first.circuit_digest:
            raise KeyMaterialError("The ceremony was about another circuit or other powers of tau.")
        for name in ("ic", "a", "b1", "b2"):
            if getattr(key, name).tobytes() != getattr(first, name).tobytes():
                raise KeyMaterialError(f"A contribution changed section {name}.")
        transcript = check_contributions(key)
    except KeyMaterialError as error:
        raise AuditError(f"The ceremony does not verify: {error.message}") from None
    audit_key(system, zkey, powers, verifying_words(key), powers_checked=True)
    return transcript


def check_contributions(key: ZKey) -> Transcript:
    """Check that each factor of delta was known to its maker and that delta is their product.

    Fast, and with `audit_key` all that security needs; only `verify` also checks the digest of the circuit.

    Raises:
        KeyMaterialError: naming the first contribution that does not hold.
    """
    hashed, delta = hashlib.blake2b(key.circuit_digest, digest_size=64), G1
    steps = []
    for number, each in enumerate(key.contributions, 1):
        delta = _check_contribution(each, number, hashed.copy(), delta)
        record = _public_record(each)
        hashed.update(record)
        digest = hashlib.blake2b(record, digest_size=64).digest()
        steps.append(Step(each.name, digest, each.beacon, each.iterations))
    if raw_g1(delta) != key.delta1:
        raise KeyMaterialError("delta is not the product of the contributions.")
    if all(each.kind == BEACON for each in key.contributions):
        raise KeyMaterialError("Nobody has contributed.")
    return Transcript(key.circuit_digest, tuple(steps))


def _check_contribution(each: Contribution, number: int, hashed: hashlib.blake2b, delta: PointG1) -> PointG1:
    """Check one contribution on top of `delta` and return delta after it."""
    hashed.update(uncompressed(each.s) + uncompressed(each.sx))
    if hashed.digest() != each.transcript:
        raise KeyMaterialError(f"Contribution {number} does not follow those before it.")
    sp, spx = hash_to_g2(each.transcript), point_g2(each.spx)
    s, sx, after = (point_g1(raw) for raw in (each.s, each.sx, each.delta_after))
    if not same_ratio(s, sx, sp, spx) or not same_ratio(delta, after, sp, spx):
        raise KeyMaterialError(f"Contribution {number} lacks a proof that its factor was known.")
    if each.kind == BEACON:
        stream = _beacon_stream(each.beacon, each.iterations)
        factor, base = scalar(stream), random_g1(stream)
        if (s, sx) != (base, base * factor):
            raise KeyMaterialError(f"Contribution {number} is not what its beacon gives.")
    return after


def _apply(previous: Path, following: Path, factor: int, base: PointG1, record: Contribution) -> bytes:
    """Write `previous` with delta times `factor`; `record` has the parameters of the contribution."""
    key = read_zkey(previous)
    hashed = hashlib.blake2b(key.circuit_digest, digest_size=64)
    for each in key.contributions:
        hashed.update(_public_record(each))
    s, sx = raw_g1(base), raw_g1(base * factor)
    hashed.update(uncompressed(s) + uncompressed(sx))
    transcript = hashed.digest()
    delta1 = raw_g1(point_g1(key.delta1) * factor)
    record = dataclasses.replace(
        record, delta_after=delta1, s=s, sx=sx, spx=raw_g2(hash_to_g2(transcript) * factor), transcript=transcript
    )
    inverse = pow(factor, -1, R)
    following_key = dataclasses.replace(
        key,
        delta1=delta1,
        delta2=raw_g2(point_g2(key.delta2) * factor),
        c=scaled(key.c, inverse),
        h=scaled(key.h, inverse),
        contributions=(*key.contributions, record),
    )
    write_zkey(following_key, following)
    return hashlib.blake2b(_public_record(record), digest_size=64).digest()


def _public_record(each: Contribution) -> bytes:
    """Return a contribution as snarkjs hashes it."""
    points = (each.delta_after, each.s, each.sx, each.spx)
    return b"".join(map(uncompressed, points)) + each.transcript


def _beacon_stream(randomness: bytes, iterations: int) -> ChaCha:
    if not 1 <= len(randomness) <= MAX_BEACON_BYTES or not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
        raise KeyMaterialError(
            f"A beacon has 1 to {MAX_BEACON_BYTES} bytes and 2^{MIN_ITERATIONS} to 2^{MAX_ITERATIONS} iterations."
        )
    for _ in range(1 << iterations):
        randomness = hashlib.sha256(randomness).digest()
    return ChaCha(randomness)
