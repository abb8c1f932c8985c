# SPDX-License-Identifier: GPL-3.0-or-later
"""EZKL's half of the benchmark: one model in its own environment, each stage a process under the same limits.

What EZKL cannot do, or not within the limits, is an entry like any other: `status` says what happened.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.proving.models import BenchmarkModel
from benchmarks.proving.verifier_gas import measure_gas
from proving.backends import limited_process

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / "build" / "bench-ezkl"
MEMORY_BYTES = 20 << 30
SECONDS = 15 * 60
SRS_SECONDS = 60 * 60
SCALE = 7
"""Fractional bits of inputs and weights: EZKL's own default."""
TUNED: Mapping[str, int] = {"decomp_base": 128, "decomp_legs": 4}
"""By hand, for small models: EZKL's default base of 2^14 asks for a table of 2^15 rows whatever the model."""
TUNED_MODELS = ("20-16-1", "64-64-32-10")
HASHED: Mapping[str, str] = {"input_visibility": "hashed"}
"""EZKL's commitment to the input, a Poseidon hash that is public: what proofmesh's private inputs always have."""
VARIANTS: Mapping[str, Mapping[str, int | str]] = {"ezkl": {}, "ezkl-tuned": TUNED, "ezkl-hashed": HASHED}
ACCURACY_ROWS = 16
STAGES = ("compile", "srs", "setup", "accuracy", "prove", "evm")
Fields = dict[str, Any]


def measure(model: BenchmarkModel, build: Path, seconds: float = SECONDS, variant: str = "ezkl") -> Fields:
    """Return EZKL's figures of one model, with a variant's arguments; `seconds` are for all stages together."""
    folder = build / variant / model.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    job = folder / "job.json"
    job.write_text(json.dumps({
        "onnx": str(build / "models" / f"{model.name}.onnx"), "data": str(build / "models" / f"{model.name}.npz"),
        "folder": str(folder), "srs": str(build / "srs"), "scale": SCALE, "rows": ACCURACY_ROWS,
        "arguments": dict(VARIANTS[variant]),
    }))  # fmt: skip
    figures: Fields = {"status": "done", "scale": SCALE}
    for stage in STAGES:
        # The SRS is the same for every model of its size: it is made once and does not count against one.
        left = SRS_SECONDS if stage == "srs" else seconds - figures.get("total_s", 0.0)
        usage = limited_process.run(
            [str(ENVIRONMENT / "bin" / "python"), "-m", "benchmarks.proving.ezkl_stage", stage, str(job)],
            memory_bytes=MEMORY_BYTES, seconds=left, environment=_environment(folder), folder=ROOT,
        )  # fmt: skip
        figures["total_s"] = figures.get("total_s", 0.0) + (0.0 if stage == "srs" else usage.seconds)
        figures[f"{stage}_peak_bytes"] = usage.peak_bytes
        if usage.end is not limited_process.End.DONE:
            return figures | {"status": status_of(stage, usage)}
        figures |= json.loads(usage.output.strip().splitlines()[-1])
    figures |= measure_gas(folder)
    (folder / "pk").unlink()
    return figures


def status_of(stage: str, usage: limited_process.Usage) -> str:
    """Say how a stage ended that was not done."""
    if usage.end is limited_process.End.MEMORY:
        return f"did not finish: {stage} beyond {MEMORY_BYTES >> 30} GiB"
    if usage.end is limited_process.End.TIME:
        return f"did not finish: {stage} beyond the time limit"
    lines = [line for line in (usage.errors + usage.output).strip().splitlines() if line.strip()]
    reason = next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "no message")
    return f"not supported: {stage}: {reason.strip()[:300]}"


def _environment(home: Path) -> dict[str, str]:
    """No user's home and no network's proxy: EZKL keeps files in the home and would download."""
    return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(home), "LANG": "C.UTF-8"}
