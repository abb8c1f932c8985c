# SPDX-License-Identifier: GPL-3.0-or-later
"""The input commitment: Poseidon(Poseidon(schema, inputs.., blinding), Poseidon(TAG_OUT, k_out)).

The schema is the first element absorbed, so a commitment cannot be opened under two readings. Inputs are
packed, first input lowest, as many whole ones as fit into 248 bits, after their range checks. Hiding rests on
blinding and output key being secret and uniform; `derive_blinding` draws them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.errors import SecretError
from protocol.hashing import keccak256
from protocol.scalars import BN254_SCALAR_ORDER
from proving.poseidon import poseidon, poseidon_chain
from proving.settings import InputRange

PACKED_BITS = 248
MIN_SECRET_BYTES = 16
TAG_OUT = int.from_bytes(keccak256(b"proofmesh.poseidon.output-key.v1"), "big") >> 8
_HKDF_INFO = b"proofmesh.commitment.v1"
_WIDE_BYTES = 48


def commit(ranges: Sequence[InputRange], inputs: Sequence[int], blinding: int, output_key: int) -> int:
    """Return the commitment to raw inputs, which must be in range.

    Raises:
        SecretError: blinding or output key is no field element.
    """
    check_secrets(blinding, output_key)
    unsigned = [x - each.low for x, each in zip(inputs, ranges, strict=True)]
    packed = [sum(unsigned[i] << place for i, place in group) for group in packing(ranges)]
    left = poseidon_chain([schema_hash(ranges), *packed, blinding])
    return poseidon([left, poseidon([TAG_OUT, output_key])])


def schema_hash(ranges: Sequence[InputRange]) -> int:
    """Return the field element that stands for shape, names, ranges, scale and packing of the inputs."""
    schema = {
        "format": "proofmesh.input.v1",
        "inputs": [[each.name, str(each.low), each.bits] for each in ranges],
        "packing": ["first-lowest", PACKED_BITS],
        "scale": 0,
    }
    return int.from_bytes(keccak256(json.dumps(schema, sort_keys=True).encode()), "big") >> 8


def packing(ranges: Sequence[InputRange]) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Return, for each packed element, which inputs it holds and at which bit: (index, place)."""
    groups: list[list[tuple[int, int]]] = [[]]
    place = 0
    for index, each in enumerate(ranges):
        if place + each.bits > PACKED_BITS:
            groups.append([])
            place = 0
        groups[-1].append((index, place))
        place += each.bits
    return tuple(tuple(group) for group in groups)


def derive_blinding(secret: bytes, order_salt: bytes) -> tuple[int, int]:
    """Return (blinding, output key) for one order, from the client's secret: uniform and recoverable.

    HKDF-SHA256 (RFC 5869) gives 48 bytes for each; reduction leaves a bias below 2^-128.

    Raises:
        SecretError: the secret has less than 16 bytes.
    """
    if len(secret) < MIN_SECRET_BYTES:
        raise SecretError(f"A secret for blinding must have at least {MIN_SECRET_BYTES} bytes.")
    okm = HKDF(SHA256(), 2 * _WIDE_BYTES, salt=order_salt, info=_HKDF_INFO).derive(secret)
    blinding, output_key = okm[:_WIDE_BYTES], okm[_WIDE_BYTES:]
    return _reduced(blinding), _reduced(output_key)


def check_secrets(*elements: int) -> None:
    """Refuse what is no field element."""
    if any(type(each) is not int or not 0 <= each < BN254_SCALAR_ORDER for each in elements):
        raise SecretError("Blinding and output key must be field elements.")


def _reduced(wide: bytes) -> int:
    return int.from_bytes(wide, "big") % BN254_SCALAR_ORDER
