# SPDX-License-Identifier: GPL-3.0-or-later
"""Circuits of real programs with their statements: keys, audits by both set-ups, and proofs of two owners' models."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from proving_statements import Compiled, classifier, compiled, value_of

from protocol.scalars import BN254_SCALAR_ORDER as R
from proving.constraints.files import r1cs_bytes, wtns_bytes
from proving.constraints.weight_words import words_of
from proving.groth16 import ceremony, engine
from proving.groth16.dev_setup import DevPhase1, dev_keys
from proving.groth16.folded import FoldedWires, fold
from proving.groth16.key_audit import audit_key
from proving.groth16.ptau import dev_ptau, read_ptau
from proving.settings import InputRange, ModelSettings, OutputSpec, Reveal, WeightMode, WeightSpec

RAW = (7, 15, 0, 15)


def program(mode: WeightMode) -> Compiled:
    settings = ModelSettings(
        (InputRange("x", -8, 5, 4),), OutputSpec(Reveal.PUBLIC), WeightSpec(mode, bits=13), 8, weight_bits=6
    )
    return compiled(classifier(3), settings)


@pytest.mark.parametrize("mode", list(WeightMode))
def test_proofs_under_audited_keys_verify(mode: WeightMode, tmp_path: Path) -> None:
    made = program(mode)
    system, path = made.circuit.system, tmp_path / "k.zkey"
    circuit_hash = hashlib.sha256(r1cs_bytes(system)).digest()
    keys = dev_keys(system, circuit_hash, path)
    audit_key(system, path, DevPhase1().secrets(circuit_hash), keys.verifying_key)
    words, statement = keys.verifying_key, made.circuit.public.statement
    if mode is WeightMode.FOLDED:
        wires = FoldedWires(statement, len(made.circuit.public.weights) - 1)
        assert wires.public == system.public
        witness = made.witness(RAW)
        *weights, blinding = (value_of(witness, wire) for wire in range(statement + 1, system.public + 1))
        assert [weight % R for weight in words_of(made.program)] == weights
        words, _ = fold(words, words_of(made.program), blinding, wires)
    key = engine.load_zkey(path, hashlib.sha256(path.read_bytes()).hexdigest())
    public = made.words(made.witness(RAW))
    assert len(words) == 14 + 2 * (len(public) + 1)
    proof = engine.prove_wtns(key, wtns_bytes(made.witness(RAW)), words, public)
    assert not engine.verify(words, proof, [public[0], public[1] + 1, *public[2:]])


@pytest.mark.slow
def test_a_ceremony_for_a_real_circuit(tmp_path: Path) -> None:
    """Poseidon's full-size coefficients and long columns, through powers of tau."""
    made = program(WeightMode.CONSTANT)
    system = made.circuit.system
    paths = [tmp_path / f"{index}.zkey" for index in range(3)]
    dev_ptau(system.domain.bit_length() - 1, tmp_path / "p.ptau")
    ceremony.start(system, tmp_path / "p.ptau", paths[0])
    ceremony.contribute(paths[0], paths[1], b"dice", "Ada")
    keys = ceremony.finish(paths[1], paths[2], bytes(32), 10)
    transcript = ceremony.verify(system, tmp_path / "p.ptau", paths[2])
    assert [step.name for step in transcript.steps] == ["Ada", "beacon"]
    key = engine.load_zkey(paths[2], hashlib.sha256(paths[2].read_bytes()).hexdigest())
    witness = made.witness(RAW)
    engine.prove_wtns(key, wtns_bytes(witness), keys.verifying_key, made.words(witness))
    # The development key of the same circuit passes the audit by powers of tau.
    dev = dev_keys(system, bytes(32), tmp_path / "dev.zkey")
    audit_key(system, dev.proving_key, read_ptau(tmp_path / "p.ptau"), dev.verifying_key)
