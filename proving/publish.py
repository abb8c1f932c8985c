# SPDX-License-Identifier: GPL-3.0-or-later
"""From a model to a bundle: compile, make or take keys, write the files and the manifest that names them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from protocol.errors import BundleError
from protocol.statement import GROTH16_BN254, program_id
from proving import setup_record
from proving.architecture import without_weights
from proving.backends.base import Compiled, Format, KeyPair, ModelSource
from proving.backends.registry import get
from proving.bundle import Bundle, entry_of, load, verifying_key_json
from proving.describe import describe_output
from proving.groth16.ceremony import verify
from proving.groth16.compiled import CompiledModel
from proving.groth16.phase1 import phase1_id
from proving.groth16.registration import Registrar
from proving.groth16.verifying_key import bytes_of, from_bytes
from proving.groth16.zkey import read_zkey, verifying_words
from proving.manifest import (
    MANIFEST_NAME,
    PROVING_KEY_NAME,
    REGISTRATION_NAME,
    TRANSCRIPT_NAME,
    VERIFYING_KEY_NAME,
    FileEntry,
    Layer,
    Manifest,
    Metric,
    Provenance,
)
from proving.private_weights import UNREGISTERED, Folded, hide, weights_path, write_weights
from proving.settings import ModelSettings, WeightMode
from proving.settings_record import input_record, record_of

MODEL_NAME = "model.onnx"
MAX_LAYERS = 256
"""Layers that the manifest lists; what is beyond is summed up in the last."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What a publisher adds to a model and its settings: a name, figures, provenance, and what hides his weights."""

    name: str = "model"
    accuracy: Sequence[Metric] = ()
    provenance: Provenance = field(default_factory=Provenance)
    secret: bytes = field(default=b"", repr=False)
    """The publisher's, from which the blinding of private weights is drawn."""
    registrar: Registrar = UNREGISTERED
    """Who registers folded weights where; the registration proof is good for this alone."""


def onnx_source(model: bytes, settings: ModelSettings) -> ModelSource:
    """Return an ONNX file with its settings as a backend takes it."""
    return ModelSource(Format.ONNX, MODEL_NAME, {MODEL_NAME: model}, settings)


def build(source: ModelSource, store: Path, publication: Publication, backend: str | None = None) -> Bundle:
    """Compile a model, make development keys, and write the bundle as `store/<bundle id in hex>`.

    Raises:
        ModelError: the model cannot become a circuit.
        BundleError: the folder cannot be written.
    """
    chosen = get(backend or ("circom" if source.format is Format.CIRCOM else "groth16"))
    compiled = chosen.compile(source)
    return assemble(source, store, publication, compiled, lambda folder: chosen.setup(compiled, folder))


def build_from_ceremony(
    source: ModelSource, store: Path, publication: Publication, backend: str, zkey: Path, ptau: Path
) -> Bundle:
    """Compile a model, verify the ceremony that made its final key, and write the bundle.

    Raises:
        ModelError: the model cannot become a circuit.
        AuditError: the ceremony was not about this circuit and these powers of tau, or one of its steps does not hold.
        BundleError: the folder cannot be written.
    """
    compiled = get(backend).compile(source)
    transcript = verify(compiled.circuit.system, ptau, zkey)
    final = read_zkey(zkey)
    record = setup_record.record_of(transcript, phase1_id(final.alpha1, final.beta2))

    def keys(folder: Path) -> KeyPair:
        (folder / TRANSCRIPT_NAME).write_bytes(record.to_bytes())
        shutil.copyfile(zkey, folder / PROVING_KEY_NAME)
        digest = entry_of(folder / PROVING_KEY_NAME).sha256
        return KeyPair(folder / PROVING_KEY_NAME, digest, bytes_of(verifying_words(final)), transcript.digest, False)

    return assemble(source, store, publication, compiled, keys)


def assemble(
    source: ModelSource,
    store: Path,
    publication: Publication,
    compiled: Compiled,
    make_keys: Callable[[Path], KeyPair],
) -> Bundle:
    """Write the bundle of a compiled model; `make_keys` puts the keys into a folder. Raises BundleError."""
    try:
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=store, prefix=".building-") as temporary:
            folder = Path(temporary) / "bundle"
            folder.mkdir()
            keys = make_keys(folder)
            hidden = _hidden(compiled, keys, publication)
            manifest = _write(folder, source, publication, compiled, keys, hidden)
            target = store / manifest.bundle_id().hex()
            if hidden is not None:
                write_weights(weights_path(target), hidden.weights)
            if target.exists():
                shutil.rmtree(folder)
            else:
                folder.rename(target)
    except OSError as error:
        raise BundleError(f"The bundle cannot be written ({type(error).__name__}).") from None
    return load(target, manifest.bundle_id())


def _hidden(compiled: Compiled, keys: KeyPair, publication: Publication) -> Folded | None:
    model = compiled.circuit
    if not isinstance(model, CompiledModel) or model.layout.weight_mode is WeightMode.CONSTANT:
        return None
    return hide(model, from_bytes(keys.verifying_key), publication.secret, publication.registrar)


def _write(
    folder: Path,
    source: ModelSource,
    publication: Publication,
    compiled: Compiled,
    keys: KeyPair,
    hidden: Folded | None,
) -> Manifest:
    names = (source.main, *sorted(set(source.files) - {source.main}))
    for name in names:
        data = source.files[name]
        if hidden is not None:
            data = without_weights(data, source.settings, compiled.circuit)
        (folder / name).write_bytes(data)
    if hidden is not None and hidden.registration is not None:
        (folder / REGISTRATION_NAME).write_bytes(hidden.registration)
    if keys.proving_key.name != PROVING_KEY_NAME:
        keys.proving_key.rename(folder / PROVING_KEY_NAME)
    words = from_bytes(keys.verifying_key) if hidden is None else hidden.verifying_key
    (folder / VERIFYING_KEY_NAME).write_bytes(verifying_key_json(words))
    files = tuple(entry_of(path) for path in sorted(folder.iterdir()))
    commitment = bytes(32) if hidden is None else hidden.commitment
    manifest = describe(source, publication, compiled, replace(keys, verifying_key=bytes_of(words)), commitment, files)
    (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())
    return manifest


def describe(
    source: ModelSource,
    publication: Publication,
    compiled: Compiled,
    keys: KeyPair,
    weights_commitment: bytes,
    files: tuple[FileEntry, ...],
) -> Manifest:
    """Return the manifest of a compiled model with its keys."""
    circuit, words = compiled.circuit, from_bytes(keys.verifying_key)
    layout, threshold = circuit.layout.digest(), circuit.layout.threshold_field
    identity = program_id(GROTH16_BN254, words, layout, keys.setup_id, keys.dev)
    return Manifest(
        name=publication.name,
        backend="circom" if compiled.backend == "circom" else "groth16",
        model_files=(source.main, *sorted(set(source.files) - {source.main})),
        program_id=identity.hex(),
        layout=layout.hex(),
        circuit_hash=compiled.circuit_hash.hex(),
        setup_kind="dev" if keys.dev else "ceremony",
        setup_id=keys.setup_id.hex(),
        verifying_key=tuple(f"{word:064x}" for word in words),
        constraints=compiled.size.rows,
        wires=compiled.size.wires,
        domain=compiled.size.domain,
        weights_commitment=weights_commitment.hex(),
        weight_words=circuit.layout.weights,
        settings_record=record_of(source.settings),
        threshold_input=None if threshold is None else input_record(threshold),
        output=describe_output(circuit.layout, labels_of(compiled)),
        accuracy=tuple(publication.accuracy),
        layers=layers_of(compiled),
        provenance=publication.provenance,
        files=files,
    )


def labels_of(compiled: Compiled) -> tuple[str, ...]:
    """Return the classes that a compiled model knows; none for a circuit that is no classifier."""
    return compiled.circuit.labels if isinstance(compiled.circuit, CompiledModel) else ()


def layers_of(compiled: Compiled) -> tuple[Layer, ...]:
    """Return the constraints by layer, the statement's last; none where the backend does not tell them apart."""
    if not isinstance(compiled.circuit, CompiledModel):
        return ()
    costs = compiled.circuit.emitted.costs
    shown, rest = costs[: MAX_LAYERS - 1], costs[MAX_LAYERS - 1 :]
    layers = [Layer(name=name[:200], constraints=count) for name, count in shown]
    if rest:
        layers.append(Layer(name="others", constraints=sum(count for _, count in rest)))
    return tuple(layers)
