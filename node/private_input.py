# SPDX-License-Identifier: GPL-3.0-or-later
"""The private part of a job: the input and what opens its commitment; kept in the vault, sent sealed."""

from __future__ import annotations

from dataclasses import dataclass, field

from protocol.codec import pack, unpack
from protocol.errors import NotCanonicalError
from protocol.scalars import BN254_SCALAR_ORDER
from proving.settings import MAX_GROUPS
from proving.statement.commitment import Secrets

MAX_VALUES = 1 << 20
FIELDS = {"blinding", "groups", "output", "output_key", "values"}


@dataclass(frozen=True, slots=True)
class PrivateInput:
    """Raw input integers in the model's order, and what opens the statement's commitments.

    The representation shows nothing of them.
    """

    values: tuple[int, ...] = field(repr=False)
    secrets: Secrets = field(repr=False)

    def to_bytes(self) -> bytes:
        """Return the canonical msgpack that is sealed to a prover."""
        return pack(
            {
                "blinding": _word(self.secrets.blinding),
                "groups": [_word(each) for each in self.secrets.groups],
                "output": _word(self.secrets.output),
                "output_key": _word(self.secrets.output_key),
                "values": list(self.values),
            }
        )

    @staticmethod
    def from_bytes(data: bytes) -> PrivateInput:
        """Parse what `to_bytes` gives.

        Raises:
            NotCanonicalError: anything else; the message shows nothing of it.
        """
        fields = unpack(data, containers=3, entries=MAX_VALUES)
        if not isinstance(fields, dict) or set(fields) != FIELDS:
            raise NotCanonicalError("A sealed input has other fields than expected.")
        values = fields["values"]
        if not isinstance(values, tuple) or len(values) > MAX_VALUES:
            raise NotCanonicalError("A sealed input has no list of values.")
        if any(type(value) is not int for value in values):
            raise NotCanonicalError("A sealed input has a value that is not an integer.")
        groups = fields["groups"]
        if not isinstance(groups, tuple) or len(groups) >= MAX_GROUPS:
            raise NotCanonicalError("A sealed input has no list of blindings.")
        blinding, output_key, output = (_element(fields[name]) for name in ("blinding", "output_key", "output"))
        parsed = PrivateInput(values, Secrets(blinding, output_key, tuple(map(_element, groups)), output))
        if parsed.to_bytes() != data:
            raise NotCanonicalError("A sealed input is not in its canonical form.")
        return parsed


def _word(element: int) -> bytes:
    return element.to_bytes(32, "big")


def _element(word: object) -> int:
    if not isinstance(word, bytes) or len(word) != 32:
        raise NotCanonicalError("A sealed input has a word that is not 32 bytes.")
    value = int.from_bytes(word, "big")
    if value >= BN254_SCALAR_ORDER:
        raise NotCanonicalError("A sealed input has a number outside the field.")
    return value
