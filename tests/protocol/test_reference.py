# SPDX-License-Identifier: GPL-3.0-or-later
"""A second implementation of encoding and sealing, written from the documents, gives the same bytes."""

from __future__ import annotations

import pytest
from protocol_json import in_json
from protocol_reference import hpke_seal, wire_bytes
from protocol_samples import AWARD_HASH, EPHEMERAL_SECRET, NETWORK, ORDER_HASH, PLAINTEXT, SEALING_SECRET, messages

from protocol.codec import encode
from protocol.sealing import public_key, unseal

INFO = b"proofmesh.seal.v1" + NETWORK.chain_id.to_bytes(8, "big") + NETWORK.escrow + ORDER_HASH + AWARD_HASH
SEALED = hpke_seal(public_key(SEALING_SECRET), EPHEMERAL_SECRET, INFO, PLAINTEXT)
MESSAGES = messages(SEALED)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_the_reference_encodes_a_message_to_the_same_bytes(name: str) -> None:
    assert encode(MESSAGES[name]) == wire_bytes("", in_json(MESSAGES[name]))


def test_what_the_reference_seals_is_opened() -> None:
    assert unseal(SEALING_SECRET, SEALED, NETWORK, ORDER_HASH, AWARD_HASH) == PLAINTEXT


def test_the_info_is_part_of_the_key() -> None:
    """Another info, other bytes: the info is in the key, not beside it."""
    other = hpke_seal(public_key(SEALING_SECRET), EPHEMERAL_SECRET, INFO + b"\0", PLAINTEXT)
    assert other[:32] == SEALED[:32] and other[32:] != SEALED[32:]
