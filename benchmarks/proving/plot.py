# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark's plot, in its own environment: `python -m benchmarks.proving.plot RESULT FILE.svg`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

from benchmarks.proving.models import MODELS
from benchmarks.proving.ratios import warm_seconds

_COLOURS = {"ezkl": "#b0b7c3", "proofmesh": "#1f6feb"}
_TITLES = {"ezkl": "EZKL 23.0.5", "proofmesh": "proofmesh"}


def main(result: Path, target: Path) -> None:
    """Draw warm proving time and key size of both sides, on logarithmic axes."""
    # Identifiers by content and no date, so that the same figures give the same file.
    matplotlib.rcParams.update({"svg.hashsalt": "proofmesh", "font.size": 9})
    models = json.loads(result.read_text())["models"]
    names = [model.name for model in MODELS if model.name in models]
    figure, axes = plt.subplots(1, 2, figsize=(10, 0.5 * len(names) + 1.4), sharey=True, layout="constrained")
    _bars(axes[0], names, models, warm_seconds, "warm proving time, seconds")
    _bars(axes[1], names, models, lambda entry: entry["key_bytes"] / 1e6, "proving key, MB")
    axes[0].legend(loc="upper right", frameon=False)
    figure.savefig(target, metadata={"Date": None})


def _bars(axis: Any, names: list[str], models: dict[str, Any], value: Any, label: str) -> None:
    for offset, side in ((-0.2, "ezkl"), (0.2, "proofmesh")):
        values = [_value(models[name].get(side, {}), value) for name in names]
        places = [place + offset for place in range(len(names))]
        axis.barh(places, [each or 0 for each in values], 0.38, color=_COLOURS[side], label=_TITLES[side])
        for place, each in zip(places, values, strict=True):
            if each is None:
                axis.text(0.01, place, " none", va="center", color="#57606a", transform=axis.get_yaxis_transform())
            else:
                axis.text(each, place, f" {each:,.3g}", va="center", fontsize=8)
    axis.set_xscale("log")
    axis.set_xlabel(label)
    axis.set_yticks(range(len(names)), names)
    axis.margins(x=0.15)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    if not axis.yaxis_inverted():
        axis.invert_yaxis()


def _value(entry: dict[str, Any], value: Any) -> float | None:
    return float(value(entry)) if entry.get("status") == "done" else None


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
