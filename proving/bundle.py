# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles: a folder with a manifest and the four files that it names by hash.

`build` compiles, sets up and writes one; `load` checks every byte of one. What a loaded bundle *claims* about
its model is checked by the audit (proving/audit.py).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from protocol.errors import BundleError, BundleFilesError, BundleHashError, BundleTooLargeError
from protocol.statement import GROTH16_BN254, program_id
from proving.backend import CompiledModel, Keys
from proving.groth16.backend import GROTH16
from proving.groth16.verifying_key import canonical_json, snarkjs_of
from proving.manifest import (
    CIRCUIT_NAME,
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    MODEL_NAME,
    SIZE_LIMITS,
    VERIFYING_KEY_NAME,
    FileEntry,
    InputEntry,
    Manifest,
    Metric,
    OutputEntry,
    Provenance,
    read_manifest,
)
from proving.settings import OutputMode, Settings

DECIMALS_SHOWN = 6


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose bytes are those that its manifest names."""

    folder: Path
    id: bytes
    manifest: Manifest

    def path(self, name: str) -> Path:
        """Return the path of one of the bundle's files."""
        return self.folder / self.manifest.file(name).name

    def model(self) -> bytes:
        """Return the ONNX file."""
        return self.path(MODEL_NAME).read_bytes()


def build(
    model: bytes,
    settings: Settings,
    store: Path,
    name: str,
    *,
    accuracy: Sequence[Metric] = (),
    provenance: Provenance | None = None,
) -> Bundle:
    """Compile a model, make development keys, and write the bundle as `store/<bundle id in hex>`.

    Raises:
        ModelError: the model cannot become a circuit.
        BundleError: the folder cannot be written.
    """
    compiled = GROTH16.compile(model, settings)
    try:
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store, prefix=".building-") as temporary:
            folder = Path(temporary) / "bundle"
            folder.mkdir()
            keys = GROTH16.setup(compiled, folder)
            files = _write_files(folder, model, compiled, keys)
            manifest = describe(
                compiled, keys, settings, files, name, tuple(accuracy), provenance or Provenance()
            )
            (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())
            target = folder.rename(store / manifest.bundle_id().hex())
    except OSError as error:
        raise BundleError(f"The bundle cannot be written ({type(error).__name__}).") from None
    return load(target, manifest.bundle_id())


def _write_files(
    folder: Path, model: bytes, compiled: CompiledModel, keys: Keys
) -> tuple[FileEntry, ...]:
    (folder / MODEL_NAME).write_bytes(model)
    (folder / CIRCUIT_NAME).write_bytes(compiled.circuit_bytes)
    (folder / VERIFYING_KEY_NAME).write_text(canonical_json(snarkjs_of(keys.verifying_key)), "ascii")
    return tuple(_entry(folder / name) for name in sorted(SIZE_LIMITS))


def _entry(path: Path) -> FileEntry:
    return FileEntry(name=path.name, sha256=_digest(path), size=path.stat().st_size)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe(
    compiled: CompiledModel,
    keys: Keys,
    settings: Settings,
    files: tuple[FileEntry, ...],
    name: str,
    accuracy: tuple[Metric, ...],
    provenance: Provenance,
) -> Manifest:
    """Return the manifest of a compiled model with its keys."""
    system = compiled.system
    estimate = GROTH16.estimate(len(system.constraints), system.public)
    identity = program_id(GROTH16_BN254, keys.verifying_key, compiled.layout, keys.setup_id, keys.dev)
    return Manifest(
        name=name,
        program_id=identity.hex(),
        layout=compiled.layout.hex(),
        circuit_hash=compiled.circuit_hash.hex(),
        setup_kind="dev",
        setup_id=keys.setup_id.hex(),
        verifying_key=tuple(f"{word:064x}" for word in keys.verifying_key),
        constraints=len(system.constraints),
        wires=system.wires,
        domain=estimate.domain,
        fractional_bits=settings.fractional_bits,
        inputs=tuple(InputEntry(name=each.name, low=each.low, bits=each.bits) for each in settings.inputs),
        output=describe_output(compiled, settings),
        accuracy=accuracy,
        provenance=provenance,
        files=files,
    )


def describe_output(compiled: CompiledModel, settings: Settings) -> OutputEntry:
    """Return what the public outputs mean; a function of model and settings, so the audit can compare it."""
    program, labels = compiled.program, compiled.labels
    exact: str | None = None
    logit: str | None = None
    if program.output.mode is OutputMode.PREDICATE:
        logit = _shown(program.output.threshold, program.scale_bits)
        exact = str(program.output.threshold)
        meaning = (
            f"1 if the model gives {labels[-1]!r} a probability of at least {settings.threshold} "
            f"(a logit of at least {logit}), otherwise 0"
        )
    else:
        kind = f"logit of {labels[-1]!r}" if len(labels) == 2 else "logits of the labels in their order"
        meaning = f"{kind}, rounded down to multiples of 2^-{settings.score_bits}"
    return OutputEntry(
        mode=program.output.mode.value,
        labels=labels,
        positive=labels[-1],
        threshold=settings.threshold,
        threshold_score=exact,
        threshold_logit=logit,
        scale_bits=program.scale_bits,
        score_bits=settings.score_bits,
        meaning=meaning,
    )


def _shown(score: int, scale_bits: int) -> str:
    """Return `score / 2^scale_bits` to six decimals, towards zero, in integers."""
    millionths = abs(score) * 10**DECIMALS_SHOWN >> scale_bits
    whole, rest = divmod(millionths, 10**DECIMALS_SHOWN)
    return f"{'-' if score < 0 else ''}{whole}.{rest:0{DECIMALS_SHOWN}d}"


def load(folder: Path, expected_id: bytes | None = None) -> Bundle:
    """Read a bundle and check the hash and size of every file.

    Raises:
        BundleFilesError: a file is missing, unknown, or no plain file.
        BundleTooLargeError: a file passes its limit.
        BundleHashError: a file, or the manifest against `expected_id`, differs.
        ManifestError: the manifest is not acceptable.
    """
    _check_names(folder)
    manifest_path = folder / MANIFEST_NAME
    if manifest_path.stat().st_size > MAX_MANIFEST_BYTES:
        raise BundleTooLargeError(f"{MANIFEST_NAME} passes {MAX_MANIFEST_BYTES} bytes.")
    data = manifest_path.read_bytes()
    identity = hashlib.sha256(data).digest()
    if expected_id is not None and identity != expected_id:
        raise BundleHashError(f"{MANIFEST_NAME} is not the one with the id {expected_id.hex()}.")
    manifest = read_manifest(data)
    for entry in manifest.files:
        _check_file(folder / entry.name, entry)
    bundle = Bundle(folder, identity, manifest)
    _check_key_and_circuit(bundle)
    return bundle


def _check_names(folder: Path) -> None:
    expected = {MANIFEST_NAME, *SIZE_LIMITS}
    try:
        found = {entry.name: entry.is_file(follow_symlinks=False) for entry in os.scandir(folder)}
    except OSError as error:
        raise BundleFilesError(f"The bundle's folder cannot be read ({type(error).__name__}).") from None
    wrong = sorted(expected ^ set(found))
    if wrong:
        raise BundleFilesError(f"The bundle misses or should not have {wrong[0]!r:.100}.")
    if not all(found.values()):
        raise BundleFilesError("A file of the bundle is a link or no plain file.")


def _check_file(path: Path, entry: FileEntry) -> None:
    size = path.stat().st_size
    if size > SIZE_LIMITS[entry.name]:
        raise BundleTooLargeError(f"{entry.name} passes {SIZE_LIMITS[entry.name]} bytes.")
    if size != entry.size or _digest(path) != entry.sha256:
        raise BundleHashError(f"{entry.name} is not the file that the manifest names.")


def _check_key_and_circuit(bundle: Bundle) -> None:
    key = bundle.path(VERIFYING_KEY_NAME).read_bytes()
    if key != canonical_json(snarkjs_of(bundle.manifest.words)).encode():
        raise BundleHashError(f"{VERIFYING_KEY_NAME} is not the key in the manifest.")
    circuit = bytes.fromhex(bundle.manifest.file(CIRCUIT_NAME).sha256)
    digest = hashlib.sha256(circuit + bytes.fromhex(bundle.manifest.layout)).hexdigest()
    if digest != bundle.manifest.circuit_hash:
        raise BundleHashError("The circuit hash is not that of the circuit and the layout.")
