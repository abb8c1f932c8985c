# SPDX-License-Identifier: GPL-3.0-or-later
"""One stage of EZKL on one model, in a process of its own: `python -m benchmarks.proving.ezkl_stage STAGE JOB`.

JOB is a JSON file: `onnx`, `data` (.npz), `folder`, `srs` (folder of the SRS files), `scale`, `rows`, `arguments`
(further ones of EZKL). Runs in the benchmark's own environment and prints one JSON object as its last line.
Stages: compile, srs, setup, accuracy, prove, evm.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import ezkl
import numpy as np

from benchmarks.proving.decisions import decisions

CALIBRATION_ROWS = 8
PROOFS, ENOUGH_S = 3, 60.0
"""Proofs of a process: the first is cold, at least one more is warm, and so on unless they take so long."""
VERIFICATIONS = 5
Job = dict[str, Any]


def compile_model(job: Job) -> Job:
    """Settings, calibration at one scale, circuit."""
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    arguments = ezkl.PyRunArgs()
    arguments.input_visibility, arguments.output_visibility, arguments.param_visibility = "private", "public", "fixed"
    arguments.input_scale = arguments.param_scale = job["scale"]
    for name, value in job["arguments"].items():
        setattr(arguments, name, value)
    model, settings = job["onnx"], str(folder / "settings.json")
    rows = _inputs(job)
    _write_data(folder / "calibration.json", *rows[:CALIBRATION_ROWS])
    _write_data(folder / "input.json", rows[0])
    start = perf_counter()
    ezkl.gen_settings(model, settings, py_run_args=arguments)
    ezkl.calibrate_settings(
        str(folder / "calibration.json"), model, settings, target="resources",
        scales=[job["scale"]], scale_rebase_multiplier=[1],
    )  # fmt: skip
    ezkl.compile_circuit(model, str(folder / "model.compiled"), settings)
    compile_s = perf_counter() - start
    chosen = json.loads(Path(settings).read_text())
    return {
        "compile_s": compile_s, "logrows": chosen["run_args"]["logrows"],
        "rows": chosen["num_rows"], "assignments": chosen["total_assignments"],
        "lookup_range": chosen["run_args"]["lookup_range"], "columns": chosen["run_args"]["num_inner_cols"],
    }  # fmt: skip


def make_srs(job: Job) -> Job:
    """The SRS of the circuit's size, made locally unless it is there; users download one."""
    srs = _srs(job)
    start = perf_counter()
    if not srs.is_file():
        srs.parent.mkdir(parents=True, exist_ok=True)
        # Under another name until it is whole: the stage may be stopped.
        ezkl.gen_srs(f"{srs}.new", int(srs.stem.removeprefix("kzg")))
        Path(f"{srs}.new").rename(srs)
    return {"srs_s": perf_counter() - start}


def setup(job: Job) -> Job:
    """Keys, and their sizes in bytes."""
    folder = Path(job["folder"])
    start = perf_counter()
    ezkl.setup(str(folder / "model.compiled"), str(folder / "vk"), str(folder / "pk"), srs_path=str(_srs(job)))
    return {
        "setup_s": perf_counter() - start,
        "key_bytes": (folder / "pk").stat().st_size,
        "verifying_key_bytes": (folder / "vk").stat().st_size,
    }


def accuracy(job: Job) -> Job:
    """The circuit's outputs against onnxruntime's: largest error, and how often the decision is the same."""
    folder, rows = Path(job["folder"]), _inputs(job)[: job["rows"]]
    expected = np.load(job["data"])["expected"][: job["rows"]]
    outputs = []
    for row in rows:
        _write_data(folder / "row.json", row)
        ezkl.gen_witness(str(folder / "row.json"), str(folder / "model.compiled"), str(folder / "row.witness"))
        witness = json.loads((folder / "row.witness").read_text())
        outputs.append([float(x) for x in witness["pretty_elements"]["rescaled_outputs"][0]])
    got = np.array(outputs)
    return {
        "accuracy_rows": len(rows),
        "max_error": float(np.abs(got - expected).max()),
        "agreement": float((decisions(got) == decisions(expected)).mean()),
    }


def prove(job: Job) -> Job:
    """Witness and proof from the inputs, several times in this fresh process; EZKL reads its key at every call."""
    folder, srs = Path(job["folder"]), str(_srs(job))
    model, witness, proof = (str(folder / name) for name in ("model.compiled", "witness.json", "proof.json"))
    times: list[tuple[float, float]] = []
    while len(times) < 2 or (len(times) < PROOFS and sum(each for _, each in times) < ENOUGH_S):
        start = perf_counter()
        ezkl.gen_witness(str(folder / "input.json"), model, witness)
        middle = perf_counter()
        ezkl.prove(witness, model, str(folder / "pk"), proof_path=proof, srs_path=srs)
        times.append((middle - start, perf_counter() - middle))
    checks = []
    for _ in range(VERIFICATIONS):
        start = perf_counter()
        valid = ezkl.verify(proof, str(folder / "settings.json"), str(folder / "vk"), srs_path=srs)
        checks.append(perf_counter() - start)
        assert valid
    written = json.loads(Path(proof).read_text())
    return {
        "witness_s": [each for each, _ in times], "prove_s": [each for _, each in times],
        "verify_s": sorted(checks)[len(checks) // 2],
        "proof_bytes": len(bytes.fromhex(written["hex_proof"].removeprefix("0x"))),
    }  # fmt: skip


def evm(job: Job) -> Job:
    """Write EZKL's Solidity verifier and the calldata of the proof, for the gas."""
    folder = Path(job["folder"])
    asyncio.run(_write_verifier(folder, str(_srs(job))))
    calldata = ezkl.encode_evm_calldata(str(folder / "proof.json"), str(folder / "calldata.bin"))
    return {"calldata_bytes": len(calldata)}


async def _write_verifier(folder: Path, srs: str) -> None:
    source = folder / "verifier.sol"
    try:
        await ezkl.create_evm_verifier(
            str(folder / "vk"), str(folder / "settings.json"), str(source), str(folder / "verifier.abi"), srs_path=srs
        )
    except RuntimeError as error:
        # It writes the source first and then wants to download a compiler for the ABI, which nobody needs here.
        if "svm" not in str(error) or not source.is_file():
            raise


def _inputs(job: Job) -> Any:
    return np.load(job["data"])["inputs"]


def _srs(job: Job) -> Path:
    settings = json.loads((Path(job["folder"]) / "settings.json").read_text())
    return Path(job["srs"]) / f"kzg{settings['run_args']['logrows']}.srs"


def _write_data(path: Path, *rows: Any) -> None:
    path.write_text(json.dumps({"input_data": [row.tolist() for row in rows]}))


STAGES: dict[str, Callable[[Job], Job]] = {
    "compile": compile_model, "srs": make_srs, "setup": setup, "accuracy": accuracy, "prove": prove, "evm": evm,
}  # fmt: skip

if __name__ == "__main__":
    print("\n" + json.dumps(STAGES[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))), flush=True)
    # EZKL's runtime sometimes crashes while Python takes it down, after all work is done.
    os._exit(0)
