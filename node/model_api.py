# SPDX-License-Identifier: GPL-3.0-or-later
"""Models from Python, without a market: compile and audit, prove here, check on a chain.

`proofmesh.Client` asks the market for the same proofs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from contracts import bindings
from contracts.abi import artifact
from contracts.rpc import Rpc
from node.model_settings import parse_settings
from node.opening_file import fresh_secrets
from protocol.binding import local_binding
from protocol.errors import ChainError, ContractRefusal
from protocol.hashing import keccak256
from proving.audit import audit
from proving.bundle import Bundle
from proving.inputs import Record, parse_inputs
from proving.prover import prove
from proving.publish import Publication, build, onnx_source
from proving.readout import read_out
from proving.statement.commitment import Secrets

NOBODY = bytes(20)


@dataclass(frozen=True, slots=True)
class LocalProof:
    """A proof made on this machine: 256 bytes, the words of its statement, and what they say.

    `secrets` open the commitments; they are the prover's own, and no part of what is shown.
    """

    proof: bytes
    public_inputs: tuple[int, ...]
    said: dict[str, object]
    secrets: Secrets = field(repr=False)


def bundle_model(onnx: bytes, settings: Mapping[str, object], folder: str | Path, name: str = "model") -> Bundle:
    """Compile a model, make development keys, audit them, and return the bundle, a folder in `folder`.

    Args:
        onnx: the model file. `settings`: as in the settings file (docs/MODELS.md).

    Raises:
        ModelError: one of its kinds: the model or the settings are not acceptable.
        BundleError: the folder cannot be written.
    """
    parsed = parse_settings(json.dumps(settings).encode())
    publication = Publication(name, provenance=parsed.provenance)
    bundle = build(onnx_source(onnx, parsed.settings), Path(folder), publication)
    audit(bundle)
    return bundle


def prove_local(
    bundle: Bundle,
    record: Record,
    *,
    chain_id: int = 0,
    consumer: bytes = NOBODY,
    subject: bytes = NOBODY,
    secrets: Secrets | None = None,
) -> LocalProof:
    """Prove the model's output for a record; the record stays on this machine.

    Args:
        record: numbers by input name, or in the model's order.
        chain_id, consumer, subject: the chain, contract and wallet that the proof is bound to.
        secrets: the opening of commitments made earlier; None draws one.

    Raises:
        ProvingError: the record does not fit the model, or no proof can be made.
    """
    layout = bundle.manifest.statement_layout
    values = parse_inputs(bundle.manifest.inputs, record)
    own = secrets or fresh_secrets(len(layout.groups) - 1)
    made = prove(bundle.folder, values, own, local_binding(chain_id, consumer, subject))
    said = read_out(bundle.manifest, made.public_inputs, values, own)
    return LocalProof(made.proof, made.public_inputs, said, own)


def verify_on_chain(bundle: Bundle, proof: LocalProof, rpc_url: str, verifier: bytes) -> bool:
    """Say whether the Groth16Verifier contract at an address accepts a proof of the bundle's program.

    It asks for the proof alone: what the proof is bound to is its last word, for whoever relies on it to compare.

    Raises:
        ChainError: the chain does not answer, or has no Groth16Verifier of this version at the address.
    """
    call = bindings.verify(bundle.manifest.words, proof.public_inputs, proof.proof)
    with Rpc(rpc_url) as rpc:
        _require_verifier(rpc, verifier)
        try:
            rpc.eth_call(verifier, call)
        except ContractRefusal:
            return False
    return True


def _require_verifier(rpc: Rpc, address: bytes) -> None:
    """The verifier answers with nothing where it accepts, and so does an address without code to anything."""
    code = bytes.fromhex(rpc.call("eth_getCode", "0x" + address.hex(), "latest")[2:])
    if keccak256(code) != artifact("Groth16Verifier").deployed_hash:
        raise ChainError(
            f"There is no Groth16Verifier of this version at 0x{address.hex()}.",
            remedy="Check the address, and that rpc_url is the chain on which the contracts are deployed.",
        )
