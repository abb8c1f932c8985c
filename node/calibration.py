# SPDX-License-Identifier: GPL-3.0-or-later
"""What this machine needs for a proof, as `proofmesh prover benchmark` measured it; kept in the data folder."""

from __future__ import annotations

from pathlib import Path

from proving.backends.base import Size
from proving.backends.estimate import Calibration, estimate

NAME = "calibration.json"


def write_calibration(folder: Path, found: Calibration) -> Path:
    """Keep a calibration; return its file."""
    path = folder / NAME
    path.write_text(found.to_json())
    return path


def read_calibration(folder: Path) -> Calibration | None:
    """Return what was measured, None if nothing was.

    Raises:
        ConfigError: the file is damaged.
    """
    path = folder / NAME
    return Calibration.from_json(path.read_text()) if path.is_file() else None


def proof_ms(domain: int, calibration: Calibration) -> float:
    """Return how long a proof over a domain of this size takes."""
    return estimate(Size(domain - 4, domain, 3), calibration).proving_ms


def bid_estimate(measured_ms: int, domain: int, calibration: Calibration | None) -> int:
    """Return what a bid counts on: the larger of the audit's own proof and the calibrated estimate.

    The audit may have run on an idle machine, or a faster one than the workers later find.
    """
    return measured_ms if calibration is None else max(measured_ms, round(proof_ms(domain, calibration)))
