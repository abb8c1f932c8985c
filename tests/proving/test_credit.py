# SPDX-License-Identifier: GPL-3.0-or-later
"""The credit model on real applications: trained the same each time, and the circuit decides as it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from proving_models import credit_module

from proving import prover
from proving.audit import audit
from proving.inputs import parse_inputs
from proving.settings import Reveal
from proving.statement.commitment import order_secrets
from proving.statement.opening import commitments_of


def test_training_is_deterministic(credit: Any) -> None:
    again = credit_module().train()
    assert again.onnx == credit.onnx and again.settings == credit.settings
    assert again.provenance == credit.provenance


def test_all_complete_applications_are_used() -> None:
    prepared = credit_module().prepare()
    assert len(prepared.rows) == 4039
    flags = [i for i, name in enumerate(prepared.names) if "=" in name]
    assert all(sum(row[i] for i in flags) == 4 for row in prepared.rows)


def test_the_model_beats_the_majority(credit: Any) -> None:
    metrics = {name: float(value) for name, value in credit.metrics.items()}
    assert metrics["held_out_accuracy"] > metrics["majority_rate"] + 0.04
    assert metrics["held_out_auc"] > 0.8


def test_the_circuit_decides_as_onnxruntime_on_every_held_out_application(credit: Any) -> None:
    assert credit.metrics["circuit_decision_agreement"] == "1.000000"
    assert float(credit.metrics["circuit_max_error"]) < 2e-3


def test_the_logistic_variant_agrees_too() -> None:
    trained = credit_module().train("logistic", Reveal.PUBLIC)
    assert float(trained.metrics["circuit_decision_agreement"]) >= 0.995


@pytest.mark.parametrize(("applicant", "bit"), [("accepted", 1), ("rejected", 0)])
def test_held_out_applicants_are_proved_on_both_sides_of_the_threshold(
    credit: Any, tmp_path_factory: pytest.TempPathFactory, applicant: str, bit: int
) -> None:
    store: Path = tmp_path_factory.mktemp("credit")
    bundle = credit_module().compile_bundle(credit, store)
    assert audit(bundle).constraints < 2048
    values = parse_inputs(bundle.manifest.inputs, getattr(credit, applicant))
    secrets = order_secrets(b"applicant's secret", bundle.id)
    early = prover.witness(bundle.folder, values, secrets)
    result = prover.prove(bundle.folder, values, secrets, 99)
    commitment = commitments_of(bundle.manifest.statement_layout, values, secrets)[0]
    assert result.public_inputs == (commitment, bit, 99) and early.commitment == commitment
    assert prover.verify(bundle.manifest.words, result.proof, result.public_inputs)
    assert not prover.verify(bundle.manifest.words, result.proof, (commitment, 1 - bit, 99))
