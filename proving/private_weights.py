# SPDX-License-Identifier: GPL-3.0-or-later
"""Private weights of a bundle: what everybody sees of them, and the file that only those who prove have.

A bundle with private weights shows the architecture (proving/architecture.py), the commitment and, where the weights
are folded into the verifying key, the registration proof. The weights themselves lie beside the bundle's folder,
never in it: what is in the folder is served to peers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from protocol import bounded_json
from protocol.errors import AuditError, PrivateWeightsError
from protocol.hashing import keccak256
from protocol.scalars import BN254_SCALAR_ORDER, Record
from proving.bundle import Bundle
from proving.constraints.weight_words import words_of
from proving.groth16.compiled import CompiledModel
from proving.groth16.folded import FoldedWires, fold, model_key, weight_blinding
from proving.groth16.registration import Registrar, prove_registration, verify_registration
from proving.groth16.verifying_key import canonical_json
from proving.settings import WeightMode
from proving.statement.commitment import commit_weights, derive_blinding

UNREGISTERED = Registrar(bytes(20), 0, bytes(20))
"""For a model that is not for any chain: local proofs alone."""
MAX_FILE_BYTES = 64 << 20
Word = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Address = Annotated[str, Field(pattern="^[0-9a-f]{40}$")]


class Registration(Record):
    """The public file of a bundle with folded weights; `proof` as in registration.py, in hex."""

    format: Literal["proofmesh.registration.v1"] = "proofmesh.registration.v1"
    commitment: tuple[Word, Word]
    publisher: Address
    chain_id: Annotated[int, Field(ge=0)]
    registry: Address
    proof: Annotated[str, Field(pattern="^[0-9a-f]*$")]

    @property
    def registrar(self) -> Registrar:
        return Registrar(bytes.fromhex(self.publisher), self.chain_id, bytes.fromhex(self.registry))

    @property
    def point(self) -> tuple[int, int]:
        return int(self.commitment[0], 16), int(self.commitment[1], 16)


@dataclass(frozen=True, slots=True)
class Weights:
    """One owner's weights, unsigned, in the order of the circuit's parameters, and their blinding."""

    values: tuple[int, ...] = field(repr=False)
    blinding: int = field(repr=False)


@dataclass(frozen=True, slots=True)
class Folded:
    """What folding gives: the model's verifying key, what everybody sees, what the owner keeps."""

    verifying_key: tuple[int, ...]
    commitment: bytes
    registration: bytes | None
    weights: Weights


def hide(
    model: CompiledModel, key: tuple[int, ...], secret: bytes, registrar: Registrar = UNREGISTERED
) -> Folded:
    """Return the keys and files of a model with private weights; `key` is the architecture's verifying key.

    Raises:
        SecretError: the secret has less than 16 bytes.
    """
    assert model.program.parameter_values is not None  # private weights have values
    values = tuple(int(each) for each in model.program.parameter_values)
    words = words_of(model.program)
    if model.layout.weight_mode is WeightMode.POSEIDON:
        blinding = derive_blinding(secret, b"weights" + keccak256(repr(values).encode()))
        commitment = commit_weights(words, blinding).to_bytes(32, "big")
        return Folded(key, commitment, None, Weights(values, blinding))
    wires = folded_wires(model)
    blinding = weight_blinding(secret, key, words)
    model_words, point = fold(key, words, blinding, wires)
    proof = prove_registration(key, wires, words, blinding, registrar)
    registration = Registration(
        commitment=(f"{point[0]:064x}", f"{point[1]:064x}"),
        publisher=registrar.publisher.hex(),
        chain_id=registrar.chain_id,
        registry=registrar.registry.hex(),
        proof=proof.hex(),
    )
    data = canonical_json(registration.model_dump(mode="json")).encode()
    return Folded(model_words, commitment_hash(point), data, Weights(values, blinding))


def check_registration(
    model: CompiledModel, architecture_key: Sequence[int], words: tuple[int, ...], commitment: str, data: bytes
) -> Registration:
    """Check that a model's key is its architecture's with exactly the committed weights folded in.

    Raises:
        AuditError: it is not, or the publisher does not show that he knows the weights.
    """
    registration = read_registration(data)
    wires = folded_wires(model)
    if commitment_hash(registration.point).hex() != commitment:
        raise AuditError("The commitment to the weights is not the manifest's.")
    if model_key(architecture_key, registration.point, wires) != words:
        raise AuditError("The verifying key is not the architecture's with the committed weights.")
    proof = bytes.fromhex(registration.proof)
    if not verify_registration(architecture_key, wires, registration.point, registration.registrar, proof):
        raise AuditError("The registration proof of the weights does not hold.")
    return registration


def read_registration(data: bytes) -> Registration:
    """Parse the public file; raises AuditError."""
    try:
        found = Registration.model_validate_json(data)
        if len(found.proof) % 2 == 0 and canonical_json(found.model_dump(mode="json")).encode() == data:
            return found
    except (ValidationError, ValueError):
        pass
    raise AuditError("The registration of the weights cannot be read.")


def folded_wires(model: CompiledModel) -> FoldedWires:
    """Return which public wires are weights, by the recompiled circuit."""
    public = model.emitted.public
    return FoldedWires(public.statement, len(public.weights) - 1)


def commitment_hash(point: tuple[int, int]) -> bytes:
    """Return what the Registry stores of a folded commitment: Keccak-256 of its two coordinates."""
    return keccak256(point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big"))


def weights_path(bundle_folder: Path) -> Path:
    """Return where the weights of a bundle lie: beside its folder."""
    return bundle_folder.with_name(bundle_folder.name + ".weights.json")


def require_weights(bundle: Bundle) -> None:
    """Refuse a bundle whose weights are private and not here; raises PrivateWeightsError."""
    if bundle.manifest.private_weights and not weights_path(bundle.folder).is_file():
        raise _missing()


def write_weights(path: Path, weights: Weights) -> None:
    """Write the weights for their owner alone (mode 0600)."""
    fields = {"format": "proofmesh.weights.v1", "values": weights.values, "blinding": str(weights.blinding)}
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        json.dump(fields, file)


def read_weights(path: Path, count: int) -> Weights:
    """Read the weights of a bundle.

    Raises:
        PrivateWeightsError: they are not here, or this is no file of so many weights; nothing of it is shown.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError
        fields = bounded_json.loads(path.read_text("ascii"))
        values, blinding = tuple(fields["values"]), int(fields["blinding"])
        wrong = any(type(each) is not int or each < 0 for each in values)
        if len(values) != count or wrong or not 0 <= blinding < BN254_SCALAR_ORDER:
            raise ValueError
        return Weights(values, blinding)
    except FileNotFoundError:
        raise _missing() from None
    except (OSError, ValueError, KeyError, TypeError):
        raise PrivateWeightsError(f"{path.name} does not hold the weights of this model.") from None


def _missing() -> PrivateWeightsError:
    return PrivateWeightsError(
        "The weights of this model are private, and they are not here: only their owner, and whom he gives them, "
        "can prove.",
        remedy="Ask the publisher for the file BUNDLE.weights.json, and put it beside the bundle's folder.",
    )
