# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the contracts on a chain are those that this version was built with, and say what they should."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from contracts.abi import ContractName
from contracts.chain_features import require_features
from contracts.deploy import code_at
from contracts.deployment import Deployment, immutables, read_immutables
from contracts.rpc import Rpc
from protocol.eip712 import domain_separator
from protocol.errors import UnsuitableChainError
from protocol.hashing import keccak256
from protocol.structs import Network


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `detail` says what was found, or what is wrong."""

    subject: str
    good: bool
    detail: str


def inspect(rpc: Rpc, network: Network, registry: bytes, deployment: Deployment | None) -> tuple[Finding, ...]:
    """Compare a chain with the artifacts, the settings (network and registry), and a deployment file if there is one.

    Code is compared as a whole, with the immutables taken out; these are then compared one by one.

    Raises:
        ChainError: the RPC cannot be used.
    """
    return tuple(_findings(rpc, network, registry, deployment))


def _findings(rpc: Rpc, network: Network, registry: bytes, deployment: Deployment | None) -> Iterator[Finding]:
    found = rpc.quantity("eth_chainId")
    yield Finding("chain", found == network.chain_id, f"id {found}")
    try:
        require_features(rpc)
        yield Finding("instructions", True, "BN254 precompiles, Cancun")
    except UnsuitableChainError as error:
        yield Finding("instructions", False, error.message)
    if deployment is not None:
        same = (deployment.chain_id, deployment.escrow, deployment.registry) == (
            network.chain_id,
            network.escrow,
            registry,
        )
        yield Finding("deployment file", same, "as the settings" if same else "is of other contracts than the settings")
    yield from _contract(rpc, "Registry", registry, {}, deployment)
    yield from _escrow(rpc, network, registry, deployment)
    if deployment is not None:
        desk = immutables("TokenDesk", network, registry, deployment.terms)
        yield from _contract(rpc, "Groth16Verifier", deployment.verifier, {}, deployment)
        yield from _contract(rpc, "TokenDesk", deployment.token_desk, desk, deployment)


def _escrow(rpc: Rpc, network: Network, registry: bytes, deployment: Deployment | None) -> Iterator[Finding]:
    expected = {
        "registry": int.from_bytes(registry),
        "_chainId": network.chain_id,
        "_separator": int.from_bytes(domain_separator(network)),
    }
    if deployment is not None:
        expected = immutables("Escrow", network, registry, deployment.terms)
    yield from _contract(rpc, "Escrow", network.escrow, expected, deployment)


def _contract(
    rpc: Rpc, name: ContractName, address: bytes, expected: dict[str, int], deployment: Deployment | None
) -> Iterator[Finding]:
    code = code_at(rpc, address)
    where = f"0x{address.hex()}"
    words = read_immutables(name, code) if code else None
    if words is None:
        yield Finding(name, False, f"{where}: {'other code than was built' if code else 'no code'}")
        return
    recorded = deployment.code_hashes.get(name) if deployment is not None else None
    if recorded is not None and recorded != keccak256(code):
        yield Finding(name, False, f"{where}: as built, but not what the deployment file says")
    else:
        yield Finding(name, True, f"{where}: as built")
    for variable, word in words.items():
        good = expected.get(variable, word) == word
        shown = _shown(variable, word)
        wanted = "" if good else f"; expected: {_shown(variable, expected[variable])}"
        yield Finding(f"{name}.{variable.removeprefix('_')}", good, shown + wanted)


def _shown(variable: str, word: int) -> str:
    if variable in ("registry", "escrow"):
        return f"0x{word:040x}"
    if variable == "_separator":
        return f"0x{word:064x}"
    if variable == "allowDev":
        return "development keys are accepted: not for real funds" if word else "development keys are refused"
    return str(word)
