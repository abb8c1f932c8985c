# SPDX-License-Identifier: GPL-3.0-or-later
"""Trained models as whole circuits: the statement pins the output, no wrong wire passes, other tools agree."""

from __future__ import annotations

import hashlib
import random
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from proving_programs import random_inputs
from proving_soundness import SCALE, P, Row, rows_of, surviving_pairs, survivors, with_row
from proving_soundness_circuits import WholeCircuit
from proving_systems import snarkjs_run
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier

from protocol.errors import SelfCheckError, UndeterminedOutputError
from proving.constraints.determinism_statement import commitments, given, hashed_elements, require_determined
from proving.constraints.emit import emit
from proving.constraints.files import r1cs_bytes, wtns_bytes
from proving.fixedpoint.quantise import quantise
from proving.groth16 import engine
from proving.groth16.dev_setup import dev_keys
from proving.groth16.verifying_key import proof_json, public_json, snarkjs_of
from proving.importer.model import import_model
from proving.settings import Encoding, InputRange, ModelSettings, OutputSpec, Predicate, Reveal, WeightMode, WeightSpec

FIELDS = (InputRange("x", -8, 4, 4),)
FLOATS = (InputRange("x", 0, 32, 4, encoding=Encoding.FLOAT32),)
POSITIVE = OutputSpec(Reveal.PREDICATE, predicate=Predicate.CLASS, label="1")
LABEL = OutputSpec(Reveal.SEALED, target="label")
PRIVATE = WeightSpec(WeightMode.FOLDED, 12)
MODELS: dict[str, tuple[str, ModelSettings]] = {
    "mlp": ("mlp", ModelSettings(FIELDS, OutputSpec(Reveal.SEALED), WeightSpec(), 6, 6)),
    "private mlp": ("mlp", ModelSettings(FIELDS, POSITIVE, PRIVATE, 6, 6)),
    "forest on floats": ("forest", ModelSettings(FLOATS, LABEL, WeightSpec(), 8, 8)),
    "forest": ("forest", ModelSettings(FIELDS, POSITIVE, WeightSpec(), 8, 8)),
}


@cache
def circuit(name: str) -> WholeCircuit:
    kind, chosen = MODELS[name]
    rows = np.random.RandomState(0).randint(-8, 8, (200, 4)).astype(np.float32)
    labels = (rows[:, 0] * rows[:, 1] + rows[:, 2] > 0).astype(np.int64)
    model = {
        "mlp": MLPClassifier((5,), max_iter=60, random_state=0),
        "forest": RandomForestClassifier(6, max_depth=3, random_state=0),
    }[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = to_onnx(model.fit(rows, labels), rows[:1], options={"zipmap": False}).SerializeToString()
    program = quantise(import_model(data), chosen)
    return WholeCircuit(program, emit(program))


@pytest.mark.parametrize("name", MODELS)
def test_the_statement_of_a_model_pins_everything(name: str) -> None:
    found = require_determined(circuit(name).emitted)
    assert found.determined.all()


@pytest.mark.parametrize("name", MODELS)
def test_no_wrong_wire_of_a_model_passes(name: str) -> None:
    made = circuit(name)
    generator = random.Random(9)
    case = made.case(random_inputs(made.program, generator))
    assert not rows_of(case.system).broken(case.witness)
    # Another weight for an input that is 0 is another honest witness; so is another binding, a public input.
    free = {*made.emitted.public.weights.tolist(), made.emitted.public.binding}
    others = sorted(set(range(1, case.system.wires)) - free)
    assert not survivors(case, generator.sample(others, min(len(others), 150 * SCALE)), generator)
    assert not surviving_pairs(case, 60 * SCALE, generator)


def test_what_is_hashed_is_found_without_the_emitter() -> None:
    """Four inputs of four bits and a blinding, and the output key; whatever the emitter says of them."""
    emitted = circuit("mlp").emitted
    elements = hashed_elements(emitted, commitments(emitted.public))
    assert sorted(len(form) for form in elements) == [1, 1, 16]
    assert given(emitted.public) == (emitted.public.binding,)


def test_an_output_that_is_not_tied_to_the_model_is_refused() -> None:
    """A row of the statement lets go of the output."""
    emitted = circuit("forest").emitted
    output = emitted.public.outputs[0]
    rows = rows_of(emitted.system)
    (place,) = rows.by_wire[output]
    nothing: Row = ({}, {}, {output: 1, emitted.public.binding: -1})
    loose = type(emitted)(
        with_row(emitted.system, place, nothing), emitted.public, emitted.plan, emitted.blocks, emitted.free
    )
    require_determined(loose)  # it follows from the binding, which is known: deterministic, and wrong
    gone = with_row(emitted.system, place, ({}, {}, {}))
    with pytest.raises(UndeterminedOutputError, match="outputs"):
        require_determined(type(emitted)(gone, emitted.public, emitted.plan, emitted.blocks, emitted.free))


@pytest.mark.parametrize("name", ["mlp", "forest"])
def test_snarkjs_agrees_on_circuit_witness_and_proof(name: str, tmp_path: Path) -> None:
    made = circuit(name)
    case = made.case(random_inputs(made.program, random.Random(10)))
    system, wires = case.system, list(case.witness)
    honest = wtns_bytes(_residues(wires))
    wires[made.emitted.public.outputs[0]] = (wires[made.emitted.public.outputs[0]] + 1) % P
    forged = wtns_bytes(_residues(wires))
    paths = {"c.r1cs": r1cs_bytes(system), "honest.wtns": honest, "forged.wtns": forged}
    for file, data in paths.items():
        (tmp_path / file).write_bytes(data)
    keys = dev_keys(system, hashlib.sha256(paths["c.r1cs"]).digest(), tmp_path / "c.zkey")
    key = engine.load_zkey(keys.proving_key, hashlib.sha256(keys.proving_key.read_bytes()).hexdigest())
    public, false = case.witness[1 : system.public + 1], tuple(wires[1 : system.public + 1])
    proof = engine.prove_wtns(key, honest, keys.verifying_key, public)
    with pytest.raises(SelfCheckError):
        engine.prove_wtns(key, forged, keys.verifying_key, false)
    assert not engine.verify(keys.verifying_key, proof, false)
    words, theirs = snarkjs_of(keys.verifying_key), proof_json(proof)
    r1cs = str(tmp_path / "c.r1cs")
    answers = snarkjs_run(
        ["wtns", "check", r1cs, str(tmp_path / "honest.wtns")],
        ["wtns", "check", r1cs, str(tmp_path / "forged.wtns")],
        ["groth16", "verify", words, public_json(public), theirs],
        ["groth16", "verify", words, public_json(false), theirs],
    )
    # Without a logger, snarkjs answers a wrong witness with an exception.
    assert [answer is True for answer in answers] == [True, False, True, False]


def _residues(wires: list[int]) -> np.ndarray:
    data = b"".join(wire.to_bytes(32, "little") for wire in wires)
    return np.frombuffer(data, dtype=np.uint8).reshape(-1, 32)
