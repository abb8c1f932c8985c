# SPDX-License-Identifier: GPL-3.0-or-later
"""EZKL's side of backends/ezkl.py: run by path, in whichever Python has EZKL; needs nothing of proofmesh.

`python ezkl_child.py STAGE FOLDER` with files in and out of the folder; `result.json` is what the stage gives.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Fields = dict[str, Any]


def main(stage: str, folder: Path) -> None:
    """Run one stage and write what it gives."""
    os.chdir(folder)
    Path("result.json").write_text(json.dumps(STAGES[stage]()))
    # EZKL's runtime sometimes crashes while Python takes it down, after all work is done.
    os._exit(0)


def compile_model() -> Fields:
    """`model.onnx`, `request.json` (run arguments, calibration scale) and `calibration.json` to a compiled circuit."""
    import ezkl

    request = json.loads(Path("request.json").read_text())
    arguments = ezkl.PyRunArgs()
    for name, value in request["arguments"].items():
        setattr(arguments, name, value)
    ezkl.gen_settings("model.onnx", "settings.json", py_run_args=arguments)
    ezkl.calibrate_settings(
        "calibration.json", "model.onnx", "settings.json", target="resources",
        scales=[request["arguments"]["input_scale"]], scale_rebase_multiplier=[1],
    )  # fmt: skip
    ezkl.compile_circuit("model.onnx", "model.compiled", "settings.json")
    settings = json.loads(Path("settings.json").read_text())
    return {
        "logrows": settings["run_args"]["logrows"], "rows": settings["num_rows"],
        "instances": [list(shape) for shape in settings["model_instance_shapes"]], "version": ezkl.__version__,
    }  # fmt: skip


def setup() -> Fields:
    """SRS (made here: a development set-up), proving and verifying key."""
    import ezkl

    logrows = json.loads(Path("settings.json").read_text())["run_args"]["logrows"]
    ezkl.gen_srs("kzg.srs", logrows)
    ezkl.setup("model.compiled", "key.vk", "key.pk", srs_path="kzg.srs")
    return {}


def prove() -> Fields:
    """`input.json` to `proof.json`."""
    import ezkl

    ezkl.gen_witness("input.json", "model.compiled", "witness.json")
    ezkl.prove("witness.json", "model.compiled", "key.pk", proof_path="proof.json", srs_path="kzg.srs")
    written = json.loads(Path("proof.json").read_text())
    shown = json.loads(Path("witness.json").read_text())["pretty_elements"]["rescaled_outputs"]
    return {"proof": written["hex_proof"], "instances": written["instances"], "outputs": shown}


def verify() -> Fields:
    """`proof.json`, `settings.json`, `key.vk` and the head of an SRS: does the proof hold?"""
    import ezkl

    try:
        valid = ezkl.verify("proof.json", "settings.json", "key.vk", srs_path="kzg.srs", reduced_srs=True)
    except RuntimeError:
        valid = False
    return {"valid": bool(valid)}


STAGES: dict[str, Callable[[], Fields]] = {
    "compile": compile_model, "setup": setup, "prove": prove, "verify": verify,
}  # fmt: skip

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
