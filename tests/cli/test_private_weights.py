# SPDX-License-Identifier: GPL-3.0-or-later
"""Models with private weights: what everybody gets, what only the owner has, and liars."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import numpy
import onnx
import pytest
from onnx import numpy_helper
from proving_models import exported, private_weights, public

from protocol.errors import AuditError, PrivateWeightsError
from proving.audit import audit
from proving.bundle import Bundle, load
from proving.groth16.registration import Registrar
from proving.groth16.verifying_key import canonical_json
from proving.groth16.zkey import read_zkey, verifying_words
from proving.manifest import PROVING_KEY_NAME, REGISTRATION_NAME
from proving.private_weights import check_registration, weights_path
from proving.prover import load as load_prover
from proving.prover import prove, verify
from proving.publish import Publication, build, onnx_source
from proving.settings import WeightMode
from proving.statement.commitment import order_secrets

OWNER = Registrar(b"\x01" * 20, 31337, b"\x02" * 20)
SECRETS = order_secrets(b"a client's secret", b"salt")
ROW = (1, 2, 3, 4)


@pytest.fixture(scope="module", params=[WeightMode.FOLDED, WeightMode.POSEIDON])
def hidden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of a model with private weights, the owner's file beside it."""
    source = onnx_source(exported("mlp"), private_weights(request.param))
    publication = Publication("hidden", secret=b"s" * 32, registrar=OWNER)
    return build(source, tmp_path_factory.mktemp("hidden"), publication)


def test_the_owner_proves_and_anybody_verifies(hidden: Bundle) -> None:
    assert stat.S_IMODE(weights_path(hidden.folder).stat().st_mode) == 0o600
    made = prove(hidden.folder, ROW, SECRETS, 5)
    assert verify(hidden.manifest.words, made.proof, made.public_inputs)
    assert not verify(hidden.manifest.words, made.proof, (*made.public_inputs[:-1], 6))


def test_no_weight_is_in_the_bundle(hidden: Bundle) -> None:
    trained = onnx.load_model_from_string(exported("mlp"))
    shown = hidden.path("model.onnx").read_bytes()
    for tensor in trained.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != numpy.float32 or values.size < 2:
            continue
        for value in values.ravel():
            assert value == 0 or numpy.float32(value).tobytes() not in shown


def test_whoever_lacks_the_weights_audits_and_cannot_prove(hidden: Bundle, tmp_path: Path) -> None:
    copy = load(Path(shutil.copytree(hidden.folder, tmp_path / "copy")))
    assert any("weights" in check for check in audit(copy).checks)
    with pytest.raises(PrivateWeightsError, match="private"):
        prove(copy.folder, ROW, SECRETS, 5)


def test_other_weights_make_no_proof_that_verifies(hidden: Bundle, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(hidden.folder, tmp_path / "copy"))
    fields = json.loads(weights_path(hidden.folder).read_text())
    fields["values"][0] ^= 1
    weights_path(folder).write_text(json.dumps(fields))
    if hidden.manifest.settings.weights.mode is WeightMode.POSEIDON:
        made = prove(folder, ROW, SECRETS, 5)
        honest = prove(hidden.folder, ROW, SECRETS, 5)
        assert made.public_inputs[1] != honest.public_inputs[1] == int(hidden.manifest.weights_commitment, 16)
        return
    with pytest.raises(Exception, match="does not verify"):
        prove(folder, ROW, SECRETS, 5)


@pytest.fixture(scope="module")
def folded(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    source = onnx_source(exported("mlp"), private_weights(WeightMode.FOLDED))
    publication = Publication("folded", secret=b"s" * 32, registrar=OWNER)
    return build(source, tmp_path_factory.mktemp("folded"), publication)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("publisher", "03" * 20),
        ("chain_id", 1),
        ("registry", "03" * 20),
        ("proof", "00" * 32),
        ("commitment", [f"{1:064x}", f"{2:064x}"]),
    ],
)
def test_a_registration_is_good_for_nobody_and_nothing_else(folded: Bundle, field: str, value: object) -> None:
    circuit = load_prover(folded.folder).compiled.circuit
    key = verifying_words(read_zkey(folded.path(PROVING_KEY_NAME)))
    manifest, data = folded.manifest, folded.path(REGISTRATION_NAME).read_bytes()
    check_registration(circuit, key, manifest.words, manifest.weights_commitment, data)
    forged = canonical_json(json.loads(data) | {field: value}).encode()
    with pytest.raises(AuditError):
        check_registration(circuit, key, manifest.words, manifest.weights_commitment, forged)


def test_constant_weights_need_no_file(tmp_path: Path) -> None:
    made = build(onnx_source(exported("logistic"), public()), tmp_path, Publication())
    assert not weights_path(made.folder).exists() and not made.manifest.private_weights
