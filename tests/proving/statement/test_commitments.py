# SPDX-License-Identifier: GPL-3.0-or-later
"""Commitments: one reading each, typed refusals, secrets that are uniform, separate and recoverable."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import InputRangeError, InputShapeError, SecretError
from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.poseidon import poseidon, poseidon_chain
from proving.settings import Encoding, InputRange, Visibility
from proving.statement.commitment import (
    TAG_OUT,
    Secrets,
    commit,
    commit_group,
    commit_weights,
    derive_blinding,
    join,
    order_secrets,
)
from proving.statement.schema import committed_groups, pack, packing, public_group, schema_hash, unpack

FIELD = InputRange("income", -5, 8, 3, scale=2)
RAW = (-5, 0, 250)


def test_the_commitment_is_the_documented_hash() -> None:
    left = poseidon([schema_hash((FIELD,)), 0 | 5 << 8 | 255 << 16, 11])
    assert commit((FIELD,), RAW, 11, 12) == poseidon([left, poseidon([TAG_OUT, 12])])
    assert commit_group((FIELD,), RAW, 11) == left
    assert commit((FIELD,), RAW, 11, 12) == join(left, 12)


def test_a_commitment_over_many_inputs_is_a_chain() -> None:
    field = InputRange("pixel", 0, 8, 784)
    raw = [place % 251 for place in range(784)]
    packed = [sum(each << 8 * i for i, each in enumerate(raw[start : start + 31])) for start in range(0, 784, 31)]
    assert commit_group((field,), raw, 5) == poseidon_chain([schema_hash((field,)), *packed, 5])


@pytest.mark.parametrize(
    "other",
    [
        replace(FIELD, name="debt"),
        replace(FIELD, low=-4),
        replace(FIELD, bits=9),
        replace(FIELD, count=4),
        replace(FIELD, scale=1),
        InputRange("income", 0, 32, 3, encoding=Encoding.FLOAT32),
    ],
)
def test_another_reading_is_another_schema(other: InputRange) -> None:
    assert schema_hash((other,)) != schema_hash((FIELD,))


def test_the_group_number_is_no_part_of_the_schema() -> None:
    # So that one attested commitment serves programs that number their groups differently.
    assert schema_hash((replace(FIELD, group=3),)) == schema_hash((FIELD,))


def test_groups_hold_private_fields_and_group_0_is_always_there() -> None:
    fields = (
        replace(FIELD, name="a", group=2),
        replace(FIELD, name="b", visibility=Visibility.PUBLIC),
        replace(FIELD, name="c", group=2),
    )
    empty, second = committed_groups(fields)
    assert (empty.number, empty.elements) == (0, ())
    assert (second.number, second.elements) == (2, (0, 1, 2, 6, 7, 8))
    assert public_group(fields).elements == (3, 4, 5)


@given(st.lists(st.integers(1, 62), min_size=1, max_size=40), st.data())
def test_packed_values_come_back(widths: list[int], data: st.DataObject) -> None:
    values = [data.draw(st.integers(0, (1 << width) - 1)) for width in widths]
    words = pack(values, packing(widths))
    assert all(word < 1 << 248 for word in words)
    assert unpack(words, widths) == values


def test_a_word_with_more_bits_than_are_packed_does_not_unpack() -> None:
    assert unpack([1 << 24], [8, 8, 8]) is None
    assert unpack([(1 << 24) - 1], [8, 8, 8]) == [255, 255, 255]


def test_inputs_outside_their_range_are_refused_without_being_shown() -> None:
    with pytest.raises(InputRangeError) as refused:
        commit((FIELD,), (-5, 0, 251), 1, 2)
    assert "251" not in str(refused.value)
    with pytest.raises(InputShapeError):
        commit((FIELD,), (0, 0), 1, 2)


@pytest.mark.parametrize("bad", [R, -1, True, 1.0])
def test_secrets_outside_the_field_are_refused(bad: int) -> None:
    for refused in (
        lambda: commit((FIELD,), RAW, bad, 1),
        lambda: commit((FIELD,), RAW, 1, bad),
        lambda: commit_weights([1], bad),
        lambda: commit_weights([bad], 1),
        lambda: Secrets(1, 2, (bad,)),
    ):
        with pytest.raises(SecretError):
            refused()


def test_secrets_are_recovered_from_secret_and_order_and_differ_otherwise() -> None:
    secret, other = bytes(range(32)), bytes(32)
    one = order_secrets(secret, b"order 1", (9,))
    assert one == order_secrets(secret, b"order 1", (9,))
    drawn = {one.blinding, one.output_key, one.output}
    for each in (order_secrets(secret, b"order 2"), order_secrets(other, b"order 1")):
        drawn |= {each.blinding, each.output_key, each.output}
    # What outlives an order is drawn apart, so that the salt of an order can never give it away.
    drawn.add(derive_blinding(secret, b"order 1"))
    assert len(drawn) == 10 and all(0 <= each < R for each in drawn)
    with pytest.raises(SecretError):
        order_secrets(bytes(15), b"order 1")


def test_secrets_are_not_shown() -> None:
    assert repr(order_secrets(bytes(16), b"s")) == "Secrets()"
