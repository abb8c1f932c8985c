# SPDX-License-Identifier: GPL-3.0-or-later
"""An accuracy report as the figures of a manifest: decimal strings by name."""

from __future__ import annotations

from proving.fixedpoint.accuracy import AccuracyReport
from proving.manifest import Metric


def metrics_of(report: AccuracyReport, prefix: str = "") -> tuple[Metric, ...]:
    """Return a report's figures; what was not measured is left out."""
    figures = {
        "rows": str(report.rows),
        "decision_agreement": _share(report.agreement),
        "max_error": f"{report.max_error:.9f}",
        "mean_error": f"{report.mean_error:.9f}",
        "float_accuracy": _share(report.float_accuracy),
        "circuit_accuracy": _share(report.circuit_accuracy),
    }
    return tuple(Metric(name=prefix + name, value=value) for name, value in figures.items() if value is not None)


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.6f}"
