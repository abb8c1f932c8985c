# SPDX-License-Identifier: GPL-3.0-or-later
"""One model through EZKL: a local proof of a held-out row, whose values are compared with onnxruntime."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnxruntime

from examples.models.data import Data
from protocol.scalars import BN254_SCALAR_ORDER
from proving.backends import ezkl
from proving.publish import onnx_source
from proving.settings import ModelSettings, OutputSpec, Reveal
from proving.statement.commitment import Secrets

NOT_INSTALLED = "EZKL is not installed; `make test-ezkl` installs it into build/bench-ezkl, proofmesh[ezkl] here"
LARGEST_ERROR = 0.3
"""Of a logit, at 7 fractional bits of activations and of weights."""
_BITS = 7
_BENCHMARK = Path(__file__).resolve().parents[2] / "build" / "bench-ezkl" / "bin" / "python"


def found() -> bool:
    """Say whether there is a Python with EZKL; that of the benchmark is taken if there is no other."""
    if not ezkl.installed() and _BENCHMARK.is_file():
        os.environ[ezkl.PYTHON_VARIABLE] = str(_BENCHMARK)
    return ezkl.installed()


def measure_ezkl(model: bytes, data: Data, work: Path) -> dict[str, float | int | None]:
    """Prove and verify the first held-out row; rows and domain are of EZKL's table. No order can be settled with it.

    Raises:
        ProofmeshError: EZKL is not installed, or one of its steps fails.
        RuntimeError: the proof says something else than onnxruntime, or a changed one passes.
    """
    backend = ezkl.backend()
    settings = ModelSettings(data.fields, OutputSpec(Reveal.PUBLIC), fractional_bits=_BITS, weight_bits=_BITS)
    compiled = backend.compile(onnx_source(model, settings))
    work.mkdir(parents=True, exist_ok=True)
    keys = backend.setup(compiled, work)
    row = data.held_out[:1]
    proved = backend.prove(compiled, keys, [int(each) for each in data.rows[row][0]], Secrets(0, 0), 0)
    first, *others = proved.public_inputs
    if backend.verify(keys.verifying_key, proved.proof, (first + 1, *others)):
        raise RuntimeError("EZKL verifies a proof with another output.")
    (scale,) = json.loads(compiled.circuit.settings_json)["model_output_scales"]
    half = BN254_SCALAR_ORDER // 2
    shown = [(each if each < half else each - BN254_SCALAR_ORDER) / 2**scale for each in proved.public_inputs]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {session.get_inputs()[0].name: data.reals(row)})
    if int(np.argmax(shown)) != int(expected.argmax()) or np.abs(np.array(shown) - expected).max() > LARGEST_ERROR:
        raise RuntimeError("EZKL's proof does not say what the model says.")
    return {
        "activation_bits": _BITS,
        "weight_bits": _BITS,
        "constraints": compiled.size.rows,
        "domain": compiled.size.domain,
        "key_bytes": keys.proving_key.stat().st_size,
        "proving_ms": round(proved.proving_ms),
    }
