# SPDX-License-Identifier: GPL-3.0-or-later
"""The public record of a ceremony in a bundle: who contributed, and the hash that stands for all of it.

The set-up id of a ceremony's program, which the Registry stores, is that hash: a verifier of the ceremony needs the
circuit, the powers of tau and the key with its contributions, and nobody's word.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from protocol.errors import AuditError
from protocol.scalars import Record
from proving.groth16.ceremony import Transcript
from proving.groth16.verifying_key import canonical_json

Hex32 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Hex64 = Annotated[str, Field(pattern="^[0-9a-f]{128}$")]


class ContributionRecord(Record):
    """One contribution: its maker's name, and the digest that his tool showed him to publish."""

    name: Annotated[str, Field(max_length=256)]
    digest: Hex64
    beacon: Annotated[str, Field(pattern="^([0-9a-f]{2}){0,255}$")]
    iterations: Annotated[int, Field(ge=0, lt=64)]


class SetupRecord(Record):
    """The ceremony behind a bundle's keys."""

    format: Literal["proofmesh.setup.v1"] = "proofmesh.setup.v1"
    phase1: Hex32
    circuit_digest: Hex64
    transcript: Hex32
    contributions: Annotated[tuple[ContributionRecord, ...], Field(min_length=1, max_length=256)]

    def to_bytes(self) -> bytes:
        """Return the canonical JSON."""
        return canonical_json(self.model_dump(mode="json")).encode("ascii")


def record_of(transcript: Transcript, phase1: bytes) -> SetupRecord:
    """Return the record of a verified ceremony; `phase1` is the id of its powers of tau."""
    return SetupRecord(
        phase1=phase1.hex(),
        circuit_digest=transcript.circuit_digest.hex(),
        transcript=transcript.digest.hex(),
        contributions=tuple(
            ContributionRecord(
                name=each.name, digest=each.digest.hex(), beacon=each.beacon.hex(), iterations=each.iterations
            )
            for each in transcript.steps
        ),
    )


def read_record(data: bytes) -> SetupRecord:
    """Parse a record; raises AuditError."""
    try:
        found = SetupRecord.model_validate_json(data)
        if found.to_bytes() == data:
            return found
    except (ValidationError, ValueError):
        pass
    raise AuditError("The record of the set-up cannot be read.")
