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
from proving.fixedpoint.program import Revealed
from proving.groth16.verifying_key import canonical_json, check_words, dev_setup_id
from proving.settings import InputRange, ModelSettings, WeightMode
from proving.settings_record import InputRecord, SettingsRecord
from proving.statement.layout import Layout

MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 20
PROVING_KEY_NAME, VERIFYING_KEY_NAME = "proving.zkey", "verifying.json"
TRANSCRIPT_NAME = "setup.json"
"""The contributions to a ceremony's key; only there with `setup_kind` ceremony."""
REGISTRATION_NAME = "registration.json"
"""The commitment to folded weights and the proof that its owner knows them; only there with folded weights."""
MAX_MODEL_BYTES, MAX_KEY_BYTES, MAX_SIDE_BYTES = 64 << 20, 1 << 30, 4 << 20
MAX_MODEL_FILES = 16

Hex32 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**40)]
Number = Annotated[str, Field(pattern=r"^-?[0-9]{1,80}(\.[0-9]{1,40})?$")]
Whole = Annotated[str, Field(pattern=r"^-?[0-9]{1,80}$")]
"""A decimal figure as text, so that the JSON needs no floats."""
Text = Annotated[str, Field(max_length=2_000)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class FileEntry(Record):
    """One file: SHA-256 in hex, the root over the hashes of its chunks (protocol/chunks.py), and size in bytes."""

    name: FileName
    sha256: Hex32
    chunk_root: Hex32
    size: Annotated[int, Field(ge=1)]


class OutputEntry(Record):
    """What the outputs in the statement say, in numbers and in words.

    `labels` are the classes in the model's order; `positive` is the one that a single score speaks for. A value n
    that is shown, sealed or committed stands for `(n - offset) / 2^scale`; `bits` is its width, `count` how many
    there are. `threshold_score` is the integer that a predicate compares with, at `scale_bits` fractional bits.
    """

    labels: Annotated[tuple[Text, ...], Field(max_length=4096)]
    name: Name
    count: Count
    bits: Count
    offset: Whole
    scale: Count
    scale_bits: Count
    threshold_score: Whole | None
    meaning: Text


class Metric(Record):
    """A figure by name, such as `held_out_accuracy` 0.8061."""

    name: Name
    value: Number


class Layer(Record):
    """Constraints of one layer of the model, or of the statement."""

    name: Text
    constraints: Count


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

    format: Literal["proofmesh.bundle.v3"] = "proofmesh.bundle.v3"
    name: Name
    backend: Literal["groth16", "circom"] = "groth16"
    model_files: Annotated[tuple[FileName, ...], Field(min_length=1, max_length=MAX_MODEL_FILES)]
    """The model as its publisher gave it; the first is where to start."""
    proof_system: Literal[1] = 1
    program_id: Hex32
    layout: Hex32
    circuit_hash: Hex32
    setup_kind: Literal["dev", "ceremony"]
    setup_id: Hex32
    verifying_key: Annotated[tuple[Hex32, ...], Field(min_length=18, max_length=2_064)]
    weights_commitment: Hex32 = "0" * 64
    """Of private weights: the hash of the folded point, or the word of the statement (Poseidon)."""
    weight_words: Count
    """How many words the circuit packs its private weights into."""
    constraints: Count
    wires: Count
    domain: Count
    settings_record: SettingsRecord
    threshold_input: InputRecord | None
    """The threshold as the last input, where it is a public input."""
    output: OutputEntry
    accuracy: Annotated[tuple[Metric, ...], Field(max_length=64)]
    layers: Annotated[tuple[Layer, ...], Field(max_length=1024)]
    provenance: Provenance
    files: Annotated[tuple[FileEntry, ...], Field(min_length=3, max_length=MAX_MODEL_FILES + 4)]

    @property
    def settings(self) -> ModelSettings:
        """What the model was compiled with."""
        return self.settings_record.settings()

    @property
    def inputs(self) -> tuple[InputRange, ...]:
        """The fields of the input, in the model's order; a threshold that is a public input comes last."""
        threshold = () if self.threshold_input is None else (self.threshold_input.range(),)
        return (*self.settings.inputs, *threshold)

    @property
    def statement_layout(self) -> Layout:
        """What the words of a proof's statement mean; its digest is `layout`."""
        settings, output = self.settings, self.output
        threshold = None if output.threshold_score is None else int(output.threshold_score)
        revealed = Revealed(0, output.name, output.count, output.bits, int(output.offset), output.scale)
        mode = settings.weights.mode
        return Layout(self.inputs, settings.output, revealed, threshold, output.scale_bits, mode, self.weight_words)

    @property
    def words(self) -> tuple[int, ...]:
        """The verifying key as the words of docs/adr/0001."""
        return tuple(int(word, 16) for word in self.verifying_key)

    @property
    def dev(self) -> bool:
        """Whether anybody could forge proofs under these keys."""
        return self.setup_kind == "dev"

    @property
    def private_weights(self) -> bool:
        """Whether only who has the file of weights can prove."""
        return self.settings.weights.mode is not WeightMode.CONSTANT

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


def size_limit(manifest: Manifest, name: str) -> int:
    """Return how many bytes a file of the bundle may have."""
    if name in manifest.model_files:
        return MAX_MODEL_BYTES
    return MAX_KEY_BYTES if name == PROVING_KEY_NAME else MAX_SIDE_BYTES


def expected_files(manifest: Manifest) -> set[str]:
    """Return the names of the files that a bundle with this manifest has, besides the manifest."""
    names = {*manifest.model_files, PROVING_KEY_NAME, VERIFYING_KEY_NAME}
    if not manifest.dev:
        names.add(TRANSCRIPT_NAME)
    if manifest.settings.weights.mode is WeightMode.FOLDED:
        names.add(REGISTRATION_NAME)
    return names


def _check_consistent(manifest: Manifest) -> None:
    try:
        check_words(manifest.words)
        wanted = expected_files(manifest)
        described = manifest.statement_layout.digest().hex()
    except (ProofmeshError, ValueError) as error:
        reason = error.message if isinstance(error, ProofmeshError) else "a number is none."
        raise ManifestError(f"The manifest describes no program: {reason}") from None
    if described != manifest.layout:
        raise ManifestError("The manifest's layout is not that of its inputs and outputs.")
    names = [each.name for each in manifest.files]
    reserved = {MANIFEST_NAME, PROVING_KEY_NAME, VERIFYING_KEY_NAME, TRANSCRIPT_NAME, REGISTRATION_NAME}
    if len(set(manifest.model_files)) != len(manifest.model_files) or reserved & {*manifest.model_files}:
        raise ManifestError("A file of the model has a name that is taken.")
    if sorted(names) != sorted(wanted):
        raise ManifestError(f"This bundle must have exactly the files {', '.join(sorted(wanted))}.")
    if manifest.dev and manifest.setup_id != dev_setup_id(manifest.words).hex():
        raise ManifestError("The manifest's set-up id is not that of its verifying key.")
    layout, setup_id = bytes.fromhex(manifest.layout), bytes.fromhex(manifest.setup_id)
    expected = program_id(manifest.proof_system, manifest.words, layout, setup_id, manifest.dev)
    if manifest.program_id != expected.hex():
        raise ManifestError("The manifest's program id is not that of its key, layout and set-up.")


def files_of(data: bytes) -> tuple[tuple[str, str, str, int], ...]:
    """Return (name, SHA-256 in hex, root of its chunks in hex, size) of each file that a manifest's bytes name."""
    return tuple((each.name, each.sha256, each.chunk_root, each.size) for each in read_manifest(data).files)
