# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs as files: what `proofmesh job status` and `list` read while another process runs the client.

The journal belongs to one process at a time; these snapshots are written by it after every change and
can be read by anyone with the folder. A cancel is a file too: the running client looks for it.
Nothing private is in them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from market.client import FINAL, Job
from protocol import bounded_json

log = structlog.get_logger("proofmesh.client")

_SUFFIX = ".json"
_CANCEL = ".cancel"


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The folder of job snapshots."""

    folder: Path

    def write(self, job: Job, story: Sequence[dict[str, Any]]) -> None:
        """Write the snapshot of a job, whole or not at all; a full disk costs the picture, not the job."""
        path = self.folder / (job.order_hash.hex() + _SUFFIX)
        fresh = path.with_suffix(".new")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.write_text(json.dumps(snapshot(job, story), indent=2, sort_keys=True) + "\n")
            os.replace(fresh, path)
        except OSError as error:
            log.warning("job not shown", order=job.order_hash.hex()[:12], reason=error.strerror)

    def agree(self, jobs: Mapping[bytes, Job]) -> None:
        """Make the folder agree with the journal, at a start: a process may have died between the two.

        A snapshot that is older than its job is written anew; that of an order that was never placed goes.
        """
        for order_hash, job in jobs.items():
            known = self.read(order_hash)
            if known is None or known.get("phase") != job.phase:
                self.write(job, [] if known is None else known.get("story", []))
        for path in self.folder.glob("*" + _SUFFIX):
            if len(path.stem) == 64 and (order_hash := bytes.fromhex(path.stem)) not in jobs:
                known = self.read(order_hash)
                if known is not None and known.get("phase") not in FINAL:
                    path.unlink(missing_ok=True)

    def read(self, order_hash: bytes) -> dict[str, Any] | None:
        """Return the snapshot of a job, None when there is none."""
        try:
            found: dict[str, Any] = bounded_json.loads((self.folder / (order_hash.hex() + _SUFFIX)).read_text())
        except (FileNotFoundError, ValueError):
            return None
        return found

    def all(self) -> list[dict[str, Any]]:
        """Return all snapshots, oldest order first."""
        paths = sorted(self.folder.glob("*" + _SUFFIX), key=lambda path: path.stat().st_ctime)
        found = (self.read(bytes.fromhex(path.stem)) for path in paths if len(path.stem) == 64)
        return [entry for entry in found if entry is not None]

    def ask_cancel(self, order_hash: bytes) -> None:
        """Leave word that the job is wanted no longer."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / (order_hash.hex() + _CANCEL)).touch(mode=0o600)

    def cancels(self) -> list[bytes]:
        """Return, and forget, the jobs that somebody wants no longer."""
        asked = []
        for path in sorted(self.folder.glob("*" + _CANCEL)):
            asked.append(bytes.fromhex(path.stem))
            path.unlink()
        return asked


def snapshot(job: Job, story: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what a user may want to know of a job; amounts in wei as decimal strings."""
    award = job.award
    return {
        "order_hash": "0x" + job.order_hash.hex(),
        "phase": str(job.phase),
        "outcome": job.outcome,
        "round": job.round,
        "program_id": "0x" + job.order.program_id.hex(),
        "price_cap_wei": str(job.order.price_cap),
        "verifier_fee_wei": str(job.order.verifier_fee),
        "promise_by": job.order.promise_by,
        "final_by": job.order.final_by,
        "paid_wei": str(job.paid),
        "prover": None if award is None else "0x" + award.prover.hex(),
        "price_wei": None if award is None else str(award.price),
        "promise_at": None if award is None else award.promise_at,
        "locked": job.lock is not None,
        "transaction_hash": None if job.transaction_hash is None else "0x" + job.transaction_hash.hex(),
        "bids": [
            {
                "prover": "0x" + b.bid.prover.hex(),
                "price_wei": str(b.bid.price),
                "promise_at": b.bid.promise_at,
            }
            for b in job.bids
        ],
        "ranking": []
        if job.decision is None
        else [
            {
                "prover": "0x" + line.prover.hex(),
                "price_wei": str(line.price),
                "promise_at": line.promise_at,
                "score_bps": line.score_bps,
                "policy": job.decision.policy,
            }
            for line in job.decision.ranking
        ],
        "refusals": [
            {"prover": "0x" + prover.hex(), "code": code, "quote_wei": str(quote)}
            for prover, code, quote in job.refused
        ],
        "story": list(story),
    }
