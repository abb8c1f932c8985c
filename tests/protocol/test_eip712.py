# SPDX-License-Identifier: GPL-3.0-or-later
"""EIP-712 digests against eth_account, an implementation that shares no code with this one."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st
from wire_samples import ADDRESSES, NETWORKS, ORDERS, STRUCTS

from protocol.eip712 import Signable, addresses_hash, digest, domain_separator, struct_hash, type_string
from protocol.hashing import keccak256
from protocol.scalars import Record
from protocol.structs import Announcement, Network, Order

DOMAIN_TYPES = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]


def solidity_fields(struct: type[Record]) -> list[tuple[str, str]]:
    """(type, name in camel case) of each field, read out of the type string."""
    inner = re.fullmatch(r"\w+\((.*)\)", type_string(struct))
    assert inner is not None
    return [(field.split(" ")[0], field.split(" ")[1]) for field in inner[1].split(",")]


def snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda match: "_" + match[1].lower(), name)


def typed_data(network: Network, value: Signable) -> dict[str, Any]:
    """The struct as a wallet is given it (`eth_signTypedData_v4`)."""
    fields = solidity_fields(type(value))
    name = type_string(type(value)).split("(")[0]
    return {
        "domain": {
            "name": "proofmesh",
            "version": "1",
            "chainId": network.chain_id,
            "verifyingContract": "0x" + network.escrow.hex(),
        },
        "types": {
            "EIP712Domain": DOMAIN_TYPES,
            name: [{"type": type_, "name": camel} for type_, camel in fields],
        },
        "primaryType": name,
        "message": {camel: as_wallet(type_, getattr(value, snake(camel))) for type_, camel in fields},
    }


def as_wallet(type_: str, value: Any) -> Any:
    """A value as JSON-RPC has it; a field element goes into bytes32 as its word."""
    return value.to_bytes(32, "big") if type_ == "bytes32" and isinstance(value, int) else value


@given(NETWORKS, STRUCTS)
def test_digests_are_those_of_another_implementation(network: Network, value: Signable) -> None:
    theirs = encode_typed_data(full_message=typed_data(network, value))
    assert domain_separator(network) == theirs.header
    assert struct_hash(value) == theirs.body
    assert digest(network, value) == keccak256(b"\x19\x01" + theirs.header + theirs.body)


@pytest.mark.parametrize("struct", get_args(Signable), ids=lambda struct: struct.__name__)
def test_type_strings_name_the_fields_in_their_order(struct: type[Record]) -> None:
    assert [snake(camel) for _, camel in solidity_fields(struct)] == list(struct.model_fields)


@given(NETWORKS, NETWORKS, STRUCTS)
def test_a_digest_belongs_to_one_network(first: Network, second: Network, value: Signable) -> None:
    assert (digest(first, value) == digest(second, value)) == (first == second)


@given(ORDERS, ORDERS, st.data())
def test_each_field_of_an_order_is_in_its_hash(first: Order, second: Order, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(list(Order.model_fields)))
    changed = first.model_copy(update={name: getattr(second, name)})
    assert (struct_hash(first) == struct_hash(changed)) == (first == changed)


@given(ADDRESSES)
def test_addresses_hash_as_a_string_array(addresses: tuple[str, ...]) -> None:
    data = typed_data(
        Network(chain_id=1, escrow=bytes(20)),
        Announcement(order_hash=bytes(32), addresses_hash=bytes(32), issued_at=0, expires_at=0),
    )
    data["types"] = {"EIP712Domain": DOMAIN_TYPES, "List": [{"name": "list", "type": "string[]"}]}
    data |= {"primaryType": "List", "message": {"list": list(addresses)}}
    body = keccak256(keccak256(b"List(string[] list)") + addresses_hash(addresses))
    assert encode_typed_data(full_message=data).body == body


@given(ADDRESSES, ADDRESSES)
def test_other_addresses_have_another_hash(first: tuple[str, ...], second: tuple[str, ...]) -> None:
    assert (addresses_hash(first) == addresses_hash(second)) == (first == second)
