# SPDX-License-Identifier: GPL-3.0-or-later
"""EZKL and proofmesh on the same models: `python -m benchmarks.proving.run [--models a,b] [--minutes N] [--sides s]`.

Installs EZKL and the training tools into build/bench-ezkl, trains the models, measures both sides one model after
the other, and writes build/bench/proving.json, docs/benchmarks/proving.md and its plot. `--sides ezkl`,
`ezkl-hashed`, `ezkl-tuned` or `proofmesh` measures one side again and keeps the other's figures; ratios are taken only
of what one run measured. Wants a machine that does nothing else: about an hour.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import venv
from pathlib import Path
from typing import Any

from benchmarks.proving import ezkl_side, mesh_side
from benchmarks.proving.models import MODELS, BenchmarkModel
from benchmarks.proving.ratios import ratios
from benchmarks.proving.report import write_report

ROOT = ezkl_side.ROOT
BUILD = ROOT / "build" / "bench"
RESULT = BUILD / "proving.json"
PACKAGES = (
    "ezkl==23.0.5", "torch==2.13.0", "onnx==1.23.2", "onnxruntime==1.32.0", "scikit-learn==1.9.1",
    "skl2onnx==1.20.0", "matplotlib==3.11.2",
)  # fmt: skip
SIDES = (*ezkl_side.VARIANTS, "proofmesh")
Fields = dict[str, Any]


def main() -> None:
    """Measure, write, and print the ratios as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default=",".join(model.name for model in MODELS))
    parser.add_argument("--minutes", type=float, default=ezkl_side.SECONDS / 60, help="limit for a model and side")
    parser.add_argument("--sides", default=",".join(SIDES))
    parser.add_argument("--result", type=Path, default=RESULT)
    parser.add_argument("--remark", help="said on the page beside what this run measures")
    options = parser.parse_args()
    chosen = [model for model in MODELS if model.name in options.models.split(",")]
    prepare(chosen)
    result = _read(options.result)
    of_run = {"run": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    if options.remark:
        of_run["remark"] = options.remark
    for model in chosen:
        for side in SIDES:
            if side in options.sides.split(",") and _applies(side, model):
                entry = result["models"].setdefault(model.name, {})
                entry[side] = _measure(side, model, entry, options.minutes * 60) | of_run
                print(f"{model.name} {side}: {entry[side]['status']}", file=sys.stderr, flush=True)
                _write(options.result, result)
    # Only the whole benchmark makes the page of the docs; a trial's lies beside its figures.
    whole = options.result == RESULT and len(result["models"]) == len(MODELS)
    write_report(options.result, ROOT / "docs" / "benchmarks" if whole else BUILD, ezkl_side.ENVIRONMENT)
    print(json.dumps(result["ratios"]))


def prepare(models: list[BenchmarkModel]) -> None:
    """Make the environment and the models, as far as they are not there."""
    python = ezkl_side.ENVIRONMENT / "bin" / "python"
    done = ezkl_side.ENVIRONMENT / "installed"
    wanted = "\n".join(PACKAGES)
    if not done.is_file() or done.read_text() != wanted:
        venv.create(ezkl_side.ENVIRONMENT, with_pip=True, symlinks=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        done.write_text(wanted)
    names = [model.name for model in models]
    training = [str(python), "-m", "benchmarks.proving.train", str(BUILD / "models"), *names]
    subprocess.run(training, check=True, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=sys.stderr)


def _applies(side: str, model: BenchmarkModel) -> bool:
    if side == "ezkl-hashed":
        return model.five
    return side != "ezkl-tuned" or model.name in ezkl_side.TUNED_MODELS


def _measure(side: str, model: BenchmarkModel, entry: Fields, seconds: float) -> Fields:
    if side != "proofmesh":
        return ezkl_side.measure(model, BUILD, seconds, side)
    error = entry.get("ezkl", {}).get("max_error")
    return mesh_side.measure(model, BUILD, error, seconds)


def _read(path: Path) -> Fields:
    if path.is_file():
        found: Fields = json.loads(path.read_text())
        return found
    return {"models": {}}


def _write(path: Path, result: Fields) -> None:
    result["machine"] = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.machine()}
    result["limits"] = {"memory_gib": ezkl_side.MEMORY_BYTES >> 30, "ezkl_scale": ezkl_side.SCALE}
    result["packages"] = list(PACKAGES)
    result["ratios"] = ratios(result["models"])
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
    temporary.replace(path)




if __name__ == "__main__":
    main()
