# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure the demo's credit model: constraints, set-up, witness, proving, verification.

`python benchmarks/credit.py [--json]`. Times are wall time in milliseconds, the median of several runs
with warm keys, on whatever machine runs this.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from types import ModuleType
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[1]
# A script's own folder comes first on the path, where this file would hide the package of the same name.
sys.path[0] = str(ROOT)

from proving import prover  # noqa: E402
from proving.audit import audit  # noqa: E402
from proving.bundle import load  # noqa: E402
from proving.groth16.backend import GROTH16  # noqa: E402
from proving.inputs import parse_inputs  # noqa: E402
from proving.publish import onnx_source  # noqa: E402
from proving.statement.commitment import order_secrets  # noqa: E402

RUNS = 9
Result = TypeVar("Result")


def measure() -> dict[str, object]:
    """Return the figures of the credit model by name."""
    credit = _credit()
    trained, train_ms = _timed(credit.train)
    compiled, compile_ms = _timed(lambda: GROTH16.compile(onnx_source(trained.onnx, trained.settings)))
    with tempfile.TemporaryDirectory() as folder:
        _, setup_ms = _timed(lambda: GROTH16.setup(compiled, Path(folder)))
        bundle = credit.compile_bundle(trained, Path(folder) / "store")
        loaded, load_ms = _timed(lambda: load(bundle.folder, bundle.id))
        _, audit_ms = _timed(lambda: audit(loaded))
        values = parse_inputs(bundle.manifest.inputs, trained.accepted)
        secrets = order_secrets(b"a secret of the benchmark", b"salt")
        proofs = [prover.prove(bundle.folder, values, secrets, 1) for _ in range(RUNS)]
        last, words = proofs[-1], bundle.manifest.words
        check = partial(prover.verify, words, last.proof, last.public_inputs)
        verifying = [_timed(check) for _ in range(RUNS)]
        sizes = {entry.name: entry.size for entry in bundle.manifest.files}
    return {
        "model": "credit, scaler + MLP(16), predicate",
        "inputs": len(values),
        "constraints": compiled.size.rows,
        "wires": compiled.size.wires,
        "domain": bundle.manifest.domain,
        "public_inputs": len(last.public_inputs),
        "train_ms": round(train_ms),
        "compile_ms": round(compile_ms),
        "setup_ms": round(setup_ms),
        "load_ms": round(load_ms, 1),
        "audit_ms": round(audit_ms),
        "witness_ms": round(statistics.median(each.witness_ms for each in proofs), 1),
        "proving_ms": round(statistics.median(each.proving_ms for each in proofs), 1),
        "verify_ms": round(statistics.median(ms for _, ms in verifying), 2),
        "proof_bytes": len(last.proof),
        "bytes": sizes,
        **trained.metrics,
    }


def _credit() -> ModuleType:
    """Load examples/credit/train.py by path: other packages install a top-level `examples` too."""
    name = "proofmesh_example_credit"
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / "credit" / "train.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    start = perf_counter()
    result = work()
    return result, (perf_counter() - start) * 1000


def main() -> None:
    """Print the figures, one a line, or as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    figures = measure()
    if as_json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:32} {value}")


if __name__ == "__main__":
    main()
