# SPDX-License-Identifier: GPL-3.0-or-later
"""What is sealed to a prover: one encoding, and nothing else is taken."""

from __future__ import annotations

import pytest

from node.private_input import PrivateInput
from protocol.codec import pack
from protocol.errors import NotCanonicalError
from protocol.scalars import BN254_SCALAR_ORDER
from proving.statement.commitment import Secrets

WORD = bytes(31) + b"\x05"
FIELDS: dict[str, object] = {
    "blinding": WORD, "groups": [WORD], "output": WORD, "output_key": WORD, "values": [1, -2],
}


@pytest.mark.parametrize("groups", [(), (7,), tuple(range(7))])
def test_a_private_input_survives_its_encoding(groups: tuple[int, ...]) -> None:
    private = PrivateInput((1, -2, 3), Secrets(4, 5, groups, 6))
    assert PrivateInput.from_bytes(private.to_bytes()) == private


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("blinding", b"\x05"),
        ("blinding", BN254_SCALAR_ORDER.to_bytes(32, "big")),
        ("output", 5),
        ("groups", [WORD] * 8),
        ("groups", WORD),
        ("values", [1.5]),
        ("values", [True]),
        ("values", "12"),
        ("more", 1),
    ],
)
def test_anything_else_is_refused_without_showing_it(field: str, value: object) -> None:
    with pytest.raises(NotCanonicalError) as caught:
        PrivateInput.from_bytes(pack({**FIELDS, field: value}))
    assert "5" not in caught.value.message.replace("255", "")


def test_the_representation_shows_nothing() -> None:
    assert "987654321" not in repr(PrivateInput((987654321,), Secrets(987654321, 987654321, (987654321,))))
