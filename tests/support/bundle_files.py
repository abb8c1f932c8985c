# SPDX-License-Identifier: GPL-3.0-or-later
"""Bundles of any bytes under a manifest of their own, for tests of their transfer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from node.net.bundle_store import BundleFile
from protocol.chunks import CHUNK_BYTES, root_of


def files_of(manifest: bytes) -> Iterable[tuple[str, str, str, int]]:
    return [(each["name"], each["sha256"], each["root"], each["size"]) for each in json.loads(manifest)["files"]]


def chunk_list(data: bytes) -> bytes:
    chunks = (data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES))
    return b"".join(hashlib.sha256(chunk).digest() for chunk in chunks)


def file_of(name: str, data: bytes) -> BundleFile:
    return BundleFile(name, hashlib.sha256(data).digest(), root_of(chunk_list(data)), len(data))


def manifest_of(content: dict[str, bytes]) -> bytes:
    files = [
        {"name": name, "sha256": file.digest.hex(), "root": file.root.hex(), "size": len(data)}
        for name, data in content.items()
        for file in [file_of(name, data)]
    ]
    return json.dumps({"files": files}).encode()


def write_bundle(store: Path, content: dict[str, bytes], manifest: bytes | None = None) -> bytes:
    manifest = manifest or manifest_of(content)
    bundle_id = hashlib.sha256(manifest).digest()
    folder = store / bundle_id.hex()
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_bytes(manifest)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return bundle_id
