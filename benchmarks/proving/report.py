# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark as a page: a table of every figure, and a plot. `python -m benchmarks.proving.report RESULT FOLDER`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.proving.models import MODELS
from benchmarks.proving.ratios import both_done, cold_seconds, key_ratio, prove_ratio, warm_seconds

Fields = dict[str, Any]
TITLES = {"ezkl": "EZKL", "ezkl-hashed": "EZKL, input hashed", "ezkl-tuned": "EZKL, tuned", "proofmesh": "proofmesh"}
"""The sides, in the page's order."""
_INTRO = """# Proving: EZKL and proofmesh

Written by `make bench-proving`; do not edit. Both sides in one run on the same machine ({cores} cores, one model at a
time): the same ONNX files and inputs, private input, public output, fixed weights. EZKL 23.0.5 runs with its own
calibration (`target="resources"`) at scale {scale}, its default; proofmesh takes the fewest fractional bits (of
activations, of weights) whose largest error against onnxruntime, on the same rows, is at most 1.25 times EZKL's.
Each stage is a process of its own, limited to {memory} GiB and, for a model, 15 minutes.

- *warm*: a proof from raw inputs in a process that proved before, median. proofmesh keeps its key in memory and
  verifies each proof before it is out; EZKL's API reads its key at every call.
- *cold*: the first proof of a fresh process; proofmesh's includes compiling the model and loading the key.
- *peak*: largest resident memory of the proving process. *gas*: one verification in a transaction of its own.
- *EZKL, tuned*: small models with a decomposition base of 128 instead of the default of 2^14, chosen by hand: EZKL's
  calibration leaves the base alone, and its table is then most of a small model.
- *EZKL, input hashed*: with a public Poseidon hash of the input, so that a proof says something about one input and
  not about some input. proofmesh's statement always has such a commitment, blinded, and a binding to an order. Plain
  *EZKL* has an input that is private and bound to nothing.
- groth16py, the engine of proofmesh, proves on one core; EZKL on all.
"""


def write_report(result: Path, folder: Path, environment: Path) -> None:
    """Write proving.md and proving.svg into a folder; the plot is drawn in the benchmark's environment."""
    folder.mkdir(parents=True, exist_ok=True)
    found = json.loads(result.read_text())
    (folder / "proving.md").write_text(page(found), encoding="utf-8")
    python = environment / "bin" / "python"
    subprocess.run(
        [str(python), "-m", "benchmarks.proving.plot", str(result), str(folder / "proving.svg")], check=True
    )


def page(result: Fields) -> str:
    """Return the page as Markdown."""
    intro = _INTRO.format(
        cores=result["machine"]["cores"], scale=result["limits"]["ezkl_scale"], memory=result["limits"]["memory_gib"]
    )
    parts = [intro, "![warm proving time and key size](proving.svg)\n", _summary(result["ratios"])]
    models = [model for model in MODELS if model.name in result["models"]]
    rows = [
        _row(model.name, side, result)
        for model in models
        for side in TITLES
        if side in ("ezkl", "proofmesh") or side in result["models"][model.name]
    ]
    remarks = [f"{row['model']}, {TITLES[row['side']]}: {row['remark']}\n" for row in rows if "remark" in row]
    parts += ["## Figures\n", _table(rows, COLUMNS), *remarks, "## Accuracy\n", _table(rows, ACCURACY)]
    data = [f"- {model.name}: {model.data}." for model in models]
    parts += ["## Data\n", "Weights are trained; inputs are held out from training.\n", "\n".join(data) + "\n"]
    return "\n".join(parts)


def _summary(ratios: Fields) -> str:
    if ratios.get("geomean_prove_ratio") is None:
        return f"Ratios: {ratios['reason']}.\n"
    return (
        f"Over the five networks, with a commitment to the input on both sides, warm proving is "
        f"{ratios['geomean_prove_ratio']} times faster (geometric mean; the least is {ratios['least_prove_ratio']}), "
        f"and proving keys are {ratios['geomean_key_ratio']} times smaller. Against EZKL with an input bound to "
        f"nothing: {ratios['bare_geomean_prove_ratio']} times (least {ratios['bare_least_prove_ratio']}), and "
        f"{ratios['bare_geomean_key_ratio']} times smaller.\n"
    )


def _row(name: str, side: str, result: Fields) -> Fields:
    entry = result["models"][name]
    both = side != "proofmesh" and both_done(entry, side)
    return {"model": name, "side": side, "both": both, "entry": entry, **entry.get(side, {"status": "not run"})}


def _ratio(of: Callable[[Fields, str], float]) -> Callable[[Fields], str]:
    return lambda row: f"{of(row['entry'], row['side']):,.0f}x" if row["both"] else ""


def _seconds(value: float) -> str:
    return f"{value * 1000:,.0f} ms" if value < 1 else f"{value:,.1f} s"


COLUMNS: dict[str, Callable[[Fields], str]] = {
    "model": lambda row: row["model"],
    "": lambda row: TITLES[row["side"]],
    "rows": lambda row: f"{row.get('constraints', row.get('rows')):,}",
    "set-up": lambda row: _seconds(row["setup_s"]),
    "key": lambda row: f"{row['key_bytes'] / 1e6:,.1f} MB",
    "peak": lambda row: f"{row['prove_peak_bytes'] / 1e6:,.0f} MB",
    "cold": lambda row: _seconds(cold_seconds(row)),
    "warm": lambda row: _seconds(warm_seconds(row)),
    "proofmesh faster": _ratio(prove_ratio),
    "its key smaller": _ratio(key_ratio),
    "proof": lambda row: f"{row['proof_bytes']:,} B",
    "verify": lambda row: _seconds(row["verify_s"]),
    "gas": lambda row: f"{row['verify_gas']:,}",
}
ACCURACY: dict[str, Callable[[Fields], str]] = {
    "model": lambda row: row["model"],
    "": lambda row: TITLES[row["side"]],
    "fractional bits": lambda row: f"{row.get('bits', row.get('scale'))}, {row.get('weight_bits', row.get('scale'))}",
    "largest error": lambda row: f"{row['max_error']:.4f}",
    "same decision": lambda row: f"{row['agreement']:.1%} of {row['accuracy_rows']}",
}


def _table(rows: list[Fields], columns: dict[str, Callable[[Fields], str]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        if row["status"] == "done":
            cells = [show(row) for show in columns.values()]
        else:
            # What is not there is said once, in the first column of figures.
            cells = [row["model"], TITLES[row["side"]], row["status"], *[""] * (len(columns) - 3)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[2]
    write_report(Path(sys.argv[1]), Path(sys.argv[2]), root / "build" / "bench-ezkl")
