# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers at the edges of their ranges, and values of the wrong type: refused, never coerced."""

from __future__ import annotations

from typing import Any

import pytest
from protocol_json import in_json
from protocol_reference import wire_bytes
from protocol_samples import NETWORK, ORDER, REFUSAL_TERMS, messages
from pydantic import ValidationError

from protocol.binding import local_binding, market_binding
from protocol.codec import decode
from protocol.errors import NotCanonicalError
from protocol.scalars import BN254_SCALAR_ORDER, MAX_AMOUNT, Record

PROOF = messages(bytes(48))["proof"]


def accepted(record: Record, field: str, value: Any) -> bool:
    try:
        type(record).model_validate({**record.model_dump(), field: value})
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (
            "input_commitment",
            [0, BN254_SCALAR_ORDER - 1],
            [-1, BN254_SCALAR_ORDER, 2**256 - 1, True, 1.0, "1"],
        ),
        ("price_cap", [0, MAX_AMOUNT], [-1, MAX_AMOUNT + 1, 2**256, True, 1.0, "1", None, bytes(31)]),
        ("promise_by", [0, 2**63 - 1], [-1, 2**63, 2**64, True, 1.0, "1", bytes(32)]),
        ("kind", [0], [-1, 2, False, "0"]),
        ("royalty_bps", [0, 10_000], [-1, 10_001, True]),
        ("client", [bytes(20)], [bytes(19), bytes(21), "0x" + "00" * 20, b"", None]),
        ("salt", [bytes(32)], [bytes(31), bytes(33), "a" * 32, 1]),
        ("input_size", [0, 2**63 - 1], [-1, 2**63, True]),
    ],
)
def test_the_edges_of_the_fields_of_an_order(field: str, good: list[Any], bad: list[Any]) -> None:
    assert all(accepted(ORDER, field, value) for value in good)
    assert not [value for value in bad if accepted(ORDER, field, value)]


@pytest.mark.parametrize(
    "code",
    ["PM-REF-001\n", "PM-REF-1", "PM-A-001", "PM-ABCDEF-001", "pm-ref-001", "PM-REF-\u0661\u0661\u0661", ""],
)
def test_a_refusal_code_of_another_form_is_refused(code: str) -> None:
    assert not accepted(REFUSAL_TERMS, "code", code)


@pytest.mark.parametrize("word", [BN254_SCALAR_ORDER, BN254_SCALAR_ORDER + 1, 2**256 - 1])
def test_a_field_element_on_the_wire_is_below_the_order(word: int) -> None:
    fields = in_json(PROOF)
    assert decode(wire_bytes("", fields)) == PROOF
    for changed in (
        {**fields, "outputs": [str(word)]},
        {**fields, "order": {**fields["order"], "input_commitment": str(word)}},
    ):
        with pytest.raises(NotCanonicalError):
            decode(wire_bytes("", changed))


@pytest.mark.parametrize("amount", [2**128, 2**255, 2**256 - 1])
def test_an_amount_on_the_wire_is_below_two_to_the_128(amount: int) -> None:
    fields = in_json(PROOF)
    for changed in (
        {**fields, "order": {**fields["order"], "price_cap": str(amount)}},
        {**fields, "award": {**fields["award"], "price": str(amount)}},
    ):
        with pytest.raises(NotCanonicalError):
            decode(wire_bytes("", changed))


def test_an_amount_as_a_msgpack_integer_is_refused() -> None:
    fields = in_json(PROOF)
    good = wire_bytes("", fields)
    price = wire_bytes("price_cap", fields["order"]["price_cap"])
    assert good.count(price) == 1
    with pytest.raises(NotCanonicalError):
        decode(good.replace(price, wire_bytes("", fields["order"]["price_cap"])))


def test_records_are_frozen() -> None:
    with pytest.raises(ValidationError):
        ORDER.price_cap = 1


def test_the_two_bindings_are_field_elements_and_never_meet() -> None:
    market = market_binding(bytes(32), NETWORK.escrow, NETWORK.escrow)
    local = local_binding(0, NETWORK.escrow, NETWORK.escrow)
    assert market != local and max(market, local) < 2**248 < BN254_SCALAR_ORDER
    with pytest.raises(ValueError, match="20 bytes"):
        market_binding(bytes(32), bytes(32), NETWORK.escrow)
