# SPDX-License-Identifier: GPL-3.0-or-later
"""What private weights cost: `python -m benchmarks.private_weights [--json]`.

Two dense networks with random weights, 8-bit inputs and weights; constant, folded and hashed (Poseidon) weights in one
run. Times are medians with a warm key, witness and self-check included; ratios are against constant weights.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from proving import prover
from proving.publish import Publication, build, onnx_source
from proving.settings import InputRange, ModelSettings, OutputSpec, Reveal, WeightMode, WeightSpec
from proving.statement.commitment import order_secrets

NETWORKS = ((20, 16, 1), (64, 64, 32, 10))
RUNS = 7
PIXEL_BITS = 8


def measure(sizes: Sequence[int]) -> dict[str, object]:
    """Return the figures of one network by weight mode."""
    figures: dict[str, object] = {}
    model, row = network(sizes), [(37 * index) % 256 for index in range(sizes[0])]
    base = 0.0
    for mode in WeightMode:
        inputs = (InputRange("x", 0, PIXEL_BITS, sizes[0], PIXEL_BITS),)
        settings = ModelSettings(inputs, OutputSpec(Reveal.PUBLIC), WeightSpec(mode, 10))
        with tempfile.TemporaryDirectory() as folder:
            publication = Publication("bench", secret=b"a secret of the benchmark")
            bundle = build(onnx_source(model, settings), Path(folder), publication)
            secrets = order_secrets(b"a secret of the benchmark", b"salt")
            proofs = [prover.prove(bundle.folder, row, secrets, 1) for _ in range(RUNS + 1)][1:]
        total = statistics.median(each.witness_ms + each.proving_ms for each in proofs)
        base = base or total
        figures[mode.value] = {
            "constraints": bundle.manifest.constraints,
            "domain": bundle.manifest.domain,
            "public_inputs": bundle.manifest.public_inputs,
            "prove_ms": round(total, 1),
            "witness_ms": round(statistics.median(each.witness_ms for each in proofs), 2),
            "ratio": round(total / base, 2),
        }
    return figures


def network(sizes: Sequence[int]) -> bytes:
    """Return a dense ReLU network with random weights as an ONNX file."""
    generator = np.random.RandomState(7)
    nodes, tensors, name = [], [], "X"
    for index, (size, following) in enumerate(itertools.pairwise(sizes)):
        spread = np.sqrt(2 / size)
        weights = np.clip(generator.normal(0, spread, (following, size)), -0.9, 0.9).astype(np.float32)
        bias = generator.uniform(-0.1, 0.1, following).astype(np.float32)
        tensors += [numpy_helper.from_array(weights, f"w{index}"), numpy_helper.from_array(bias, f"b{index}")]
        nodes.append(helper.make_node("Gemm", [name, f"w{index}", f"b{index}"], [f"z{index}"], transB=1))
        name = f"z{index}"
        if index < len(sizes) - 2:
            nodes.append(helper.make_node("Relu", [name], [f"h{index}"]))
            name = f"h{index}"
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [1, sizes[0]])]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, sizes[-1]])]
    made = helper.make_graph(nodes, "dense", inputs, outputs, tensors)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    return bytes(model.SerializeToString(deterministic=True))


def main() -> None:
    """Print the figures, as a table or as one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    as_json = parser.parse_args().json
    figures = {"-".join(map(str, sizes)): measure(sizes) for sizes in NETWORKS}
    if as_json:
        print(json.dumps(figures))
        return
    for name, modes in figures.items():
        for mode, found in modes.items():
            print(f"{name:14} {mode:9} {found}")


if __name__ == "__main__":
    main()
