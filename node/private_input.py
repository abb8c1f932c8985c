# SPDX-License-Identifier: GPL-3.0-or-later
"""The private part of a job: the input and what opens its commitment; kept in the vault, sent sealed."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.codec import pack, unpack
from protocol.errors import NotCanonicalError
from protocol.scalars import BN254_SCALAR_ORDER

MAX_VALUES = 1 << 20


@dataclass(frozen=True, slots=True)
class PrivateInput:
    """Input integers in the model's order, the commitment's blinding and the output key (field elements).

    The representation shows nothing of them.
    """

    values: tuple[int, ...] = field(repr=False)
    blinding: int = field(repr=False)
    output_key: int = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return the canonical msgpack that is sealed to a prover."""
        return pack(
            {
                "blinding": self.blinding.to_bytes(32, "big"),
                "output_key": self.output_key.to_bytes(32, "big"),
                "values": list(self.values),
            }
        )

    @staticmethod
    def from_bytes(data: bytes) -> PrivateInput:
        """Parse what `to_bytes` gives.

        Raises:
            NotCanonicalError: anything else; the message shows nothing of it.
        """
        fields = unpack(data, containers=2, entries=MAX_VALUES)
        if not isinstance(fields, dict) or set(fields) != {"blinding", "output_key", "values"}:
            raise NotCanonicalError("A sealed input has other fields than expected.")
        values = fields["values"]
        if not isinstance(values, tuple) or len(values) > MAX_VALUES:
            raise NotCanonicalError("A sealed input has no list of values.")
        if any(type(value) is not int for value in values):
            raise NotCanonicalError("A sealed input has a value that is not an integer.")
        parsed = PrivateInput(values, _element(fields["blinding"]), _element(fields["output_key"]))
        if parsed.to_bytes() != data:
            raise NotCanonicalError("A sealed input is not in its canonical form.")
        return parsed


def _element(word: object) -> int:
    if not isinstance(word, bytes) or len(word) != 32:
        raise NotCanonicalError("A sealed input has a word that is not 32 bytes.")
    value = int.from_bytes(word, "big")
    if value >= BN254_SCALAR_ORDER:
        raise NotCanonicalError("A sealed input has a number outside the field.")
    return value
