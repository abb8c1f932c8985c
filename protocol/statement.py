# SPDX-License-Identifier: GPL-3.0-or-later
"""The statement of a proof and the identity of a program, hashed as the contracts hash them."""

from __future__ import annotations

from collections.abc import Sequence

from protocol.hashing import keccak256

GROTH16_BN254 = 1
EXTERNAL_VERIFIER = 2
"""Any other proof system: a contract verifies it."""


def statement_hash(program_id: bytes, public_inputs: Sequence[int]) -> bytes:
    """Return `keccak256(abi.encode(programId, uint256[] publicInputs))`."""
    head = program_id + (64).to_bytes(32, "big") + len(public_inputs).to_bytes(32, "big")
    return keccak256(head + b"".join(value.to_bytes(32, "big") for value in public_inputs))


def external_program_id(verifier: bytes, code_hash: bytes, layout: bytes, setup_id: bytes, dev: bool) -> bytes:
    """Return the id of a program of another proof system, which this verifier with this code verifies."""
    key_hash = keccak256(verifier.rjust(32, b"\0") + code_hash)
    return _program_id(EXTERNAL_VERIFIER, key_hash, layout, setup_id, dev)


def program_id(proof_system: int, vk: Sequence[int], layout: bytes, setup_id: bytes, dev: bool) -> bytes:
    """Return the id of a program; `vk` is the word list of docs/adr/0001."""
    vk_hash = keccak256(b"".join(word.to_bytes(32, "big") for word in vk))
    return _program_id(proof_system, vk_hash, layout, setup_id, dev)


def _program_id(proof_system: int, key_hash: bytes, layout: bytes, setup_id: bytes, dev: bool) -> bytes:
    return keccak256(
        proof_system.to_bytes(32, "big") + key_hash + layout + setup_id + int(dev).to_bytes(32, "big")
    )
