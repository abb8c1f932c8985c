# SPDX-License-Identifier: GPL-3.0-or-later
"""What is compared: times and sizes of one side over those of the other, over the five networks."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.proving.models import MODELS

Fields = Mapping[str, Any]
HASHED = "ezkl-hashed"
NAMES = ("geomean_prove_ratio", "least_prove_ratio", "geomean_key_ratio", "least_key_ratio")


def warm_seconds(entry: Fields) -> float:
    """Return the median time of a proof from raw inputs, the first of the process left out."""
    times = [a + b for a, b in zip(entry["witness_s"], entry["prove_s"], strict=True)]
    return float(statistics.median(times[1:]))


def cold_seconds(entry: Fields) -> float:
    """Return the time of the first proof of a fresh process, with all that it loads and compiles."""
    loaded: float = entry.get("cold_compile_s", 0.0) + entry.get("key_load_s", 0.0)
    return loaded + float(entry["witness_s"][0]) + float(entry["prove_s"][0])


def both_done(entry: Fields, variant: str = "ezkl") -> bool:
    """Say whether both sides proved the model in one run."""
    sides = [entry.get(side, {}) for side in (variant, "proofmesh")]
    return all(side.get("status") == "done" for side in sides) and sides[0]["run"] == sides[1]["run"]


def prove_ratio(entry: Fields, variant: str = "ezkl") -> float:
    """Return how many times faster a warm proof is than EZKL's."""
    return warm_seconds(entry[variant]) / warm_seconds(entry["proofmesh"])


def key_ratio(entry: Fields, variant: str = "ezkl") -> float:
    """Return how many times smaller the proving key is than EZKL's."""
    return float(entry[variant]["key_bytes"] / entry["proofmesh"]["key_bytes"])


def ratios(models: Mapping[str, Fields]) -> dict[str, Any]:
    """Return the ratios over the five networks; None, with the reason, unless one run measured the sides of all.

    `prove_ratio` is against EZKL with a public hash of the input, the visibility that proofmesh's statement has;
    `bare_prove_ratio` against EZKL with an input that is private and bound to nothing. Sizes of keys likewise.
    `within_factor_2`: for each network, whether the two largest errors differ by no more than that.
    """
    five = [model.name for model in MODELS if model.five]
    missing = [name for name in five if not all(both_done(models.get(name, {}), each) for each in ("ezkl", HASHED))]
    if missing:
        return dict.fromkeys(NAMES) | {"reason": f"not measured on all sides in one run: {', '.join(missing)}"}
    entries = {name: models[name] for name in five}
    errors = {name: entry["ezkl"]["max_error"] / entry["proofmesh"]["max_error"] for name, entry in entries.items()}
    return {
        **_summary("", entries, HASHED),
        **_summary("bare_", entries, "ezkl"),
        "within_factor_2": {name: 0.5 <= value <= 2 for name, value in errors.items()},
    }


def _summary(prefix: str, entries: Mapping[str, Fields], variant: str) -> dict[str, Any]:
    prove = {name: prove_ratio(entry, variant) for name, entry in entries.items()}
    keys = {name: key_ratio(entry, variant) for name, entry in entries.items()}
    figures: dict[str, Any] = {f"{prefix}prove_ratio": {name: round(value, 1) for name, value in prove.items()}}
    for what, values in (("prove", prove.values()), ("key", keys.values())):
        figures[f"{prefix}geomean_{what}_ratio"] = round(statistics.geometric_mean(values), 1)
        figures[f"{prefix}least_{what}_ratio"] = round(min(values), 1)
    return figures
