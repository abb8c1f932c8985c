# SPDX-License-Identifier: GPL-3.0-or-later
"""One message has one encoding; everything else is refused with a WireError that tells nothing of it."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from protocol_hostile import ACK, MARKER, hostile
from protocol_json import in_json
from protocol_reference import wire_bytes
from protocol_samples import NETWORK, OPEN, ORDER, messages
from protocol_strategies import messages as any_message
from pydantic import ValidationError

from protocol.codec import LARGEST_MESSAGE, LONGEST_CONTAINER, MOST_CONTAINERS, decode, encode, unpack
from protocol.errors import FrameTooLargeError, NotCanonicalError, ProofmeshError, WireError
from protocol.messages import MESSAGE_KINDS, SIZE_CAPS, Hello, Message, OrderAnnouncement, SealedInput

HOSTILE = hostile()
SAMPLES = messages(b"\x77" * 60)
ENCODED = {name: encode(message) for name, message in SAMPLES.items()}


def refused_or_canonical(data: bytes) -> None:
    """Any other exception than a WireError fails the test by itself."""
    try:
        message = decode(data)
    except WireError:
        return
    assert encode(message) == data


@given(any_message())
@settings(max_examples=300, deadline=None)
def test_a_decoded_message_is_the_one_encoded(message: Message) -> None:
    data = encode(message)
    assert decode(data) == message
    assert _looks_like_a_number(message) or wire_bytes("", in_json(message)) == data


def _looks_like_a_number(message: Message) -> bool:
    """Vectors write bytes and numbers as text; an address such as "7" cannot be told from them."""
    texts = [*getattr(message, "addresses", ()), *getattr(message, "peers", ())]
    return any(text.isdigit() or text.startswith("0x") for text in texts)


@given(
    name=st.sampled_from(sorted(ENCODED)),
    edits=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2**16), st.binary(max_size=6)), max_size=5),
)
@example("hello", [(4, 0, b"")])
@settings(max_examples=500, deadline=None)
def test_a_mutated_message_is_refused_or_canonical(name: str, edits: list[tuple[int, int, bytes]]) -> None:
    data = ENCODED[name]
    for kind, where, piece in edits:
        at = where % (len(data) + 1)
        match kind:
            case 0:
                data = data[:at] + piece + data[at:]
            case 1:
                data = data[:at] + data[at + len(piece) :]
            case 2:
                data = data[:at] + piece + data[at + len(piece) :]
            case 3:
                data = data[:at]
            case _:
                data = data[:at] + data[at // 2 : at] + data[at:]
    refused_or_canonical(data)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(data)


@pytest.mark.parametrize("name", sorted(ENCODED))
def test_each_flipped_bit_is_refused_or_another_canonical_message(name: str) -> None:
    good = ENCODED[name]
    for bit in range(8 * len(good)):
        changed = bytearray(good)
        changed[bit // 8] ^= 1 << (bit % 8)
        refused_or_canonical(bytes(changed))


@pytest.mark.parametrize("name", sorted(ENCODED))
def test_each_shortened_message_is_refused(name: str) -> None:
    for end in range(len(ENCODED[name])):
        with pytest.raises(WireError):
            decode(ENCODED[name][:end])


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_get_their_code_and_are_not_quoted(name: str) -> None:
    code, data = HOSTILE[name]
    with pytest.raises(WireError) as caught:
        decode(data)
    assert caught.value.code == code
    said = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + str(caught.value)
    assert MARKER not in said and MARKER.encode().hex() not in said
    assert caught.value.__cause__ is None


def test_the_message_that_the_hostile_ones_are_made_of_is_good() -> None:
    assert decode(encode(ACK)) == ACK


def test_errors_of_construction_show_no_value() -> None:
    fields = {
        **SAMPLES["hello"].model_dump(),
        "account": MARKER.encode(),
        "least_fee": MARKER,
        "roles": (MARKER,),
    }
    with pytest.raises(ValidationError) as caught:
        Hello.model_validate(fields)
    assert MARKER not in str(caught.value) and MARKER not in repr(caught.value)


# --- sizes ---------------------------------------------------------------------------------------


def sealed(size: int) -> SealedInput:
    return SealedInput(network=NETWORK, order_hash=bytes(32), award_hash=bytes(32), ciphertext=bytes(size))


def test_the_largest_ciphertext_passes_and_one_more_byte_does_not() -> None:
    assert decode(encode(sealed(2**23))) == sealed(2**23)
    with pytest.raises(ValidationError):
        sealed(2**23 + 1)
    with pytest.raises(ValidationError):
        sealed(47)


def test_more_bytes_than_any_message_are_not_looked_at() -> None:
    with pytest.raises(FrameTooLargeError):
        decode(b"\xc1" * (LARGEST_MESSAGE + 1))


def test_a_message_over_its_kinds_cap_is_neither_written_nor_read() -> None:
    addresses = tuple(["\N{SNOWMAN}" * 256] * 64)
    hello = Hello(
        network=NETWORK,
        roles=(),
        account=bytes(20),
        least_fee=0,
        addresses=(),
        peers=addresses,
        issued_at=0,
        expires_at=0,
    )
    with pytest.raises(FrameTooLargeError):
        encode(hello)
    with pytest.raises(FrameTooLargeError):
        decode(wire_bytes("", in_json(hello)))


def test_full_messages_in_ascii_fit_their_caps() -> None:
    address = "/" * 256
    full: list[Message] = [
        SAMPLES["hello"].model_validate(
            {**SAMPLES["hello"].model_dump(), "addresses": (address,) * 8, "peers": (address,) * 64}
        ),
        SAMPLES["bid"].model_validate({**SAMPLES["bid"].model_dump(), "addresses": (address,) * 8}),
        SAMPLES["open_order"].model_validate(
            {**SAMPLES["open_order"].model_dump(), "addresses": (address,) * 8}
        ),
        SAMPLES["proof"].model_validate({**SAMPLES["proof"].model_dump(), "outputs": (1,) * 64}),
    ]
    for message in full:
        assert decode(encode(message)) == message


def test_every_kind_has_a_cap_and_a_model_that_names_it() -> None:
    assert set(SIZE_CAPS) == set(MESSAGE_KINDS) == {message.kind for message in SAMPLES.values()}
    for kind, model in MESSAGE_KINDS.items():
        assert model.model_fields["kind"].default == kind


# --- memory --------------------------------------------------------------------------------------


def test_containers_and_entries_are_bounded_while_reading() -> None:
    assert unpack(b"\x92\x90\x80", containers=3, entries=2) == ((), {})
    with pytest.raises(NotCanonicalError):
        unpack(b"\x92\x90\x80", containers=2, entries=2)
    with pytest.raises(NotCanonicalError):
        unpack(b"\x93\1\2\3", containers=2, entries=2)
    with pytest.raises(NotCanonicalError):
        unpack(b"\x83\xa1a\1\xa1b\1\xa1c\1", containers=2, entries=2)


def test_eight_megabytes_of_empty_maps_do_not_become_objects() -> None:
    """Without the bounds this is 700 MB and seconds; the array alone is refused by its length."""
    rows = LONGEST_CONTAINER - 1
    bomb = (bytes([0xDC]) + rows.to_bytes(2, "big") + b"\x80" * rows) * (LARGEST_MESSAGE // (rows + 3))
    for data in (b"\xdd" + len(bomb).to_bytes(4, "big") + bomb, bytes([0xDC, 0, rows]) + bomb):
        with pytest.raises(NotCanonicalError):
            decode(data[:LARGEST_MESSAGE])


def test_every_message_fits_the_bounds() -> None:
    def containers(value: object) -> int:
        if isinstance(value, dict):
            return 1 + sum(map(containers, value.values()))
        return 1 + sum(map(containers, value)) if isinstance(value, tuple) else 0

    assert max(containers(unpack(data)) for data in ENCODED.values()) <= MOST_CONTAINERS


# --- rules of single messages --------------------------------------------------------------------


@pytest.mark.parametrize(("order", "signature"), [(ORDER, bytes(65)), (OPEN, None)])
def test_the_order_signature_belongs_to_open_orders_alone(order: object, signature: bytes | None) -> None:
    """Else a forwarder makes variants of an announcement: nothing signed covers this field."""
    fields = {**SAMPLES["order"].model_dump(), "order": order, "order_signature": signature}
    with pytest.raises(ValidationError):
        OrderAnnouncement.model_validate(fields)
    name = "order" if signature else "open_order"
    changed = {**in_json(SAMPLES[name]), "order_signature": signature and in_json(signature)}
    with pytest.raises(NotCanonicalError):
        decode(wire_bytes("", changed))


def test_wire_errors_are_errors_of_the_project() -> None:
    assert issubclass(WireError, ProofmeshError)
