# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by path, in whichever Python has EZKL: `python ezkl_proof.py FOLDER` with `model.onnx`, `calibration.json` and
`input.json` there. Writes `proof.json`, EZKL's two Solidity verifiers, and the key of the reusable one.

The input is hashed, so that the proof says which one it is of.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import ezkl

SCALE = 7


def main() -> None:
    arguments = ezkl.PyRunArgs()
    arguments.input_visibility, arguments.output_visibility, arguments.param_visibility = "hashed", "public", "fixed"
    arguments.input_scale = arguments.param_scale = SCALE
    ezkl.gen_settings("model.onnx", "settings.json", py_run_args=arguments)
    ezkl.calibrate_settings(
        "calibration.json", "model.onnx", "settings.json", target="resources",
        scales=[SCALE], scale_rebase_multiplier=[1],
    )  # fmt: skip
    ezkl.compile_circuit("model.onnx", "model.compiled", "settings.json")
    ezkl.gen_srs("kzg.srs", int(json.loads(Path("settings.json").read_text())["run_args"]["logrows"]))
    ezkl.setup("model.compiled", "key.vk", "key.pk", srs_path="kzg.srs")
    ezkl.gen_witness("input.json", "model.compiled", "witness.json")
    ezkl.prove("witness.json", "model.compiled", "key.pk", proof_path="proof.json", srs_path="kzg.srs")
    asyncio.run(_write_verifiers())


async def _write_verifiers() -> None:
    for name, reusable in (("whole", False), ("reusable", True)):
        try:
            await ezkl.create_evm_verifier(
                "key.vk", "settings.json", f"{name}.sol", f"{name}.abi", srs_path="kzg.srs", reusable=reusable
            )
        except RuntimeError as error:
            # It writes the source first and then wants to download a compiler for the ABI, which nobody needs here.
            if "svm" not in str(error) or not Path(f"{name}.sol").is_file():
                raise
    await ezkl.create_evm_vka("key.vk", "settings.json", "vka.bin", srs_path="kzg.srs")


if __name__ == "__main__":
    os.chdir(sys.argv[1])
    main()
    sys.stdout.flush()
    # EZKL's runtime sometimes crashes while Python takes it down, after all work is done.
    os._exit(0)
