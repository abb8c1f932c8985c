# SPDX-License-Identifier: GPL-3.0-or-later
"""A sealed input opens with one key, for one job, unchanged."""

from __future__ import annotations

import pytest
from protocol_samples import AWARD_HASH, NETWORK, ORDER_HASH, OTHER_NETWORK, PLAINTEXT, SEALING_SECRET

from protocol.errors import SealError
from protocol.sealing import public_key, seal, unseal
from protocol.structs import Network

P = 2**255 - 19
LOW_ORDER = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    *(P - 1, P, P + 1),
]
"""Every u-coordinate of small order (RFC 7748, section 6.1; Bernstein, "May the fourth be with you")."""
KEY = public_key(SEALING_SECRET)
SEALED = seal(KEY, PLAINTEXT, NETWORK, ORDER_HASH, AWARD_HASH)


def opened(sealed: bytes, secret: bytes = SEALING_SECRET, network: Network = NETWORK) -> bytes:
    return unseal(secret, sealed, network, ORDER_HASH, AWARD_HASH)


@pytest.mark.parametrize("plaintext", [b"", b"x", bytes(100_000)])
def test_what_is_sealed_opens(plaintext: bytes) -> None:
    sealed = seal(KEY, plaintext, NETWORK, ORDER_HASH, AWARD_HASH)
    assert opened(sealed) == plaintext and len(sealed) == 32 + len(plaintext) + 16


def test_sealing_twice_gives_different_bytes() -> None:
    assert seal(KEY, PLAINTEXT, NETWORK, ORDER_HASH, AWARD_HASH) != SEALED


@pytest.mark.parametrize(
    ("network", "order_hash", "award_hash"),
    [
        (OTHER_NETWORK, ORDER_HASH, AWARD_HASH),
        (Network(chain_id=NETWORK.chain_id, escrow=b"\x99" * 20), ORDER_HASH, AWARD_HASH),
        (NETWORK, b"\x01" * 32, AWARD_HASH),
        (NETWORK, ORDER_HASH, b"\x01" * 32),
        (NETWORK, AWARD_HASH, ORDER_HASH),
    ],
)
def test_another_job_is_refused(network: Network, order_hash: bytes, award_hash: bytes) -> None:
    with pytest.raises(SealError):
        unseal(SEALING_SECRET, SEALED, network, order_hash, award_hash)


def test_each_flipped_bit_is_refused() -> None:
    for bit in range(8 * len(SEALED)):
        changed = bytearray(SEALED)
        changed[bit // 8] ^= 1 << (bit % 8)
        if bit == 8 * 31 + 7:  # X25519 ignores this bit of a point, the key schedule does not
            assert changed[31] != SEALED[31]
        with pytest.raises(SealError):
            opened(bytes(changed))


def test_each_shortened_and_each_lengthened_form_is_refused() -> None:
    for end in range(len(SEALED)):
        with pytest.raises(SealError):
            opened(SEALED[:end])
    with pytest.raises(SealError):
        opened(SEALED + b"\0")


@pytest.mark.parametrize("secret", [b"\x42" * 32, b"", bytes(31), bytes(33)])
def test_another_key_is_refused(secret: bytes) -> None:
    with pytest.raises(SealError) as caught:
        opened(SEALED, secret)
    assert not secret or secret.hex() not in str(caught.value)


@pytest.mark.parametrize("high_bit", [0, 1])
@pytest.mark.parametrize("point", LOW_ORDER)
def test_points_of_small_order_are_refused_both_ways(point: int, high_bit: int) -> None:
    """Their shared secret is zero for everybody: all could read what is sealed to them."""
    key = (point | high_bit << 255).to_bytes(32, "little")
    with pytest.raises(SealError):
        seal(key, PLAINTEXT, NETWORK, ORDER_HASH, AWARD_HASH)
    with pytest.raises(SealError):
        opened(key + SEALED[32:])


@pytest.mark.parametrize("key", [b"", bytes(31), b"\x09" * 33])
def test_a_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(SealError):
        seal(key, PLAINTEXT, NETWORK, ORDER_HASH, AWARD_HASH)
