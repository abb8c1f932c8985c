# SPDX-License-Identifier: GPL-3.0-or-later
"""One stage of proofmesh on one model, in a process of its own: `python -m benchmarks.proving.mesh_stage STAGE JOB`.

JOB is a JSON file: `model`, `onnx`, `data` (.npz), `folder`, `rows`, `max_error` (EZKL's; null: `DEFAULT_BITS`). Prints
one JSON object as its last line. Stages: precision, setup, prove.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.proving.decisions import decisions
from benchmarks.proving.models import BY_NAME
from proving.constraints.emit import EmittedCircuit, emit
from proving.constraints.files import r1cs_bytes, wtns_bytes
from proving.fixedpoint.batch import Evaluator
from proving.fixedpoint.program import Program
from proving.fixedpoint.quantise import quantise
from proving.groth16 import engine
from proving.groth16.dev_setup import dev_keys
from proving.importer.graph import Graph
from proving.importer.model import import_model
from proving.settings import Encoding, InputRange, ModelSettings, OutputSpec, Reveal
from proving.statement.commitment import Secrets, order_secrets
from proving.statement.emit import given

PROOFS = 6
VERIFICATIONS = 9
DEFAULT_BITS = (8, 8)
BITS = sorted(
    ((a, w) for a in range(3, 17) for w in range(3, 17) if abs(a - w) <= 2), key=lambda each: (sum(each), each)
)
"""Fractional bits of activations and weights that are tried, fewest first."""
TOLERANCE = 1.25
_KEY, _WORDS = "circuit.zkey", "verifying_key.json"
Job = dict[str, Any]


@dataclass(frozen=True)
class Compiled:
    program: Program
    circuit: EmittedCircuit
    evaluator: Evaluator


def precision(job: Job) -> Job:
    """The least precision whose largest error is at most 1.25 times EZKL's, on the same rows, against onnxruntime."""
    graph = import_model(Path(job["onnx"]).read_bytes())
    data = np.load(job["data"])
    raw, expected = data["raw"][: job["rows"]], data["expected"][: job["rows"]]
    for bits in BITS if job["max_error"] is not None else [DEFAULT_BITS]:
        program = _program(job, graph, bits)
        got = _revealed(program, raw)
        error = float(np.abs(got - expected).max())
        if job["max_error"] is None or error <= TOLERANCE * job["max_error"]:
            break
    rows = np.load(job["data"])
    everything = _revealed(program, rows["raw"])
    return {
        "bits": bits[0], "weight_bits": bits[1], "max_error": error, "accuracy_rows": len(raw),
        "agreement": float((decisions(got) == decisions(expected)).mean()),
        "agreement_all": float((decisions(everything) == decisions(rows["expected"])).mean()),
        "max_error_all": float(np.abs(everything - rows["expected"]).max()),
    }  # fmt: skip


def setup(job: Job) -> Job:
    """Compile, and make development keys."""
    folder = Path(job["folder"])
    start = perf_counter()
    compiled = _compile(job)
    compile_s = perf_counter() - start
    system = compiled.circuit.system
    digest = hashlib.sha256(r1cs_bytes(system)).digest()
    start = perf_counter()
    keys = dev_keys(system, digest, folder / _KEY)
    setup_s = perf_counter() - start
    (folder / _WORDS).write_text(json.dumps([str(word) for word in keys.verifying_key]))
    return {
        "compile_s": compile_s, "setup_s": setup_s, "constraints": system.constraints, "domain": system.domain,
        "wires": system.wires, "key_bytes": (folder / _KEY).stat().st_size,
        "verifying_key_bytes": 32 * len(keys.verifying_key), "costs": dict(compiled.circuit.costs),
    }  # fmt: skip


def prove(job: Job) -> Job:
    """Compile and load the key in this fresh process, then prove from raw inputs several times, verifying each."""
    folder = Path(job["folder"])
    words = tuple(int(word) for word in json.loads((folder / _WORDS).read_text()))
    raw = np.load(job["data"])["raw"][0].tolist()
    secrets = order_secrets(b"a secret of the benchmark", b"salt")
    start = perf_counter()
    compiled = _compile(job)
    compile_s = perf_counter() - start
    start = perf_counter()
    digest = hashlib.sha256((folder / _KEY).read_bytes()).hexdigest()
    key = engine.load_zkey(folder / _KEY, digest)
    load_s = perf_counter() - start
    times = []
    for binding in range(1, PROOFS + 1):
        start = perf_counter()
        witness = _witness(compiled, raw, secrets, binding)
        middle = perf_counter()
        public = tuple(_value(row) for row in witness[1 : 1 + compiled.circuit.public.statement])
        proof = engine.prove_wtns(key, wtns_bytes(witness), words, public)
        times.append((middle - start, perf_counter() - middle))
    checks = []
    for _ in range(VERIFICATIONS):
        start = perf_counter()
        assert engine.verify(words, proof, public)
        checks.append(perf_counter() - start)
    (folder / "proof.json").write_text(json.dumps({
        "words": [str(word) for word in words], "proof": proof.hex(), "public": [str(each) for each in public],
    }))  # fmt: skip
    return {
        "cold_compile_s": compile_s, "key_load_s": load_s, "witness_s": [each for each, _ in times],
        "prove_s": [each for _, each in times], "verify_s": sorted(checks)[len(checks) // 2],
        "proof_bytes": len(proof), "statement_words": len(public),
    }  # fmt: skip


def _settings(name: str, bits: tuple[int, int]) -> ModelSettings:
    model = BY_NAME[name]
    encoding = Encoding.FLOAT32 if model.float32 else Encoding.INTEGER
    field = InputRange("x", model.low, model.bits, model.inputs, model.scale, encoding=encoding)
    # Scores are shown in full for the comparison: as many bits as they have, at most.
    output = OutputSpec(Reveal.PUBLIC, score_bits=bits[0])
    return ModelSettings((field,), output, fractional_bits=bits[0], weight_bits=bits[1])


def _program(job: Job, graph: Graph, bits: tuple[int, int]) -> Program:
    return quantise(graph, _settings(job["model"], bits))


def _compile(job: Job) -> Compiled:
    program = _program(job, import_model(Path(job["onnx"]).read_bytes()), (job["bits"], job["weight_bits"]))
    return Compiled(program, emit(program), Evaluator(program))


def _witness(compiled: Compiled, raw: list[int], secrets: Secrets, binding: int) -> Any:
    return compiled.circuit.plan.witness(compiled.evaluator.trace(raw), given(compiled.program, secrets, binding))


def _revealed(program: Program, rows: Any) -> Any:
    """Return what the statement shows of each row, as real numbers."""
    shown = program.revealed
    assert shown is not None
    integers = Evaluator(program).values(shown.ref, rows).astype(np.float64)
    return (integers - shown.offset) / 2.0**shown.scale


def _value(row: Any) -> int:
    return int.from_bytes(row.tobytes(), "little")


STAGES: dict[str, Callable[[Job], Job]] = {"precision": precision, "setup": setup, "prove": prove}

if __name__ == "__main__":
    print("\n" + json.dumps(STAGES[sys.argv[1]](json.loads(Path(sys.argv[2]).read_text()))), flush=True)
