# SPDX-License-Identifier: GPL-3.0-or-later
"""The scalar types of the wire: fixed-size byte strings, wei, field elements, times.

Numbers that can pass 2^64 - 1 (wei, field elements) travel as 32-byte big-endian strings, because a
msgpack integer ends there. In Python they are plain integers. Strict everywhere: no coercion.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

BN254_SCALAR_ORDER = 21888242871839275222246405745257275088548364400416034343698204186575808495617
"""Order r of the BN254 groups (EIP-197); public inputs are below it."""

ZERO_ADDRESS = bytes(20)
ZERO_HASH = bytes(32)
MAX_AMOUNT = 2**128 - 1
"""Largest amount that the Escrow takes, in wei."""


def _word_to_int(value: Any) -> Any:
    if isinstance(value, bytes):
        if len(value) != 32:
            raise ValueError("a number on the wire has 32 bytes")
        return int.from_bytes(value, "big")
    return value


def _int_to_word(value: int) -> bytes:
    return value.to_bytes(32, "big")


_WORD = (BeforeValidator(_word_to_int), PlainSerializer(_int_to_word, return_type=bytes))

Address = Annotated[bytes, Field(min_length=20, max_length=20)]
Hash32 = Annotated[bytes, Field(min_length=32, max_length=32)]
Signature = Annotated[bytes, Field(min_length=65, max_length=65)]
"""An ECDSA signature r || s || v, v in {27, 28}, s in the lower half (EIP-2)."""
Proof = Annotated[bytes, Field(min_length=256, max_length=256)]
Wei = Annotated[int, *_WORD, Field(ge=0, le=MAX_AMOUNT)]
FieldElement = Annotated[int, *_WORD, Field(ge=0, lt=BN254_SCALAR_ORDER)]
Timestamp = Annotated[int, Field(ge=0, lt=2**63)]
"""Seconds of chain time since the Unix epoch."""
Multiaddress = Annotated[str, Field(min_length=1, max_length=256)]


class Record(BaseModel):
    """A frozen, strict value; its validation errors never show the value that failed."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)
