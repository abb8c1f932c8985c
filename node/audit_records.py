# SPDX-License-Identifier: GPL-3.0-or-later
"""What audits found, beside the bundles: a passed one holds for ever, a refused one for this version of the software
and the powers of tau that it was given.

An audit of a hostile model costs what a worker may spend; it is not spent again for everyone who names that bundle.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog

from protocol import bounded_json
from protocol.errors import AuditError, WorkerLimitError
from proving.audit import AuditResult

log = structlog.get_logger("proofmesh.node")

LIMIT_SECONDS = 3_600.0
"""How long a bundle is left alone that needed more than a worker may have: limits and machines change."""


@dataclass(frozen=True, slots=True)
class Audited:
    """What serving needs to remember of a passed audit."""

    program_id: bytes
    proving_ms: int


class AuditRecords:
    """One small file for each bundle that was audited."""

    def __init__(self, folder: Path, powers_of_tau: Path | None) -> None:
        self._folder = folder
        self._auditor = f"{version('proofmesh')} {powers_of_tau or ''}"

    def passed(self, bundle_id: bytes) -> Audited | None:
        """Return what a passed audit found, None if there was none."""
        try:
            fields = self._read(bundle_id)
            return Audited(bytes.fromhex(fields["program_id"]), int(fields["proving_ms"]))
        except (KeyError, ValueError, TypeError):
            return None

    def require_not_refused(self, bundle_id: bytes) -> None:
        """Raise again what an audit of this bundle has raised before, while that counts.

        Raises:
            AuditError, WorkerLimitError: as then.
        """
        fields = self._read(bundle_id)
        reason, kind = fields.get("refused"), fields.get("kind")
        if not isinstance(reason, str) or fields.get("auditor") != self._auditor:
            return
        if kind == AuditError.code:
            raise AuditError(f"{reason} (An earlier audit; `proofmesh model audit` makes another.)")
        at = fields.get("at")
        if kind == WorkerLimitError.code and isinstance(at, int | float) and 0 <= time.time() - at < LIMIT_SECONDS:
            raise WorkerLimitError(f"{reason} (Less than an hour ago.)")

    def remember(self, result: AuditResult) -> Audited:
        """Keep a passed audit."""
        self._write(result.bundle_id, {"program_id": result.program_id.hex(), "proving_ms": result.proving_ms})
        return Audited(result.program_id, result.proving_ms)

    def refuse(self, bundle_id: bytes, error: AuditError | WorkerLimitError) -> None:
        """Keep why an audit failed; not of a bundle that has passed one, which its jobs in work are proved with."""
        if self.passed(bundle_id) is not None:
            return
        fields = {"refused": error.message, "kind": error.code, "auditor": self._auditor, "at": time.time()}
        self._write(bundle_id, fields)

    def _read(self, bundle_id: bytes) -> dict[str, Any]:
        try:
            fields = bounded_json.loads(self._path(bundle_id).read_bytes())
        except (OSError, ValueError):
            return {}
        return fields if isinstance(fields, dict) else {}

    def _write(self, bundle_id: bytes, fields: dict[str, object]) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path(bundle_id).write_text(json.dumps(fields), "utf-8")
        except OSError as error:  # a full disk costs another audit later, not the node
            log.warning("an audit is not remembered", bundle=bundle_id.hex()[:16], reason=error.strerror)

    def _path(self, bundle_id: bytes) -> Path:
        return self._folder / f"{bundle_id.hex()}.json"
