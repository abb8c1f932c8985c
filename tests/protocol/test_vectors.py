# SPDX-License-Identifier: GPL-3.0-or-later
"""The committed vectors are current, and a second implementation agrees with every one of them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_typed_data
from make_vectors import FOLDER, rendered
from protocol_json import in_json
from protocol_reference import hpke_seal, wire_bytes
from protocol_samples import NETWORK, OTHER_NETWORK, STRUCTS
from web3 import Web3

from protocol import codec, eip712, sealing
from protocol.errors import WireError
from protocol.signing import recover


def load(name: str) -> Any:
    return json.loads((FOLDER / name).read_text("utf-8"))


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


STRUCT_FILE = load("structs.json")
MESSAGES = load("messages.json")
HASHES = load("hashes.json")


def named(case: Any) -> str:
    return str(case["name"])


def test_the_vectors_are_current() -> None:
    stale = [name for name, text in rendered().items() if (FOLDER / name).read_text("utf-8") != text]
    assert not stale, "run `python tests/support/make_vectors.py`"
    assert {path.name for path in FOLDER.iterdir()} == set(rendered())


@pytest.mark.parametrize("case", MESSAGES, ids=named)
def test_a_message_decodes_to_its_fields_and_encodes_to_its_bytes(case: Any) -> None:
    data = raw(case["encoded"])
    message = codec.decode(data)
    assert in_json(message) == case["fields"] and message.kind == case["kind"]
    assert codec.encode(message) == data == wire_bytes("", case["fields"])
    assert raw(case["framed"]) == len(data).to_bytes(4, "big") + data
    assert Web3.keccak(data) == raw(case["request_hash"])


@pytest.mark.parametrize("case", load("refused.json"), ids=named)
def test_refused_bytes_are_refused_with_their_code(case: Any) -> None:
    with pytest.raises(WireError) as caught:
        codec.decode(raw(case["bytes"]))
    assert caught.value.code == case["code"]


@pytest.mark.parametrize("case", STRUCT_FILE["structs"], ids=named)
def test_eth_account_hashes_and_recovers_the_same(case: Any) -> None:
    """Types are read off the type string, so that it is checked as well as the digest."""
    primary, members = re.fullmatch(r"(\w+)\((.*)\)", case["type"]).groups()  # type: ignore[union-attr]
    fields = [dict(zip(("type", "name"), member.split(" "), strict=True)) for member in members.split(",")]
    values = {field["name"]: value for field, value in zip(fields, case["fields"].values(), strict=True)}
    signable = encode_typed_data(
        domain_data={
            "name": "proofmesh",
            "version": "1",
            "chainId": int(STRUCT_FILE["network"]["chain_id"]),
            "verifyingContract": STRUCT_FILE["network"]["escrow"],
        },
        message_types={primary: fields},
        message_data={field["name"]: _typed(field["type"], values[field["name"]]) for field in fields},
    )
    assert signable.header == raw(STRUCT_FILE["domain_separator"])
    assert signable.body == raw(case["struct_hash"])
    assert Web3.keccak(b"\x19\x01" + signable.header + signable.body) == raw(case["digest"])
    signer = EthAccount.recover_message(signable, signature=raw(case["signature"]))
    assert signer.lower() == case["signer"]
    secret = next(a["secret"] for a in STRUCT_FILE["accounts"].values() if a["address"] == case["signer"])
    assert EthAccount.sign_message(signable, secret).signature == raw(case["signature"])


def _typed(kind: str, value: Any) -> Any:
    if kind.startswith("uint"):
        return int(value)
    if kind == "bytes32":
        return raw(value) if value.startswith("0x") else int(value).to_bytes(32, "big")
    return value


@pytest.mark.parametrize("case", STRUCT_FILE["structs"], ids=named)
def test_the_fields_of_a_struct_are_those_of_its_type_string(case: Any) -> None:
    names = re.findall(r"\w+ (\w+)", case["type"])
    spelt = [re.sub(r"_(\w)", lambda found: found[1].upper(), name) for name in case["fields"]]
    assert names == spelt


@pytest.mark.parametrize("case", STRUCT_FILE["structs"], ids=named)
def test_a_signature_recovers_its_signer(case: Any) -> None:
    assert recover(raw(case["digest"]), raw(case["signature"])) == raw(case["signer"])


@pytest.mark.parametrize("name", STRUCTS)
def test_each_field_changes_the_digest(name: str) -> None:
    value, _ = STRUCTS[name]
    digests = {eip712.digest(NETWORK, value), eip712.digest(OTHER_NETWORK, value)}
    for field in type(value).model_fields:
        digests.add(eip712.digest(NETWORK, _changed(value, field)))
    assert len(digests) == 2 + len(type(value).model_fields)


def _changed(value: Any, field: str) -> Any:
    old = getattr(value, field)
    if isinstance(old, bytes):
        new: Any = bytes([old[0] ^ 1]) + old[1:]
    elif isinstance(old, bool):
        new = not old
    elif isinstance(old, str):
        new = "PM-REF-999"
    else:
        new = old - 1 if old else 1
    return type(value).model_validate({**value.model_dump(), field: new})


# --- hashes, by web3's ABI encoder ------------------------------------------------------------------


def abi_hash(types: list[str], values: list[Any]) -> bytes:
    return bytes(Web3.keccak(Web3().codec.encode(types, values)))


def test_the_bindings_are_those_of_the_abi() -> None:
    market, local = HASHES["market_binding"], HASHES["local_binding"]
    tag = bytes(Web3.keccak(b"proofmesh.binding.market.v1"))
    values = [tag, raw(market["order_hash"]), market["payout"], market["settler"]]
    hashed = abi_hash(["bytes32", "bytes32", "address", "address"], values)
    assert int.from_bytes(hashed, "big") >> 8 == int(market["result"])
    tag = bytes(Web3.keccak(b"proofmesh.binding.local.v1"))
    values = [tag, int(local["chain_id"]), local["consumer"], local["subject"]]
    hashed = abi_hash(["bytes32", "uint256", "address", "address"], values)
    assert int.from_bytes(hashed, "big") >> 8 == int(local["result"])


def test_the_statement_hash_and_the_program_id_are_those_of_the_abi() -> None:
    case = HASHES["statement_hash"]
    inputs = [int(value) for value in case["public_inputs"]]
    assert abi_hash(["bytes32", "uint256[]"], [raw(case["program_id"]), inputs]) == raw(case["result"])
    case = HASHES["program_id"]
    vk_hash = Web3.solidity_keccak(["uint256[]"], [[int(word) for word in case["vk"]]])
    values = [int(case["proof_system"]), vk_hash, raw(case["layout"]), raw(case["setup_id"]), case["dev"]]
    assert abi_hash(["uint8", "bytes32", "bytes32", "bytes32", "bool"], values) == raw(case["result"])


@pytest.mark.parametrize("name", ["addresses_hash", "addresses_hash_of_none"])
def test_the_hash_of_addresses_is_that_of_a_string_array(name: str) -> None:
    case = HASHES[name]
    assert Web3.keccak(b"".join(Web3.keccak(text=text) for text in case["addresses"])) == raw(case["result"])


# --- sealing ------------------------------------------------------------------------------------------


def test_the_sealed_vector_opens_and_the_reference_seals_it() -> None:
    case = load("sealing.json")
    secret, sealed = raw(case["recipient_secret"]), raw(case["sealed"])
    order_hash, award_hash = raw(case["order_hash"]), raw(case["award_hash"])
    assert sealing.unseal(secret, sealed, NETWORK, order_hash, award_hash) == raw(case["plaintext"])
    assert sealing.public_key(secret) == raw(case["recipient_public"])
    parts = (raw(case[name]) for name in ("recipient_public", "ephemeral_secret", "info", "plaintext"))
    assert hpke_seal(*parts) == sealed
