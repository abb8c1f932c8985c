# SPDX-License-Identifier: GPL-3.0-or-later
"""A program of another proof system on a test chain: its verifier takes a hash of the statement for a proof."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from escrow_market import Market, account, model_record
from eth_abi.abi import encode

from contracts import bindings
from contracts.compile import compile_sources
from contracts.toolchain import CHECKOUT
from protocol.hashing import keccak256
from protocol.statement import external_program_id


@dataclass(frozen=True)
class External:
    """The program, a model of it with a royalty, and what verifies its proofs."""

    program_id: bytes
    model_id: bytes
    verifier: bytes
    code_hash: bytes


def hash_proof(inputs: Sequence[int]) -> bytes:
    """What contracts/test/Verifiers.sol takes for a proof of the inputs."""
    return keccak256(encode(["string", "uint256[]"], ["hash proof", list(inputs)]))


@cache
def hash_verifier() -> bytes:
    """The creation code of the verifier, compiled once a process (and what it forks)."""
    names = ("test/Verifiers.sol", "src/IProofVerifier.sol")
    sources = {name: (CHECKOUT / "contracts" / name).read_text(encoding="utf-8") for name in names}
    found = compile_sources(sources)["contracts"]["test/Verifiers.sol"]["HashVerifier"]
    return bytes.fromhex(found["evm"]["bytecode"]["object"]) + bytes(32)


def register_external(chain: Market) -> External:
    """Deploy the verifier, register its program and publish a model."""
    publisher = account("publisher")
    verifier = bytes.fromhex(chain.rpc.transact(publisher, None, hash_verifier())["contractAddress"][2:])
    code_hash = keccak256(bytes.fromhex(chain.rpc.call("eth_getCode", "0x" + verifier.hex(), "latest")[2:]))
    chain.register(publisher, bindings.register_verifier(verifier, bytes(32), bytes(32), True))
    program = external_program_id(verifier, code_hash, bytes(32), bytes(32), True)
    record = model_record(program)
    chain.register(publisher, bindings.publish_model(record))
    return External(program, bindings.model_id(publisher.address, record), verifier, code_hash)
