# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes from a chain node is parsed, or refused with ValueError: never a crash, never a guess."""

from __future__ import annotations

import contextlib

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from contracts import bindings
from contracts.abi import CONTRACTS, artifact, decode_values
from contracts.events import Deposited, balance_changes, decode_event, event_topic
from contracts.reverts import contract_error, decode_revert, error_class
from protocol.errors import ContractRefusal, FundsRefusal

# OpenZeppelin's EIP712 declares one event that is never emitted, and that nobody here decodes.
TOPICS = tuple(
    topic
    for name in CONTRACTS
    for topic, entry in artifact(name).events.items()
    if entry.name != "EIP712DomainChanged"
)


def test_every_error_of_the_contracts_has_a_class_of_its_own_kind() -> None:
    names = {entry.name for name in CONTRACTS for entry in artifact(name).errors.values()}
    assert all(error_class(name) is not ContractRefusal for name in names)


def test_a_refusal_shows_the_values_and_keeps_the_data() -> None:
    entry = next(e for e in artifact("Escrow").errors.values() if e.name == "InsufficientBalance")
    data = entry.selector + encode(entry.inputs, (b"\x0a" * 20, 5, 7))
    error = contract_error(data)
    assert isinstance(error, FundsRefusal) and error.data == data
    assert f"InsufficientBalance(account=0x{'0a' * 20}, balance=5, needed=7)" in str(error)


@given(st.binary(max_size=200))
def test_any_revert_data_gives_an_error(data: bytes) -> None:
    assert isinstance(contract_error(data), ContractRefusal)


@given(st.sampled_from(sorted({e.selector for n in CONTRACTS for e in artifact(n).errors.values()})),
       st.binary(max_size=100))  # fmt: skip
def test_truncated_errors_are_unknown_or_named(selector: bytes, body: bytes) -> None:
    decoded = decode_revert(selector + body)
    assert decoded is None or decoded.name


def test_an_event_round_trips() -> None:
    topics = [event_topic("Escrow", "Deposited"), *(value.rjust(32, b"\0") for value in (b"\x01", b"\x02"))]
    account, sender = b"\x01".rjust(20, b"\0"), b"\x02".rjust(20, b"\0")
    event = decode_event(topics, (9).to_bytes(32, "big"))
    assert event == Deposited(account, sender, 9)
    assert balance_changes(event) == ((account, 9),)
    assert decode_event([], b"") is None and decode_event([b"\x55" * 32], b"") is None


@given(st.sampled_from(TOPICS), st.lists(st.binary(min_size=32, max_size=32), max_size=4),
       st.binary(max_size=700))  # fmt: skip
def test_hostile_logs_are_decoded_or_refused(topic: bytes, others: list[bytes], data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert decode_event([topic, *others], data) is not None


def test_text_that_is_not_utf8_cannot_stop_a_follower() -> None:
    data = encode(("bytes", "address"), (b"\xff0x", b"\x03" * 20))
    assert decode_values(("string", "address"), data) == ("�0x", b"\x03" * 20)
    looks_like_an_address = encode(("bytes",), (b"0x" + b"ab" * 20,))
    assert decode_values(("string",), looks_like_an_address) == ("0x" + "ab" * 20,)


@pytest.mark.parametrize("size", [0, 255, 257])
def test_a_proof_has_256_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="256"):
        bindings.proof_words(bytes(size))
