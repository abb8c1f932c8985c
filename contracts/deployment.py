# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the contracts of a market go, and the record of where they are; nothing here talks to a chain.

Addresses follow from the bytecode, the constructor's arguments and a salt (CREATE2, EIP-1014), by way of the
deterministic-deployment proxy that most chains have. So they are the same on every chain, whoever deploys, and
deploying twice is deploying once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contracts import bindings
from contracts.abi import ContractName, artifact
from protocol import bounded_json
from protocol.eip712 import domain_separator
from protocol.errors import DeploymentFileError
from protocol.hashing import keccak256
from protocol.structs import Network

FACTORY = bytes.fromhex("4e59b44847b379578588920ca78fbf26c0b4956c")
"""The deterministic-deployment proxy; call data are 32 bytes of salt and the code to run."""
FACTORY_CODE_HASH = bytes.fromhex("2fa86add0aed31f33a762c9d88e807c475bd51d0f52bd0955754b2608f7e4989")
FACTORY_SIGNER = bytes.fromhex("3fab184622dc19b6109349b94811493bf2a45362")
"""Nobody has its key: its one signature was made up, so that it can have signed nothing else."""
FACTORY_PRICE_WEI = 100_000 * 100 * 10**9
"""What its transaction may cost: the gas limit and price in it are fixed."""
FACTORY_GAS_PRICE_WEI = 100 * 10**9
FACTORY_TRANSACTION = bytes.fromhex(
    "f8a58085174876e800830186a08080b853604580600e600039806000f350fe"
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b"
    "8082525050506014600cf31ba0" + "22" * 32 + "a0" + "22" * 32
)
DEFAULT_SALT = keccak256(b"proofmesh.deployment.v1")
DEFAULT_WITHDRAWAL_DELAY_SECONDS = 3_600
MAX_FILE_BYTES = 1 << 16
_FORMAT = 1


@dataclass(frozen=True)
class Terms:
    """What is chosen when a market's contracts are deployed; nobody can change it later."""

    allow_dev: bool = False
    withdrawal_delay_seconds: int = DEFAULT_WITHDRAWAL_DELAY_SECONDS
    salt: bytes = DEFAULT_SALT


@dataclass(frozen=True)
class Planned:
    """One contract to be: the code that creates it, and where it will be."""

    name: ContractName
    creation: bytes
    address: bytes
    call_data: bytes
    """What the proxy is called with."""


def plan(terms: Terms) -> tuple[Planned, ...]:
    """Return the contracts in the order in which they are deployed: Registry, Groth16Verifier, Escrow, TokenDesk."""

    def planned(name: ContractName, creation: bytes) -> Planned:
        address = keccak256(b"\xff" + FACTORY + terms.salt + keccak256(creation))[12:]
        return Planned(name, creation, address, terms.salt + creation)

    registry = planned("Registry", bindings.deploy_registry())
    verifier = planned("Groth16Verifier", bindings.deploy_verifier())
    creation = bindings.deploy_escrow(registry.address, terms.allow_dev, terms.withdrawal_delay_seconds)
    escrow = planned("Escrow", creation)
    return registry, verifier, escrow, planned("TokenDesk", bindings.deploy_token_desk(escrow.address))


@dataclass(frozen=True)
class Deployment:
    """What a node must know of a network; logs of the contracts begin at `block`."""

    chain_id: int
    registry: bytes
    verifier: bytes
    escrow: bytes
    token_desk: bytes
    block: int
    terms: Terms
    code_hashes: Mapping[ContractName, bytes]
    """Keccak-256 of the code at each address."""

    @property
    def addresses(self) -> dict[ContractName, bytes]:
        """The address of each contract."""
        return {
            "Registry": self.registry,
            "Groth16Verifier": self.verifier,
            "Escrow": self.escrow,
            "TokenDesk": self.token_desk,
        }

    def to_json(self) -> str:
        """Return the deployment file: one JSON object, binary values in lower-case hexadecimal."""
        contracts = {
            name: {"address": "0x" + address.hex(), "code_hash": "0x" + self.code_hashes[name].hex()}
            for name, address in self.addresses.items()
        }
        fields = {
            "format": _FORMAT,
            "chain_id": self.chain_id,
            "start_block": self.block,
            "allow_dev": self.terms.allow_dev,
            "withdrawal_delay_seconds": self.terms.withdrawal_delay_seconds,
            "salt": "0x" + self.terms.salt.hex(),
            "contracts": contracts,
        }
        return json.dumps(fields, indent=2, sort_keys=True) + "\n"


def parse_deployment(text: str) -> Deployment:
    """Return what a deployment file says.

    Raises:
        DeploymentFileError: it is no such file; what is wrong is named, what it holds is not shown.
    """
    try:
        fields = bounded_json.loads(text)
    except (ValueError, RecursionError):
        raise DeploymentFileError("The deployment file is not JSON.") from None
    found = _Reader(fields)
    if found.number("format", 1 << 16) != _FORMAT:
        raise DeploymentFileError(f"The deployment file is not of format {_FORMAT}.")
    contracts: dict[ContractName, _Reader] = {
        name: found.inner("contracts").inner(name)
        for name in ("Registry", "Groth16Verifier", "Escrow", "TokenDesk")
    }
    return Deployment(
        chain_id=found.number("chain_id", 2**63),
        registry=contracts["Registry"].binary("address", 20),
        verifier=contracts["Groth16Verifier"].binary("address", 20),
        escrow=contracts["Escrow"].binary("address", 20),
        token_desk=contracts["TokenDesk"].binary("address", 20),
        block=found.number("start_block", 2**63),
        terms=Terms(
            found.flag("allow_dev"), found.number("withdrawal_delay_seconds", 2**63), found.binary("salt", 32)
        ),
        code_hashes={name: inner.binary("code_hash", 32) for name, inner in contracts.items()},
    )


def immutables(name: ContractName, network: Network, registry: bytes, terms: Terms) -> dict[str, int]:
    """Return what the immutables of a market's contract must be, as words."""
    if name == "Escrow":
        return {
            "registry": int.from_bytes(registry),
            "allowDev": int(terms.allow_dev),
            "withdrawalDelay": terms.withdrawal_delay_seconds,
            "_chainId": network.chain_id,
            "_separator": int.from_bytes(domain_separator(network)),
        }
    return {"escrow": int.from_bytes(network.escrow)} if name == "TokenDesk" else {}


def read_immutables(name: ContractName, code: bytes) -> dict[str, int] | None:
    """Return the immutables in the code of a contract on a chain, or None if that code is not our artifact's."""
    compiled = artifact(name)
    words: dict[str, int] = {}
    masked = bytearray(code)
    for variable, places in compiled.immutables.items():
        found = {code[place : place + 32] for place in places}
        if len(found) != 1:
            return None
        words[variable] = int.from_bytes(found.pop())
        for place in places:
            masked[place : place + 32] = bytes(32)
    return words if keccak256(bytes(masked)) == compiled.deployed_hash else None


class _Reader:
    """The values of one JSON object, each checked as it is taken."""

    def __init__(self, fields: Any) -> None:
        if not isinstance(fields, dict):
            raise DeploymentFileError("The deployment file lacks an object where one belongs.")
        self._fields = fields

    def inner(self, key: str) -> _Reader:
        return _Reader(self._fields.get(key))

    def number(self, key: str, limit: int) -> int:
        value = self._fields.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < limit:
            raise DeploymentFileError(f"In the deployment file, {key} is no whole number in its range.")
        return value

    def flag(self, key: str) -> bool:
        value = self._fields.get(key)
        if not isinstance(value, bool):
            raise DeploymentFileError(f"In the deployment file, {key} is neither true nor false.")
        return value

    def binary(self, key: str, size: int) -> bytes:
        value = self._fields.get(key)
        if not isinstance(value, str) or not re.fullmatch(rf"0x[0-9a-fA-F]{{{2 * size}}}", value):
            raise DeploymentFileError(f"In the deployment file, {key} is not 0x and {2 * size} hexadecimal digits.")
        return bytes.fromhex(value[2:])
