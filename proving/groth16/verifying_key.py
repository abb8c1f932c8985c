# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifying keys and proofs as words (docs/adr/0001) and as snarkjs JSON.

Words: alpha (2), beta (4), gamma (4), delta (4), then IC (2 each); G2 with the imaginary part first. snarkjs
writes the real part first and adds a third, projective coordinate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from protocol.errors import KeyMaterialError
from protocol.hashing import keccak256

BN254_BASE_ORDER = 21888242871839275222246405745257275088696311157297823662689037894645226208583
"""The base field's order q (EIP-197); coordinates are below it."""
HEAD_WORDS = 14
MIN_WORDS = HEAD_WORDS + 6
"""A statement has at least a commitment and a binding: three IC points."""
MAX_WORDS = 766
"""What the Registry stores as the code of one contract (EIP-170)."""
WORD_BYTES = 32
PROOF_BYTES = 256
_SETUP_TAG = b"proofmesh.setup.dev.v1"


def words_of(snarkjs: Mapping[str, object]) -> tuple[int, ...]:
    """Return a snarkjs verification_key.json as words.

    Raises:
        KeyMaterialError: it is no affine Groth16 key over BN254.
    """
    try:
        words = [*_g1(snarkjs["vk_alpha_1"])]
        for name in ("vk_beta_2", "vk_gamma_2", "vk_delta_2"):
            words += _g2(snarkjs[name])
        points = snarkjs["IC"]
        assert isinstance(points, list)
        for point in points:
            words += _g1(point)
    except (KeyError, TypeError, ValueError, AssertionError):
        raise KeyMaterialError("The verifying key is not a Groth16 key in snarkjs form.") from None
    check_words(words)
    return tuple(words)


def check_words(words: Sequence[int], limit: int | None = MAX_WORDS) -> None:
    """Refuse a key under which false statements could be proved, or one proof passed off for another.

    The rules are the Registry's (`requireSoundKey` in contracts/src/Groth16.sol), so that nobody makes a
    bundle that cannot be registered; only whether points lie on the curve is left to the proof engine.
    An architecture's key has no limit: what is registered are the keys that fold its weights away (folded.py).

    Raises:
        KeyMaterialError: wrong length, a coordinate outside the field, a point at infinity, or two of the
            IC points, or of beta, gamma and delta, that are equal or opposite.
    """
    if not MIN_WORDS <= len(words) <= (limit or len(words)) or len(words) % 2:
        raise KeyMaterialError("The verifying key has a wrong number of words.")
    if any(type(word) is not int or not 0 <= word < BN254_BASE_ORDER for word in words):
        raise KeyMaterialError("The verifying key has a coordinate outside the field.")
    points = [tuple(words[at : at + 2]) for at in range(HEAD_WORDS, len(words), 2)]
    heads = [words[0:2], words[2:6], words[6:10], words[10:14], *points]
    if any(not any(point) for point in heads):
        raise KeyMaterialError("The verifying key has a point at infinity.")
    # Points with the same x are equal or opposite: weight could move from one public input to the other.
    if len({x for x, _ in points}) != len(points):
        raise KeyMaterialError("The verifying key repeats a point, or its opposite, for two public inputs.")
    # With any two of these so related a proof of anything can be written down.
    if len({tuple(words[at : at + 2]) for at in (2, 6, 10)}) != 3:
        raise KeyMaterialError("The verifying key has beta, gamma or delta equal or opposite to another.")


def bytes_of(words: Sequence[int]) -> bytes:
    """Return a key's words as bytes, 32 each, big-endian."""
    return b"".join(word.to_bytes(WORD_BYTES, "big") for word in words)


def from_bytes(data: bytes) -> tuple[int, ...]:
    """Return the words in `bytes_of`'s form; a rest that is no whole word becomes one that no check accepts."""
    return tuple(int.from_bytes(data[at : at + WORD_BYTES], "big") for at in range(0, len(data), WORD_BYTES))


def snarkjs_of(words: Sequence[int]) -> dict[str, object]:
    """Return the key as snarkjs' verification_key.json holds it."""
    points = [words[at : at + 2] for at in range(HEAD_WORDS, len(words), 2)]
    return {
        "protocol": "groth16",
        "curve": "bn128",
        "nPublic": len(points) - 1,
        "vk_alpha_1": _g1_json(words[0:2]),
        "vk_beta_2": _g2_json(words[2:6]),
        "vk_gamma_2": _g2_json(words[6:10]),
        "vk_delta_2": _g2_json(words[10:14]),
        "IC": [_g1_json(point) for point in points],
    }


def proof_json(proof: bytes) -> dict[str, object]:
    """Return a proof of 256 bytes as snarkjs' proof.json holds it."""
    if len(proof) != PROOF_BYTES:
        raise ValueError("a proof has 256 bytes")
    words = [int.from_bytes(proof[at : at + WORD_BYTES], "big") for at in range(0, PROOF_BYTES, WORD_BYTES)]
    return {
        "protocol": "groth16",
        "curve": "bn128",
        "pi_a": _g1_json(words[0:2]),
        "pi_b": _g2_json(words[2:6]),
        "pi_c": _g1_json(words[6:8]),
    }


def public_json(public_inputs: Sequence[int]) -> list[str]:
    """Return public inputs as snarkjs' public.json holds them."""
    return [str(value) for value in public_inputs]


def dev_setup_id(words: Sequence[int]) -> bytes:
    """Return the id of a single-party set-up: Keccak-256 over its alpha, beta and gamma.

    Anyone who holds the key can recompute it; the keys of one set-up share these points.
    """
    return keccak256(_SETUP_TAG + b"".join(word.to_bytes(WORD_BYTES, "big") for word in words[:10]))


def canonical_json(value: object) -> str:
    """Return JSON with sorted keys and no blanks."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _g1(point: object) -> tuple[int, int]:
    if not isinstance(point, list) or len(point) != 3 or str(point[2]) != "1":
        raise ValueError("not an affine point")
    return int(point[0]), int(point[1])


def _g2(point: object) -> tuple[int, int, int, int]:
    if not isinstance(point, list) or len(point) != 3 or [str(each) for each in point[2]] != ["1", "0"]:
        raise ValueError("not an affine point")
    (x_real, x_imaginary), (y_real, y_imaginary) = point[0], point[1]
    return int(x_imaginary), int(x_real), int(y_imaginary), int(y_real)


def _g1_json(words: Sequence[int]) -> list[str]:
    return [str(words[0]), str(words[1]), "1"]


def _g2_json(words: Sequence[int]) -> list[list[str]]:
    x_imaginary, x_real, y_imaginary, y_real = map(str, words)
    return [[x_real, x_imaginary], [y_real, y_imaginary], ["1", "0"]]
