# SPDX-License-Identifier: GPL-3.0-or-later
"""Commitments in a statement, and the secrets behind them.

- Group 0, the order's own inputs: `Poseidon(Poseidon(schema, packed.., blinding), Poseidon(TAG_OUT, k_out))`. Whoever
  is shown the left half and `k_out` can check a sealed output against the commitment, and learns no input.
- A further group, committed earlier or by somebody else: `Poseidon(schema, packed.., blinding)`.
- A committed output: the same, its values a field of their own; so it is the group of a following program.
- Weights in Poseidon mode: `Poseidon(schema, words.., blinding)`, the words being those of weight_words.py.

More than 16 elements are hashed 16 at a time, each digest in the capacity of the next (proving/poseidon.py). Hiding
rests on blindings and output key being secret and uniform; `order_secrets` draws them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.errors import InputRangeError, InputShapeError, SecretError
from protocol.hashing import keccak256
from protocol.scalars import BN254_SCALAR_ORDER
from proving.settings import InputRange
from proving.statement.permutation import chain
from proving.statement.schema import pack, packing, schema_hash, weights_schema

MIN_SECRET_BYTES = 16
TAG_OUT = int.from_bytes(keccak256(b"proofmesh.poseidon.output-key.v1"), "big") >> 8
TAG_PAD = int.from_bytes(keccak256(b"proofmesh.poseidon.output-pad.v1"), "big") >> 8
_ORDER_INFO = b"proofmesh.commitment.v2.order"
_OBJECT_INFO = b"proofmesh.commitment.v2.object"
_WIDE_BYTES = 48


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a prover needs besides the inputs; never shown by repr.

    `groups` are the blindings of further groups, by rising number; `output` blinds a committed output, `weights` a
    commitment to weights (Poseidon), or the weights folded into a verifying key.
    """

    blinding: int = field(repr=False)
    output_key: int = field(repr=False)
    groups: tuple[int, ...] = field(default=(), repr=False)
    output: int = field(default=0, repr=False)
    weights: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        check_elements(self.blinding, self.output_key, *self.groups, self.output, self.weights)


def commit(fields: Sequence[InputRange], raw: Sequence[int], blinding: int, output_key: int) -> int:
    """Return the main commitment to raw inputs, those of group 0 alone.

    Raises:
        SecretError: blinding or output key is no field element.
        InputShapeError, InputRangeError: the inputs are not those of the fields.
    """
    return join(commit_group(fields, raw, blinding), output_key)


def commit_group(fields: Sequence[InputRange], raw: Sequence[int], blinding: int) -> int:
    """Return the commitment of a further group, or the left half of the main one; raises as `commit`."""
    check_elements(blinding)
    widths = [each.bits for each in fields for _ in range(each.count)]
    elements = [schema_hash(fields), *pack(_unsigned(fields, raw), packing(widths)), blinding]
    return chain(elements, [])


def join(left: int, output_key: int) -> int:
    """Return the main commitment from its left half and the output key."""
    check_elements(left, output_key)
    return chain([left, chain([TAG_OUT, output_key], [])], [])


def commit_weights(words: Sequence[int], blinding: int) -> int:
    """Return the commitment to weights, given as the words of the circuit (`weight_words.words_of`).

    Raises:
        SecretError: a word or the blinding is no field element.
    """
    check_elements(*words, blinding)
    return chain([weights_schema(len(words)), *words, blinding], [])


def pad(output_key: int, binding: int, index: int) -> int:
    """Return what is added to sealed output element `index`."""
    return chain([TAG_PAD, output_key, binding, index], [])


def order_secrets(secret: bytes, order_salt: bytes, groups: Sequence[int] = ()) -> Secrets:
    """Return the secrets for one order, from the client's secret: uniform and recoverable.

    `groups` are the blindings of commitments made earlier, which no order draws anew. HKDF-SHA256 (RFC 5869) gives
    48 bytes for each; reduction leaves a bias below 2^-128.

    Raises:
        SecretError: the secret has less than 16 bytes.
    """
    blinding, output_key, output = _drawn(secret, order_salt, _ORDER_INFO, 3)
    return Secrets(blinding, output_key, tuple(groups), output)


def derive_blinding(secret: bytes, salt: bytes) -> int:
    """Return the blinding of a commitment that outlives an order (a group, weights); `salt` names it.

    Raises:
        SecretError: the secret has less than 16 bytes.
    """
    return _drawn(secret, salt, _OBJECT_INFO, 1)[0]


def check_elements(*elements: int) -> None:
    """Refuse what is no field element; raises SecretError, which shows no value."""
    if any(type(each) is not int or not 0 <= each < BN254_SCALAR_ORDER for each in elements):
        raise SecretError("Blindings and output key must be field elements.")


def _unsigned(fields: Sequence[InputRange], raw: Sequence[int]) -> list[int]:
    elements = [each for each in fields for _ in range(each.count)]
    if len(raw) != len(elements):
        raise InputShapeError(f"The commitment takes {len(elements)} inputs.")
    for each, value in zip(elements, raw, strict=True):
        if not each.low <= value <= each.high:
            raise InputRangeError(f"A value of input {each.name!r} is outside its range {each.low} to {each.high}.")
    return [int(value) - each.low for each, value in zip(elements, raw, strict=True)]


def _drawn(secret: bytes, salt: bytes, info: bytes, count: int) -> tuple[int, ...]:
    if len(secret) < MIN_SECRET_BYTES:
        raise SecretError(f"A secret for blinding must have at least {MIN_SECRET_BYTES} bytes.")
    okm = HKDF(SHA256(), count * _WIDE_BYTES, salt=salt, info=info).derive(secret)
    parts = (okm[start : start + _WIDE_BYTES] for start in range(0, len(okm), _WIDE_BYTES))
    return tuple(int.from_bytes(part, "big") % BN254_SCALAR_ORDER for part in parts)
