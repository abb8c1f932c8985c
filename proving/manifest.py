# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of a bundle: canonical JSON that names every file by hash and says what the proof means.

Canonical: keys sorted, no blanks, ASCII, no floats (figures are decimal strings). The bundle's id is SHA-256
of these bytes. Bytes that do not re-encode to themselves are refused.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from protocol.errors import ManifestError, ProofmeshError
from protocol.scalars import Record
from protocol.statement import program_id
from proving.groth16.verifying_key import canonical_json, check_words, dev_setup_id
from proving.settings import InputRange, OutputMode, Settings

MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
MODEL_NAME, CIRCUIT_NAME = "model.onnx", "circuit.r1cs"
PROVING_KEY_NAME, VERIFYING_KEY_NAME = "proving.key", "verifying.key"
SIZE_LIMITS = {
    MODEL_NAME: 32 << 20,
    CIRCUIT_NAME: 1 << 30,
    PROVING_KEY_NAME: 1 << 30,
    VERIFYING_KEY_NAME: 1 << 20,
}
"""The files of a bundle, all of them, with the bytes that each may have."""

Hex32 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**40)]
Number = Annotated[str, Field(pattern=r"^-?[0-9]{1,80}(\.[0-9]{1,40})?$")]
"""A decimal figure as text, so that the JSON needs no floats."""
Text = Annotated[str, Field(max_length=2_000)]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class FileEntry(Record):
    """One file: SHA-256 in hex, and size in bytes."""

    name: Name
    sha256: Hex32
    size: Annotated[int, Field(ge=1)]


class InputEntry(Record):
    """One raw integer input: `low <= x < low + 2^bits`."""

    name: Name
    low: int
    bits: int


class OutputEntry(Record):
    """What the public outputs say, in numbers and in words.

    predicate: 1 if and only if `score >= threshold_score` (the logit at `scale_bits` fractional bits), which
    is the probability `threshold` of the label `positive`. public: signed scores in units of 2^-score_bits.
    """

    mode: Literal["public", "predicate"]
    labels: Annotated[tuple[Text, ...], Field(min_length=2, max_length=4096)]
    positive: Text
    threshold: Number | None
    threshold_score: Number | None
    threshold_logit: Number | None
    scale_bits: Count
    score_bits: Count
    meaning: Text


class Metric(Record):
    """A figure by name, such as `held_out_accuracy` 0.8061."""

    name: Name
    value: Number


class Provenance(Record):
    """Where the model comes from, as its publisher says; the registry holds the same hashes."""

    description: Text = ""
    licence: Annotated[str, Field(max_length=64)] = ""
    preparation: Text = ""
    training_data_root: Hex32 = "0" * 64
    training_record_hash: Hex32 = "0" * 64
    parent_model: Hex32 = "0" * 64
    metrics: Annotated[tuple[Metric, ...], Field(max_length=64)] = ()


class Manifest(Record):
    """Everything that a node shows, hashes or checks of a bundle."""

    format: Literal["proofmesh.bundle.v1"] = "proofmesh.bundle.v1"
    name: Name
    backend: Literal["groth16-bn254"] = "groth16-bn254"
    proof_system: Literal[1] = 1
    program_id: Hex32
    layout: Hex32
    circuit_hash: Hex32
    setup_kind: Literal["dev"]
    setup_id: Hex32
    verifying_key: Annotated[tuple[Hex32, ...], Field(min_length=18, max_length=2_064)]
    constraints: Count
    wires: Count
    domain: Count
    fractional_bits: Count
    inputs: Annotated[tuple[InputEntry, ...], Field(min_length=1, max_length=4096)]
    output: OutputEntry
    accuracy: Annotated[tuple[Metric, ...], Field(max_length=64)]
    provenance: Provenance
    files: Annotated[tuple[FileEntry, ...], Field(min_length=4, max_length=4)]

    @property
    def ranges(self) -> tuple[InputRange, ...]:
        """The inputs, in the model's order."""
        return tuple(InputRange(each.name, each.low, each.bits) for each in self.inputs)

    @property
    def settings(self) -> Settings:
        """What the model was compiled with."""
        mode = OutputMode(self.output.mode)
        return Settings(
            self.ranges, mode, self.output.threshold, self.fractional_bits, self.output.score_bits
        )

    @property
    def words(self) -> tuple[int, ...]:
        """The verifying key as the words of docs/adr/0001."""
        return tuple(int(word, 16) for word in self.verifying_key)

    @property
    def dev(self) -> bool:
        """Whether one party made the keys and could forge proofs."""
        return self.setup_kind == "dev"

    @property
    def public_inputs(self) -> int:
        """How many public inputs a proof has."""
        return (len(self.verifying_key) - 14) // 2 - 1

    def file(self, name: str) -> FileEntry:
        """Return the entry of one of the bundle's files."""
        return next(each for each in self.files if each.name == name)

    def to_bytes(self) -> bytes:
        """Return the canonical JSON."""
        return canonical_json(self.model_dump(mode="json")).encode("ascii")

    def bundle_id(self) -> bytes:
        """Return SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.to_bytes()).digest()


def read_manifest(data: bytes) -> Manifest:
    """Parse a manifest and check that it agrees with itself.

    Raises:
        ManifestError: it is too large, unknown, not canonical, or contradicts itself.
    """
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"The manifest has {len(data)} bytes; the limit is {MAX_MANIFEST_BYTES}.")
    try:
        manifest = Manifest.model_validate_json(data)
        canonical = manifest.to_bytes() == data
    except (ValidationError, ValueError) as error:
        place = ".".join(map(str, error.errors()[0]["loc"])) if isinstance(error, ValidationError) else ""
        raise ManifestError(f"The manifest is not acceptable at {place or 'its start'}.") from None
    if not canonical:
        raise ManifestError("The manifest is not in its canonical form.")
    _check_consistent(manifest)
    return manifest


def _check_consistent(manifest: Manifest) -> None:
    names = [each.name for each in manifest.files]
    if sorted(names) != sorted(SIZE_LIMITS):
        raise ManifestError(f"A bundle has exactly the files {', '.join(sorted(SIZE_LIMITS))}.")
    try:
        check_words(manifest.words)
        _ = manifest.settings
    except ProofmeshError as error:
        raise ManifestError(f"The manifest describes no program: {error.message}") from None
    if manifest.setup_id != dev_setup_id(manifest.words).hex():
        raise ManifestError("The manifest's set-up id is not that of its verifying key.")
    layout, setup_id = bytes.fromhex(manifest.layout), bytes.fromhex(manifest.setup_id)
    expected = program_id(manifest.proof_system, manifest.words, layout, setup_id, manifest.dev)
    if manifest.program_id != expected.hex():
        raise ManifestError("The manifest's program id is not that of its key, layout and set-up.")


def files_of(data: bytes) -> tuple[tuple[str, str, int], ...]:
    """Return (name, SHA-256 in hex, size) of each file that a manifest's bytes name."""
    return tuple((each.name, each.sha256, each.size) for each in read_manifest(data).files)
