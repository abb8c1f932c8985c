# SPDX-License-Identifier: GPL-3.0-or-later
"""The committed artifacts as typed values: functions, events and errors by name, selector and topic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from eth_abi.abi import decode, encode
from eth_abi.grammar import ABIType, BasicType, TupleType, parse

from protocol.hashing import keccak256

ContractName = Literal[
    "Escrow", "Registry", "Groth16Verifier", "TokenDesk", "CreditGate", "PeerDirectory", "EzklAdapter"
]
CONTRACTS: tuple[ContractName, ...] = (
    "Escrow",
    "Registry",
    "Groth16Verifier",
    "TokenDesk",
    "CreditGate",
    "PeerDirectory",
    "EzklAdapter",
)


@dataclass(frozen=True)
class Entry:
    """One function, event or error: its name and the ABI types of what goes in, out, and is indexed."""

    name: str
    inputs: tuple[str, ...]
    input_names: tuple[str, ...]
    outputs: tuple[str, ...]
    indexed: tuple[bool, ...]
    changes: bool = False
    """Whether it is a function that may change state."""

    @property
    def topic(self) -> bytes:
        """The Keccak-256 of the canonical signature; its first four bytes are the selector."""
        return keccak256(f"{self.name}({','.join(self.inputs)})".encode())

    @property
    def selector(self) -> bytes:
        """The four bytes that call data or revert data start with."""
        return self.topic[:4]


@dataclass(frozen=True)
class Artifact:
    """A compiled contract: its interface, the code that deploys it, and the Keccak-256 of what is then deployed
    with zeros for its immutables, whose words of 32 bytes stand on a chain at the places in `immutables`."""

    functions: Mapping[str, Entry]
    events: Mapping[bytes, Entry]
    errors: Mapping[bytes, Entry]
    constructor: tuple[str, ...]
    bytecode: bytes
    deployed_hash: bytes
    immutables: Mapping[str, tuple[int, ...]]


@cache
def artifact(name: ContractName) -> Artifact:
    """Return the packaged artifact of a contract."""
    text = files("contracts").joinpath("artifacts", f"{name}.json").read_text(encoding="utf-8")
    raw = json.loads(text)
    entries = [(item["type"], _entry(item)) for item in raw["abi"]]
    constructors = [entry.inputs for kind, entry in entries if kind == "constructor"]
    return Artifact(
        functions={entry.name: entry for kind, entry in entries if kind == "function"},
        events={entry.topic: entry for kind, entry in entries if kind == "event"},
        errors={entry.selector: entry for kind, entry in entries if kind == "error"},
        constructor=constructors[0] if constructors else (),
        bytecode=bytes.fromhex(raw["bytecode"][2:]),
        deployed_hash=bytes.fromhex(raw["deployedBytecodeHash"][2:]),
        immutables={name: tuple(places) for name, places in raw["immutables"].items()},
    )


def call_data(contract: ContractName, function: str, *arguments: object) -> bytes:
    """Return selector and encoded arguments; an address is 20 bytes, a struct a tuple of its fields."""
    entry = artifact(contract).functions[function]
    return entry.selector + encode(entry.inputs, arguments)


def deployment_data(contract: ContractName, *arguments: object) -> bytes:
    """Return the data of a transaction that creates the contract."""
    found = artifact(contract)
    return found.bytecode + encode(found.constructor, arguments)


def decode_result(contract: ContractName, function: str, data: bytes) -> tuple[Any, ...]:
    """Return the values that a call gave back, addresses as 20 bytes.

    Raises:
        ValueError: the data is not what the function returns.
    """
    return decode_values(artifact(contract).functions[function].outputs, data)


def decode_values(types: Sequence[str], data: bytes) -> tuple[Any, ...]:
    """Return decoded ABI values: addresses as 20 bytes, arrays and structs as tuples.

    Text that is not UTF-8 gets replacement characters: the chain checks no text, so anyone can publish it.

    Raises:
        ValueError: the data does not hold values of these types.
    """
    try:
        # `string` and `bytes` are encoded alike; only the latter never fails on what it holds.
        values = decode([name.replace("string", "bytes") for name in types], data)
    except Exception as error:  # eth_abi has several trees of errors, and lets OverflowError through
        raise ValueError(f"{len(data)} bytes do not decode as ({','.join(types)})") from error
    return tuple(_plain(parse(name), value) for name, value in zip(types, values, strict=True))


def error_name(contract: ContractName, selector: bytes) -> str:
    """Return the name of an error by its selector, or the selector in hex."""
    found = artifact(contract).errors.get(selector)
    return found.name if found is not None else "0x" + selector.hex()


def _plain(kind: ABIType, value: Any) -> Any:
    if kind.is_array:
        return tuple(_plain(kind.item_type, item) for item in value)
    if isinstance(kind, TupleType):
        return tuple(_plain(part, item) for part, item in zip(kind.components, value, strict=True))
    assert isinstance(kind, BasicType)
    if kind.base == "address":
        return bytes.fromhex(value[2:])
    if kind.base == "string":
        return value.decode("utf-8", "replace")
    return value


def _entry(item: Mapping[str, Any]) -> Entry:
    inputs = item.get("inputs", ())
    return Entry(
        name=item.get("name", item["type"]),
        inputs=tuple(_type(parameter) for parameter in inputs),
        input_names=tuple(parameter["name"] for parameter in inputs),
        outputs=tuple(_type(parameter) for parameter in item.get("outputs", ())),
        indexed=tuple(bool(parameter.get("indexed")) for parameter in inputs),
        changes=item.get("stateMutability") in ("nonpayable", "payable") and item["type"] == "function",
    )


def _type(parameter: Mapping[str, Any]) -> str:
    """Return the canonical type: `(address,uint256)[]` where the ABI says `tuple[]` with components."""
    name = str(parameter["type"])
    if not name.startswith("tuple"):
        return name
    return "(" + ",".join(_type(part) for part in parameter["components"]) + ")" + name[len("tuple") :]
