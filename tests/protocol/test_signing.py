# SPDX-License-Identifier: GPL-3.0-or-later
"""A signature holds for one account, one struct, one network, in one form."""

from __future__ import annotations

import traceback

import pytest
from protocol_samples import AWARD, BID, CLIENT, NETWORK, OTHER_NETWORK, PROVER, STRUCTS

from protocol.eip712 import digest
from protocol.errors import AccountKeyError, SignatureError
from protocol.signing import Account, recover, require_signed_by
from protocol.structs import Network

ORDER_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
SIGNATURE = CLIENT.sign(NETWORK, AWARD)
R, S, V = SIGNATURE[:32], int.from_bytes(SIGNATURE[32:64], "big"), SIGNATURE[64]


def word(value: int) -> bytes:
    return value.to_bytes(32, "big")


@pytest.mark.parametrize("name", STRUCTS)
def test_the_signer_is_found(name: str) -> None:
    value, account = STRUCTS[name]
    signature = account.sign(NETWORK, value)
    assert signature == account.sign(NETWORK, value) and len(signature) == 65 and signature[64] in (27, 28)
    require_signed_by(account.address, NETWORK, value, signature)


@pytest.mark.parametrize(
    "signature",
    [
        R + word(ORDER_N - S) + bytes([55 - V]),
        R + word(ORDER_N - S) + bytes([V]),
        R + word(ORDER_N // 2 + 1) + bytes([V]),
        *(SIGNATURE[:64] + bytes([v]) for v in (0, 1, 26, 29, 30, 35, 255)),
        SIGNATURE[:64] + bytes([55 - V]),
        SIGNATURE[:64],
        SIGNATURE[:-2],
        SIGNATURE + b"\0",
        b"",
        bytes(65),
        bytes(64) + b"\x1b",
        word(0) + SIGNATURE[32:],
        R + word(0) + bytes([V]),
        word(ORDER_N) + SIGNATURE[32:],
        word(2**256 - 1) + SIGNATURE[32:],
        word(int.from_bytes(R, "big") ^ 1) + SIGNATURE[32:],
    ],
)
def test_any_other_form_is_refused(signature: bytes) -> None:
    with pytest.raises(SignatureError):
        require_signed_by(CLIENT.address, NETWORK, AWARD, signature)


def test_each_flipped_bit_is_refused() -> None:
    for bit in range(8 * 65):
        changed = bytearray(SIGNATURE)
        changed[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(SignatureError):
            require_signed_by(CLIENT.address, NETWORK, AWARD, bytes(changed))


@pytest.mark.parametrize("network", [OTHER_NETWORK, Network(chain_id=NETWORK.chain_id, escrow=b"\x99" * 20)])
def test_another_network_is_refused(network: Network) -> None:
    with pytest.raises(SignatureError):
        require_signed_by(CLIENT.address, network, AWARD, SIGNATURE)


def test_another_account_and_another_struct_are_refused() -> None:
    with pytest.raises(SignatureError):
        require_signed_by(PROVER.address, NETWORK, AWARD, SIGNATURE)
    with pytest.raises(SignatureError):
        require_signed_by(CLIENT.address, NETWORK, BID, SIGNATURE)


@pytest.mark.parametrize("message_digest", [b"", bytes(31), bytes(33)])
def test_a_digest_of_another_length_is_refused(message_digest: bytes) -> None:
    with pytest.raises(SignatureError):
        recover(message_digest, SIGNATURE)


def test_the_errors_do_not_show_the_signature() -> None:
    with pytest.raises(SignatureError) as caught:
        recover(digest(NETWORK, AWARD), word(2**256 - 1) + SIGNATURE[32:])
    assert str(2**256 - 1) not in str(caught.value)


@pytest.mark.parametrize(
    "secret", [word(0), word(ORDER_N), word(ORDER_N + 5), word(2**256 - 1), b"k" * 31, b"k" * 33, b""]
)
def test_a_bad_private_key_is_refused_and_not_shown(secret: bytes) -> None:
    with pytest.raises(AccountKeyError) as caught:
        Account(secret)
    said = "".join(traceback.format_exception(caught.value))
    assert str(int.from_bytes(secret, "big")) not in said.replace("secp256k1", "") or not any(secret)
    assert not secret or secret.hex() not in said


def test_an_account_shows_its_address_alone() -> None:
    account = Account(b"\x5a" * 32)
    assert repr(account) == f"Account(0x{account.address.hex()})" and "5a5a" not in repr(account)
    assert account.secret() == b"\x5a" * 32
