# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles: every byte counts, and a bundle cannot say something else than its model."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from proving_models import exported, predicate, public

from protocol.chunks import CHUNK_BYTES, root_of
from protocol.errors import (
    AuditError,
    BundleError,
    BundleFilesError,
    BundleTooLargeError,
    ManifestError,
)
from protocol.hashing import keccak256
from protocol.statement import program_id
from proving import bundle as bundles
from proving import manifest as manifests
from proving.audit import audit
from proving.bundle import Bundle, load
from proving.groth16.verifying_key import canonical_json
from proving.manifest import MANIFEST_NAME, files_of, read_manifest
from proving.publish import Publication, build, onnx_source

FILES = ("model.onnx", "proving.zkey", "verifying.json")


@pytest.fixture
def copy(bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle.folder, tmp_path / "copy"))


def flip(path: Path, seed: int) -> None:
    data = bytearray(path.read_bytes())
    bit = random.Random(seed).randrange(8 * len(data))
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest and keep it canonical."""
    fields = json.loads((folder / MANIFEST_NAME).read_bytes())
    change(fields)
    (folder / MANIFEST_NAME).write_text(canonical_json(fields), "ascii")


def test_a_bundle_is_named_by_the_hash_of_its_manifest(bundle: Bundle) -> None:
    assert bundle.folder.name == bundle.id.hex() == bundle.manifest.bundle_id().hex()
    assert load(bundle.folder, bundle.id) == bundle


def test_the_manifest_lists_its_files_for_transfer(bundle: Bundle) -> None:
    listed = files_of((bundle.folder / MANIFEST_NAME).read_bytes())
    assert {name for name, *_ in listed} == set(FILES)
    for name, _, root, size in listed:
        data = (bundle.folder / name).read_bytes()
        chunks = (data[start : start + CHUNK_BYTES] for start in range(0, size, CHUNK_BYTES))
        assert len(data) == size
        assert root == root_of(b"".join(hashlib.sha256(chunk).digest() for chunk in chunks)).hex()


def test_the_program_id_is_that_of_the_chain(bundle: Bundle) -> None:
    manifest = bundle.manifest
    head = b"".join(word.to_bytes(32, "big") for word in manifest.words[:10])
    setup_id = keccak256(b"proofmesh.setup.dev.v1" + head)
    expected = program_id(1, manifest.words, bytes.fromhex(manifest.layout), setup_id, True)
    assert manifest.program_id == expected.hex()


@pytest.mark.parametrize("name", [*FILES, MANIFEST_NAME])
@pytest.mark.parametrize("seed", range(4))
def test_one_flipped_bit_is_noticed(bundle: Bundle, copy: Path, name: str, seed: int) -> None:
    flip(copy / name, seed)
    with pytest.raises(BundleError) as caught:
        load(copy, bundle.id)
    assert "[PM-BND-" in str(caught.value)


@pytest.mark.parametrize("seed", range(20))
def test_a_flipped_manifest_bit_without_an_expected_id_is_refused_or_another_bundle(
    bundle: Bundle, copy: Path, seed: int
) -> None:
    flip(copy / MANIFEST_NAME, seed)
    with suppress(BundleError):
        assert load(copy).id != bundle.id


def test_missing_unknown_and_linked_files_are_refused(copy: Path) -> None:
    (copy / "more").write_bytes(b"")
    with pytest.raises(BundleFilesError, match="more"):
        load(copy)
    (copy / "more").unlink()
    (copy / "model.onnx").rename(copy.parent / "model.onnx")
    with pytest.raises(BundleFilesError, match=r"model\.onnx"):
        load(copy)
    (copy / "model.onnx").symlink_to(copy.parent / "model.onnx")
    with pytest.raises(BundleFilesError, match="link"):
        load(copy)
    with pytest.raises(BundleFilesError):
        load(copy / "nowhere")


def test_oversize_files_are_refused_before_they_are_read(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "MAX_MODEL_BYTES", 10)
    with pytest.raises(BundleTooLargeError):
        load(copy)
    monkeypatch.setattr(bundles, "MAX_MANIFEST_BYTES", 10)
    with pytest.raises(BundleTooLargeError):
        load(copy)


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "path traversal": lambda m: m["files"][0].update(name="../model.onnx"),
    "absolute path": lambda m: m["files"][0].update(name="/etc/passwd"),
    "same file twice": lambda m: m["files"].__setitem__(0, m["files"][1]),
    "unknown field": lambda m: m.update(more=1),
    "unknown version": lambda m: m.update(format="proofmesh.bundle.v2"),
    "other backend": lambda m: m.update(backend="other"),
    "ceremony by its own word": lambda m: m.update(setup_kind="ceremony"),
    "other set-up": lambda m: m.update(setup_id="00" * 32),
    "other program": lambda m: m.update(program_id="00" * 32),
    "other layout": lambda m: m.update(layout="00" * 32),
    "key at infinity": lambda m: m["verifying_key"].__setitem__(slice(-2, None), ["00" * 32] * 2),
    "too many bits": lambda m: m["settings_record"]["inputs"][0].update(bits=200),
    "threshold without predicate": lambda m: m["settings_record"]["output"].update(threshold="0.5"),
    "model file that is the key": lambda m: m["model_files"].append("proving.zkey"),
    "wider output": lambda m: m["output"].update(bits=m["output"]["bits"] + 1),
    "float": lambda m: m.update(constraints=1.5),
    "boolean": lambda m: m.update(constraints=True),
}


@pytest.mark.parametrize("name", CHANGES)
def test_manifests_that_contradict_themselves_are_refused(copy: Path, name: str) -> None:
    rewrite(copy, CHANGES[name])
    with pytest.raises(ManifestError):
        load(copy)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"null", b"[" * 100_000])
def test_noise_is_no_manifest(data: bytes) -> None:
    with pytest.raises(ManifestError):
        read_manifest(data)


def test_only_the_canonical_form_is_a_manifest(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    data = (bundle.folder / MANIFEST_NAME).read_bytes()
    for other in (data + b"\n", data.replace(b'":', b'": ', 1), data[:-1] + b',"name":"small"}'):
        with pytest.raises(ManifestError):
            read_manifest(other)
    monkeypatch.setattr(manifests, "MAX_MANIFEST_BYTES", 10)
    with pytest.raises(ManifestError, match="limit"):
        read_manifest(data)


def test_the_audit_passes_an_honest_bundle(bundle: Bundle) -> None:
    result = audit(bundle)
    assert result.bundle_id == bundle.id
    assert result.program_id.hex() == bundle.manifest.program_id
    assert result.constraints == bundle.manifest.constraints
    assert result.proving_ms >= 1


def put_file(folder: Path, name: str, data: bytes) -> None:
    """Replace a file, and its hash in the manifest: what a hostile publisher does."""
    (folder / name).write_bytes(data)

    def change(fields: dict[str, Any]) -> None:
        entry = next(each for each in fields["files"] if each["name"] == name)
        entry.update(sha256=hashlib.sha256(data).hexdigest(), size=len(data))

    rewrite(folder, change)


def test_the_audit_finds_another_model(copy: Path) -> None:
    put_file(copy, "model.onnx", exported("wide"))
    with pytest.raises(AuditError, match="not what its model compiles to"):
        audit(load(copy))


def test_the_audit_finds_a_model_that_does_not_compile(copy: Path) -> None:
    put_file(copy, "model.onnx", b"no model")
    with pytest.raises(AuditError, match="does not compile"):
        audit(load(copy))


def test_the_audit_finds_a_proving_key_of_another_setup(copy: Path, tmp_path: Path) -> None:
    other = build(onnx_source(exported("wide"), public()), tmp_path / "other", Publication())
    put_file(copy, "proving.zkey", (other.folder / "proving.zkey").read_bytes())
    with pytest.raises(AuditError, match="key"):
        audit(load(copy))


@pytest.mark.parametrize(
    ("field", "value"),
    [("meaning", "1 if the applicant is good"), ("labels", ["1", "0"])],
)
def test_the_audit_finds_a_false_meaning(copy: Path, field: str, value: object) -> None:
    rewrite(copy, lambda m: m["output"].update({field: value}))
    with pytest.raises(AuditError, match="outputs"):
        audit(load(copy))


def test_the_audit_finds_understated_size(copy: Path) -> None:
    rewrite(copy, lambda m: m.update(domain=2))
    with pytest.raises(AuditError, match="circuit"):
        audit(load(copy))


def test_the_audit_finds_a_layer_that_is_said_to_be_cheaper(copy: Path) -> None:
    rewrite(copy, lambda m: m["layers"][0].update(constraints=1))
    with pytest.raises(AuditError, match="layers"):
        audit(load(copy))


def test_a_predicate_says_its_threshold_in_words_and_exactly(tmp_path: Path) -> None:
    source = onnx_source(exported("logistic"), predicate("0.7"))
    output = build(source, tmp_path, Publication()).manifest.output
    assert output.threshold_score is not None
    assert abs(int(output.threshold_score) / 2**output.scale_bits - 0.8472978) < 2**-output.scale_bits
    assert "'1'" in output.meaning and "0.7" in output.meaning and "0.847" in output.meaning
