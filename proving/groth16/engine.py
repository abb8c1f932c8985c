# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls into groth16py, with its exceptions turned into ours and its habits fenced in.

It proves unsatisfied witnesses without a word and raises on garbage where a verifier should say no, so every
proof is verified before it is handed out, and every refusal is False.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import groth16py

from protocol.errors import KeyMaterialError, ProvingError, SelfCheckError
from protocol.scalars import BN254_SCALAR_ORDER
from proving.groth16.panics import is_panic
from proving.groth16.verifying_key import (
    BN254_BASE_ORDER,
    PROOF_BYTES,
    WORD_BYTES,
    canonical_json,
    check_words,
    snarkjs_of,
)

WARM_KEYS = 4
"""Proving keys kept in memory; loading one takes longer than a proof with it."""

_ENGINE_ERRORS = (
    groth16py.EncodingError,
    groth16py.VerificationError,
    groth16py.SetupError,
    groth16py.WitnessError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


@lru_cache(maxsize=WARM_KEYS)
def load_zkey(path: Path, digest: str) -> groth16py.ProvingKey:
    """Return the proving key in a .zkey file, if the file still has the SHA-256 `digest` (hex).

    The engine's loader takes milliseconds because it checks nothing: `digest` must be that of an audited key.

    Raises:
        KeyMaterialError: the file is another one, or holds no key.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            raise KeyMaterialError(f"The proving key is {found[:12]}, not {digest[:12]} as audited.")
        return groth16py.import_zkey(str(path))[0]
    except _ENGINE_ERRORS as error:
        raise KeyMaterialError(
            f"The proving key {digest[:12]} cannot be read ({type(error).__name__})."
        ) from None


def prove_wtns(
    key: groth16py.ProvingKey, wtns: bytes, words: Sequence[int], public_inputs: Sequence[int]
) -> bytes:
    """Return a proof that holds under the verifying key `words`; the witness (.wtns bytes) stays in memory.

    Raises:
        ProvingError: key and witness do not belong together.
        SelfCheckError: the witness does not satisfy the circuit; the engine proves it without a word.
    """
    proof = prove_unverified(key, wtns)
    if not verify(tuple(words), proof, public_inputs):
        raise SelfCheckError("The proof just made does not verify.")
    return proof


def prove_unverified(key: groth16py.ProvingKey, wtns: bytes) -> bytes:
    """Return what the engine makes of any witness of the key's size; for sums of points (point_sums.py) and tests."""
    with in_memory_file(wtns) as path:
        try:
            return bytes(groth16py.prove_wtns(key, path))
        except BaseException as error:
            # It panics on a witness that is too short.
            if not isinstance(error, _ENGINE_ERRORS) and not is_panic(error):
                raise
            raise ProvingError(f"The proof failed ({type(error).__name__}).") from None


def verify(words: tuple[int, ...], proof: bytes, public_inputs: Sequence[int]) -> bool:
    """Say whether a proof holds. Whatever is not canonical is refused: values at or above their modulus."""
    if not isinstance(proof, bytes) or len(proof) != PROOF_BYTES:
        return False
    if not _below(_words(proof), BN254_BASE_ORDER):
        return False
    if any(type(value) is not int for value in public_inputs):
        return False
    if not _below(public_inputs, BN254_SCALAR_ORDER):
        return False
    try:
        return bool(_verifier(words).verify(proof, list(public_inputs)))
    except (*_ENGINE_ERRORS, KeyMaterialError, TypeError):
        return False


@lru_cache(maxsize=64)
def _verifier(words: tuple[int, ...]) -> groth16py.Verifier:
    check_words(words)
    return groth16py.Verifier(groth16py.VerifyingKey.from_snarkjs(canonical_json(snarkjs_of(words))))


def _words(proof: bytes) -> list[int]:
    return [int.from_bytes(proof[at : at + WORD_BYTES], "big") for at in range(0, PROOF_BYTES, WORD_BYTES)]


def _below(values: Sequence[int], order: int) -> bool:
    return all(0 <= value < order for value in values)


@contextmanager
def in_memory_file(data: bytes) -> Iterator[str]:
    """Give `data` a path without letting it touch a disk: groth16py reads files, witnesses are private."""
    descriptor = os.memfd_create("proofmesh", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
