# SPDX-License-Identifier: GPL-3.0-or-later
"""proofmesh's half of the benchmark: one model, each stage a process under the same limits as EZKL's."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.proving.ezkl_side import ACCURACY_ROWS, MEMORY_BYTES, ROOT, SECONDS, status_of
from benchmarks.proving.models import BenchmarkModel
from benchmarks.proving.verifier_gas import measure_groth16_gas
from proving.backends import limited_process

STAGES = ("precision", "setup", "prove")
Fields = dict[str, Any]


def measure(model: BenchmarkModel, build: Path, max_error: float | None, seconds: float = SECONDS) -> Fields:
    """Return proofmesh's figures of one model, at the least precision whose error is not above `max_error`."""
    folder = build / "proofmesh" / model.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    job_file = folder / "job.json"
    job: Fields = {
        "model": model.name, "onnx": str(build / "models" / f"{model.name}.onnx"),
        "data": str(build / "models" / f"{model.name}.npz"), "folder": str(folder), "rows": ACCURACY_ROWS,
        "max_error": max_error,
    }  # fmt: skip
    figures: Fields = {"status": "done", "total_s": 0.0}
    for stage in STAGES:
        job_file.write_text(json.dumps(job))
        usage = limited_process.run(
            [sys.executable, "-m", "benchmarks.proving.mesh_stage", stage, str(job_file)],
            memory_bytes=MEMORY_BYTES, seconds=seconds - figures["total_s"], folder=ROOT,
        )  # fmt: skip
        figures["total_s"] += usage.seconds
        figures[f"{stage}_peak_bytes"] = usage.peak_bytes
        if usage.end is not limited_process.End.DONE:
            return figures | {"status": status_of(stage, usage)}
        figures |= json.loads(usage.output.strip().splitlines()[-1])
        job |= {"bits": figures["bits"], "weight_bits": figures["weight_bits"]}
    proof = json.loads((folder / "proof.json").read_text())
    words, public = ([int(each) for each in proof[name]] for name in ("words", "public"))
    return figures | measure_groth16_gas(words, public, bytes.fromhex(proof["proof"]))
