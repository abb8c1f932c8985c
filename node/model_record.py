# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Registry is told of a bundle's model."""

from __future__ import annotations

from contracts.records import ModelRecord
from proving.bundle import Bundle


def model_record(
    bundle: Bundle, royalty_bps: int, uri: str = "", licence: str | None = None, parent_model: bytes | None = None
) -> ModelRecord:
    """Return the record of a bundle; licence and parent are the bundle's own unless given."""
    manifest = bundle.manifest
    source = manifest.provenance
    return ModelRecord(
        program_id=bytes.fromhex(manifest.program_id),
        bundle_id=bundle.id,
        weights_commitment=bytes.fromhex(manifest.weights_commitment),
        onnx_hash=bytes.fromhex(manifest.file(manifest.model_files[0]).sha256),
        training_data_root=bytes.fromhex(source.training_data_root),
        training_record_hash=bytes.fromhex(source.training_record_hash),
        parent_model=parent_model or bytes.fromhex(source.parent_model),
        royalty_bps=royalty_bps,
        licence=source.licence if licence is None else licence,
        uri=uri,
    )
