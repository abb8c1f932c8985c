# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs as files: what `proofmesh job status` and `list` read while another process runs the client.

The journal belongs to one process at a time; these snapshots are written by it after every change and
can be read by anyone with the folder. A cancel is a file too: the running client looks for it.
Nothing private is in them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from market.client import FINAL, Job
from protocol import bounded_json
from protocol.errors import ConfigError

log = structlog.get_logger("proofmesh.client")

_SUFFIX = ".json"
_CANCEL = ".cancel"
_SHOWN = {
    "order_hash", "phase", "round", "prover", "price_wei", "paid_wei", "ranking", "refusals", "story",
    "transaction_hash",
}  # fmt: skip
"""What commands print of a job; a file without it is damaged."""


class JobFileError(ConfigError):
    """The file that shows a job is damaged; the job itself is in the journal, its money on the chain."""

    code = "PM-JOB-003"
    remedy = "`proofmesh job watch ORDER` makes it anew while it is under way; else see `wallet history`, `receipts/`."


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
            known = self._known(order_hash)
            if known is None or known["phase"] != job.phase:
                self.write(job, [] if known is None else known["story"])
        for order_hash in self._order_hashes():
            if order_hash not in jobs and (known := self._known(order_hash)) and known["phase"] not in FINAL:
                (self.folder / (order_hash.hex() + _SUFFIX)).unlink(missing_ok=True)

    def _known(self, order_hash: bytes) -> dict[str, Any] | None:
        try:
            return self.read(order_hash)
        except JobFileError as error:
            log.warning("the file of a job is damaged", order=order_hash.hex()[:12], reason=error.message)
            return None

    def read(self, order_hash: bytes) -> dict[str, Any] | None:
        """Return the snapshot of a job, None when there is none.

        Raises:
            JobFileError: it cannot be read, or is no snapshot of this job.
        """
        path = self.folder / (order_hash.hex() + _SUFFIX)
        try:
            found = bounded_json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise JobFileError(f"{path} cannot be read ({type(error).__name__}).") from None
        if not isinstance(found, dict) or not found.keys() >= _SHOWN or found["order_hash"] != f"0x{order_hash.hex()}":
            raise JobFileError(f"{path} does not show this job.")
        return found

    def all(self) -> tuple[list[dict[str, Any]], list[JobFileError]]:
        """Return (all snapshots, oldest order first; what is wrong with those that cannot be read)."""
        found, damaged = [], []
        for order_hash in self._order_hashes():
            try:
                known = self.read(order_hash)
            except JobFileError as error:
                damaged.append(error)
            else:
                found += [] if known is None else [known]
        return found, damaged

    def _order_hashes(self) -> list[bytes]:
        paths = sorted(self.folder.glob("*" + _SUFFIX), key=lambda path: path.lstat().st_ctime)
        return [bytes.fromhex(path.stem) for path in paths if re.fullmatch("[0-9a-f]{64}", path.stem)]

    def ask_cancel(self, order_hash: bytes) -> None:
        """Leave word that the job is wanted no longer."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self.folder / (order_hash.hex() + _CANCEL)).touch(mode=0o600)

    def cancels(self) -> list[bytes]:
        """Return, and forget, the jobs that somebody wants no longer."""
        asked = []
        for path in sorted(self.folder.glob("*" + _CANCEL)):
            if re.fullmatch("[0-9a-f]{64}", path.stem) and path.is_file():
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
