# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles: a folder with a manifest and the files that it names by hash.

`proving/publish.py` makes one; `load` checks every byte of one. What a loaded bundle *claims* about its model is
checked by the audit (proving/audit.py).
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from protocol.chunks import CHUNK_BYTES, root_of
from protocol.errors import BundleFilesError, BundleHashError, BundleTooLargeError
from proving.backends.base import Format, KeyPair, ModelSource
from proving.groth16.verifying_key import bytes_of, canonical_json, snarkjs_of
from proving.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    PROVING_KEY_NAME,
    VERIFYING_KEY_NAME,
    FileEntry,
    Manifest,
    expected_files,
    read_manifest,
    size_limit,
)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle whose bytes are those that its manifest names."""

    folder: Path
    id: bytes
    manifest: Manifest

    def path(self, name: str) -> Path:
        """Return the path of one of the bundle's files."""
        return self.folder / self.manifest.file(name).name

    @property
    def source(self) -> ModelSource:
        """The model as its publisher gave it."""
        names = self.manifest.model_files
        files = {name: self.path(name).read_bytes() for name in names}
        kind = Format.CIRCOM if self.manifest.backend == "circom" else Format.ONNX
        return ModelSource(kind, names[0], files, self.manifest.settings)

    @property
    def keys(self) -> KeyPair:
        """The keys, as the backend takes them."""
        manifest, entry = self.manifest, self.manifest.file(PROVING_KEY_NAME)
        setup_id = bytes.fromhex(manifest.setup_id)
        return KeyPair(self.path(entry.name), entry.sha256, bytes_of(manifest.words), setup_id, manifest.dev)


def load(folder: Path, expected_id: bytes | None = None) -> Bundle:
    """Read a bundle and check the hash and size of every file.

    Raises:
        BundleFilesError: a file is missing, unknown, or no plain file.
        BundleTooLargeError: a file passes its limit.
        BundleHashError: a file, or the manifest against `expected_id`, differs.
        ManifestError: the manifest is not acceptable.
    """
    present = _plain_files(folder)
    if MANIFEST_NAME not in present:
        raise BundleFilesError(f"The bundle misses {MANIFEST_NAME}.")
    manifest_path = folder / MANIFEST_NAME
    if manifest_path.stat().st_size > MAX_MANIFEST_BYTES:
        raise BundleTooLargeError(f"{MANIFEST_NAME} passes {MAX_MANIFEST_BYTES} bytes.")
    data = manifest_path.read_bytes()
    identity = hashlib.sha256(data).digest()
    if expected_id is not None and identity != expected_id:
        raise BundleHashError(f"{MANIFEST_NAME} is not the one with the id {expected_id.hex()}.")
    manifest = read_manifest(data)
    wrong = sorted({MANIFEST_NAME, *expected_files(manifest)} ^ present)
    if wrong:
        raise BundleFilesError(f"The bundle misses or should not have {wrong[0]!r:.100}.")
    for entry in manifest.files:
        _check_file(folder / entry.name, entry, size_limit(manifest, entry.name))
    bundle = Bundle(folder, identity, manifest)
    if bundle.path(VERIFYING_KEY_NAME).read_bytes() != verifying_key_json(manifest.words):
        raise BundleHashError(f"{VERIFYING_KEY_NAME} is not the key in the manifest.")
    return bundle


def verifying_key_json(words: tuple[int, ...]) -> bytes:
    """Return the verifying key as snarkjs reads it."""
    return canonical_json(snarkjs_of(words)).encode()


def entry_of(path: Path) -> FileEntry:
    """Return the manifest's entry for a file."""
    whole, hashes = hashlib.sha256(), []
    with path.open("rb") as file:
        while data := file.read(CHUNK_BYTES):
            whole.update(data)
            hashes.append(hashlib.sha256(data).digest())
    root = root_of(b"".join(hashes)).hex()
    return FileEntry(name=path.name, sha256=whole.hexdigest(), chunk_root=root, size=path.stat().st_size)


def _plain_files(folder: Path) -> set[str]:
    try:
        found = {entry.name: entry.is_file(follow_symlinks=False) for entry in os.scandir(folder)}
    except OSError as error:
        raise BundleFilesError(f"The bundle's folder cannot be read ({type(error).__name__}).") from None
    if not all(found.values()):
        raise BundleFilesError("A file of the bundle is a link or no plain file.")
    return set(found)


def _check_file(path: Path, entry: FileEntry, limit: int) -> None:
    size = path.stat().st_size
    if size > limit:
        raise BundleTooLargeError(f"{entry.name} passes {limit} bytes.")
    if size != entry.size or _digest(path) != entry.sha256:
        raise BundleHashError(f"{entry.name} is not the file that the manifest names.")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
