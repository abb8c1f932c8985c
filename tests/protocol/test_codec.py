# SPDX-License-Identifier: GPL-3.0-or-later
"""The codec: every message survives the wire, and only bytes that `encode` would write are a message."""

from __future__ import annotations

import traceback
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from wire_samples import BY_KIND, KINDS, MESSAGES

from protocol import codec
from protocol.errors import FrameTooLargeError, NotCanonicalError, UnknownMessageError, WireError
from protocol.messages import MESSAGE_KINDS, SIZE_CAPS, Acknowledgement, Hello, Message, Refusal, SealedInput
from protocol.structs import Network, RefusalTerms

NETWORK = Network(chain_id=31_337, escrow=b"\xee" * 20)
ACK = Acknowledgement(network=NETWORK, request_hash=b"\x33" * 32)
REFUSAL = Refusal(
    network=NETWORK,
    terms=RefusalTerms(order_hash=bytes(32), prover=bytes(20), code="PM-REF-001", quote=5, issued_at=9),
    signature=None,
)
HELLO = Hello(
    network=NETWORK,
    roles=("client", "verifier"),
    account=b"\x22" * 20,
    least_fee=7,
    addresses=("/ip4/127.0.0.1/tcp/4001/p2p/a",),
    peers=("/ip4/127.0.0.1/tcp/4002/p2p/b",),
    issued_at=8,
    expires_at=9,
    signature=bytes(65),
)
MARKER = "S3cretMarker"


def fields_of(message: Message) -> dict[str, Any]:
    """The message as sorted plain values, free to be spoilt."""
    plain: dict[str, Any] = codec.plain(message)
    return plain


def spoilt(message: Message, **changes: object) -> bytes:
    """Bytes of a message with fields replaced or added, keys still sorted."""
    return codec.pack(codec.plain(fields_of(message) | changes))


@given(MESSAGES)
def test_what_is_encoded_decodes_to_itself(message: Message) -> None:
    data = codec.encode(message)
    assert codec.decode(data) == message
    assert codec.encode(codec.decode(data)) == data
    assert len(data) <= SIZE_CAPS[message.kind]


def test_every_kind_has_a_model_a_cap_and_a_strategy() -> None:
    assert sorted(MESSAGE_KINDS) == KINDS == sorted(BY_KIND)


@settings(max_examples=300)
@given(st.data())
def test_mutated_bytes_are_refused_or_canonical(data: st.DataObject) -> None:
    good = bytearray(codec.encode(data.draw(MESSAGES)))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(good)))
        match data.draw(st.sampled_from(["set", "insert", "delete", "cut"])):
            case "set" if place < len(good):
                good[place] = data.draw(st.integers(0, 255))
            case "insert":
                good[place:place] = data.draw(st.binary(min_size=1, max_size=9))
            case "delete":
                del good[place : place + data.draw(st.integers(1, 40))]
            case _:
                del good[place:]
    only_canonical(bytes(good))


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_or_canonical(data: bytes) -> None:
    only_canonical(data)


def only_canonical(data: bytes) -> None:
    """Decode; anything but a WireError or the same bytes again is a failure."""
    try:
        message = codec.decode(data)
    except WireError:
        return
    assert codec.encode(message) == data


@given(MESSAGES, st.data())
def test_keys_in_another_order_are_refused(message: Message, data: st.DataObject) -> None:
    fields = fields_of(message)
    shuffled = data.draw(st.permutations(list(fields)))
    reordered = codec.pack({key: fields[key] for key in shuffled})
    if shuffled == sorted(shuffled):
        assert codec.decode(reordered) == message
    else:
        with pytest.raises(NotCanonicalError):
            codec.decode(reordered)


ENCODED = codec.encode(ACK)
CHAIN_ID = b"\xa8chain_id\xcd\x7a\x69"


def replaced(old: bytes, new: bytes, data: bytes = ENCODED) -> bytes:
    """Replace bytes that must be there exactly once."""
    assert data.count(old) == 1
    return data.replace(old, new)


NOT_CANONICAL = {
    "duplicate key": b"\x85" + ENCODED[1:] + b"\xa7version\x01",
    "integer longer than needed": replaced(CHAIN_ID, b"\xa8chain_id\xce\x00\x00\x7a\x69"),
    "integer of eight bytes": replaced(CHAIN_ID, b"\xa8chain_id\xcf" + (31_337).to_bytes(8, "big")),
    "signed form of a positive integer": replaced(CHAIN_ID, b"\xa8chain_id\xd1\x7a\x69"),
    "version in two bytes": replaced(b"\xa7version\x01", b"\xa7version\xcc\x01"),
    "long form of a key": replaced(b"\xa7version", b"\xd9\x07version"),
    "long form of a value": replaced(b"\xafacknowledgement", b"\xd9\x0facknowledgement"),
    "long form of bytes": replaced(b"\xc4\x20" + b"\x33" * 32, b"\xc5\x00\x20" + b"\x33" * 32),
    "long form of a map": b"\xde\x00\x04" + ENCODED[1:],
    "string for bytes": replaced(b"\xc4\x20" + b"\x33" * 32, b"\xd9\x20" + b"\x33" * 32),
    "key as bytes": replaced(b"\xacrequest_hash", b"\xc4\x0crequest_hash"),
    "key as an integer": b"\x85" + b"\x01\x01" + ENCODED[1:],
    "chain id as a float": replaced(CHAIN_ID, b"\xa8chain_id\xcb" + bytes.fromhex("40de9a4000000000")),
    "chain id NaN": replaced(CHAIN_ID, b"\xa8chain_id\xcb" + bytes.fromhex("7ff8000000000000")),
    "chain id a boolean": replaced(CHAIN_ID, b"\xa8chain_id\xc3"),
    "chain id null": replaced(CHAIN_ID, b"\xa8chain_id\xc0"),
    "chain id a numeral": replaced(CHAIN_ID, b"\xa8chain_id\xa531337"),
    "chain id zero": replaced(CHAIN_ID, b"\xa8chain_id\x00"),
    "chain id negative": replaced(CHAIN_ID, b"\xa8chain_id\xff"),
    "chain id of 2^63": replaced(CHAIN_ID, b"\xa8chain_id\xcf" + (2**63).to_bytes(8, "big")),
    "extension": replaced(CHAIN_ID, b"\xa8chain_id\xd4\x05\x01"),
    "timestamp": replaced(CHAIN_ID, b"\xa8chain_id\xd6\xff\x00\x00\x00\x01"),
    "reserved byte": replaced(CHAIN_ID, b"\xa8chain_id\xc1"),
    "not UTF-8": replaced(b"\xacrequest_hash", b"\xacrequest_has\xff"),
    "surrogate": replaced(b"\xacrequest_hash", b"\xacrequest_h\xed\xa0\x80"[:13]),
    "short hash": replaced(b"\xc4\x20" + b"\x33" * 32, b"\xc4\x1f" + b"\x33" * 31),
    "long hash": replaced(b"\xc4\x20" + b"\x33" * 32, b"\xc4\x21" + b"\x33" * 33),
    "trailing byte": ENCODED + b"\x00",
    "two messages": ENCODED * 2,
    "cut": ENCODED[:-1],
    "unknown field": spoilt(ACK, extra=1),
    "missing field": codec.pack({k: v for k, v in fields_of(ACK).items() if k != "request_hash"}),
    "missing null": codec.pack({k: v for k, v in fields_of(REFUSAL).items() if k != "signature"}),
    "null for a field": spoilt(ACK, request_hash=None),
    "field of another kind": spoilt(ACK, kind="award"),
    "unknown field of a nested map": spoilt(ACK, network=fields_of(ACK)["network"] | {"x": 1}),
    "number of 31 bytes": spoilt(HELLO, least_fee=bytes(31)),
    "number as an integer": spoilt(HELLO, least_fee=7),
    "number of 2^128": spoilt(HELLO, least_fee=(2**128).to_bytes(32, "big")),
    "unknown role": spoilt(HELLO, roles=["king"]),
    "too many peers": spoilt(HELLO, peers=["/p"] * 65),
    "too many addresses": spoilt(HELLO, addresses=["/p"] * 9),
    "empty address": spoilt(HELLO, addresses=[""]),
    "long address": spoilt(HELLO, addresses=["/" * 257]),
    "code of another pattern": spoilt(REFUSAL, terms=fields_of(REFUSAL)["terms"] | {"code": "PM-REF-001\n"}),
    "huge string": b"\xdb\xff\xff\xff\xff",
    "huge bytes": b"\xc6\xff\xff\xff\xff",
    "huge array": b"\xdd\xff\xff\xff\xff",
    "huge map": b"\xdf\xff\xff\xff\xff",
    "huge extension": b"\xc9\xff\xff\xff\xff\x01",
    "arrays in arrays": b"\x91" * 200_000 + b"\x90",
    "maps in maps": b"\x81\xa1a" * 200_000 + b"\x80",
    "many empty maps": b"\xdc\x00\x09" + b"\x80" * 9,
    "nothing": b"",
    "only a byte": b"\xc1",
    "null": b"\xc0",
    "an array": b"\x90",
    "an integer": b"\x01",
    "text": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("data", NOT_CANONICAL.values(), ids=NOT_CANONICAL.keys())
def test_hostile_bytes_are_not_canonical(data: bytes) -> None:
    with pytest.raises(NotCanonicalError):
        codec.decode(data)


UNKNOWN = {
    "empty map": b"\x80",
    "no kind": codec.pack({"version": 1}),
    "another kind": spoilt(ACK, kind="greeting"),
    "kind as bytes": spoilt(ACK, kind=b"acknowledgement"),
    "kind as a list": spoilt(ACK, kind=["acknowledgement"]),
    "kind in capitals": spoilt(ACK, kind="Acknowledgement"),
    "version 2": spoilt(ACK, version=2),
    "version 0": spoilt(ACK, version=0),
    "True for 1": spoilt(ACK, version=True),
    "1.0 for 1": spoilt(ACK, version=1.0),
    "version null": spoilt(ACK, version=None),
    "no version": codec.pack({k: v for k, v in fields_of(ACK).items() if k != "version"}),
}


@pytest.mark.parametrize("data", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_other_kinds_and_versions_are_unknown(data: bytes) -> None:
    with pytest.raises(UnknownMessageError):
        codec.decode(data)


def test_a_boolean_must_be_a_boolean() -> None:
    message = codec.decode(codec.encode(a_bid()))
    for value in (0, 1, None, b"\x01"):
        fields = fields_of(message)
        with pytest.raises(NotCanonicalError):
            codec.decode(codec.pack(codec.plain(fields | {"bid": fields["bid"] | {"locks": value}})))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "sealed_input"])
def test_a_message_over_the_cap_of_its_kind_is_too_large(kind: str) -> None:
    data = codec.pack({"kind": kind, "pad": bytes(SIZE_CAPS[kind]), "version": 1})
    with pytest.raises(FrameTooLargeError):
        codec.decode(data)


def test_more_bytes_than_any_message_are_not_even_read() -> None:
    with pytest.raises(FrameTooLargeError):
        codec.decode(bytes(codec.LARGEST_MESSAGE + 1))


def test_the_largest_input_fits_its_cap_and_one_more_byte_is_refused() -> None:
    size = 8 * 1024 * 1024
    message = SealedInput(
        network=NETWORK, order_hash=bytes(32), award_hash=bytes(32), ciphertext=bytes(size)
    )
    assert codec.decode(codec.encode(message)) == message
    with pytest.raises(NotCanonicalError):
        codec.decode(spoilt(message, ciphertext=bytes(size + 1)))


def test_a_hello_that_its_fields_allow_but_its_cap_does_not_is_not_sent() -> None:
    wide = HELLO.model_copy(update={"peers": ("\U0001f600" * 256,) * 64})
    with pytest.raises(FrameTooLargeError):
        codec.encode(wide)


def test_lengths_announced_and_not_sent_cost_no_memory() -> None:
    for header in (b"\xdd", b"\xdf", b"\xdb", b"\xc6"):
        with pytest.raises(NotCanonicalError):
            codec.decode(header + b"\x7f\xff\xff\xff" + bytes(1_000))


LEAKS = {
    "unknown kind": spoilt(ACK, kind=MARKER),
    "unknown field": spoilt(ACK, **{MARKER: MARKER}),
    "wrong type": spoilt(ACK, request_hash=MARKER),
    "wrong size": spoilt(ACK, request_hash=MARKER.encode()),
    "version": spoilt(ACK, version=MARKER),
    "role": spoilt(HELLO, roles=[MARKER]),
    "code": spoilt(REFUSAL, terms=fields_of(REFUSAL)["terms"] | {"code": MARKER}),
    "not UTF-8": b"\xad" + MARKER.encode() + b"\xff",
    "trailing": ENCODED + b"\xac" + MARKER.encode(),
    "no map": msgpack.packb(MARKER),
    "duplicate": b"\x82" + 2 * (b"\xac" + MARKER.encode() + b"\x01"),
    "extension": msgpack.packb(msgpack.ExtType(5, MARKER.encode())),
}


@pytest.mark.parametrize("data", LEAKS.values(), ids=LEAKS.keys())
def test_no_error_shows_what_was_in_the_message(data: bytes) -> None:
    with pytest.raises(WireError) as caught:
        codec.decode(data)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    # The traceback quotes source lines of this project alone; none of them has the marker.
    assert MARKER not in shown
    assert MARKER.encode().hex() not in shown


def test_an_error_of_a_model_built_here_hides_its_input_too() -> None:
    with pytest.raises(ValidationError) as caught:
        Acknowledgement(network=NETWORK, request_hash=MARKER.encode())
    assert MARKER not in str(caught.value)


def a_bid() -> Message:
    """A bid message with plain values."""
    fields = {
        "order_hash": bytes(32),
        "prover": bytes(20),
        "payout": bytes(20),
        "price": bytes(32),
        "promise_at": 1,
        "expires_at": 2,
        "locks": True,
        "sealing_key": bytes(32),
    }
    whole = {"network": NETWORK.model_dump(), "bid": fields, "addresses": (), "signature": bytes(65)}
    return MESSAGE_KINDS["bid"].model_validate(whole)
