# SPDX-License-Identifier: GPL-3.0-or-later
"""Commit, prove, verify at the command line: what each way to reveal shows, and openings that last."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import onnx
import pytest
from command_line import Shell

from node.cli.local import _proof_fields
from protocol.errors import ProofInvalidError

RECORD = [1, 2, 3, 4]


def test_a_public_score_is_read_out_by_label(shell: Shell) -> None:
    bundle = shell.compiled("public", classes=3)
    record, proof = shell.write("in.json", RECORD), shell.folder / "proof.json"
    # Named from where the user stands, which is not where a worker does.
    proved = shell("prove", Path(os.path.relpath(bundle)), record, "--out", proof)
    assert set(proved["values"]) == {"0", "1", "2"}
    verified = shell("verify", bundle, proof)
    assert verified["valid"] and verified["values"] == proved["values"]


def test_a_sealed_score_is_read_by_its_owner_alone(shell: Shell) -> None:
    bundle = shell.compiled("sealed")
    record, proof = shell.write("in.json", RECORD), shell.folder / "proof.json"
    assert isinstance(shell("prove", bundle, record, "--out", proof)["values"], list)
    verified = shell("verify", bundle, proof)
    assert "values" not in verified and len(verified["sealed"]) == 1


def test_a_commitment_can_be_made_first_and_proved_about_later(shell: Shell) -> None:
    bundle = shell.compiled("predicate", threshold="0.5")
    record, opening = shell.write("in.json", RECORD), shell.folder / "opening.json"
    committed = shell("commit", bundle, record, "--opening", opening)["commitments"]["0"]
    assert stat.S_IMODE(opening.stat().st_mode) == 0o600
    for name in ("one.json", "two.json"):
        shell("prove", bundle, record, "--opening", opening, "--out", shell.folder / name)
        fields = json.loads((shell.folder / name).read_text())
        assert fields["public_inputs"][0] == committed
    error = shell("commit", bundle, record, "--opening", opening, exit_code=2)
    assert "File exists" in error["message"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "proofmesh.opening.v1", "blinding": 1}', "[" * 9999])
def test_what_is_no_opening_is_refused_and_not_shown(shell: Shell, text: str) -> None:
    bundle = shell.compiled("public", "logistic")
    opening = shell.folder / "opening.json"
    opening.write_text(text)
    error = shell("prove", bundle, shell.write("in.json", RECORD), "--opening", opening, exit_code=2)
    assert error["error"] == "PM-USE-001" and "opening" in error["message"]


def test_inspect_says_where_the_constraints_go(shell: Shell) -> None:
    found = shell("model", "inspect", shell.compiled("public"))
    assert sum(each["constraints"] for each in found["layers"]) == found["constraints"]
    assert found["estimate"]["gas"] > 200_000 and found["proving_key_bytes"] > 100_000


def test_calibration_finds_bits_and_measures_the_error(shell: Shell) -> None:
    model_inputs = [{"name": f"x{i}", "low": -20, "high": 107} for i in range(4)]
    shell.compiled("public")
    settings = shell.write("calibrated.json", {"inputs": model_inputs, "output": "public"})
    header = "x0,x1,x2,x3\n"
    rows: Path = shell.folder / "rows.csv"
    rows.write_text(header + "".join(f"{i},{2 * i},{50 - i},{i % 7}\n" for i in range(40)))
    found = shell("model", "compile", shell.folder / "model.onnx", settings, "--calibration", rows)
    figures = {each["name"]: each["value"] for each in found["manifest"]["accuracy"]}
    assert figures["calibration_rows"] == "40" and float(figures["calibration_max_error"]) <= 0.05
    rows.write_text(header + "1,2,3,400\n")
    assert "Row 1" in shell(
        "model", "compile", shell.folder / "model.onnx", settings, "--calibration", rows, exit_code=2
    )["message"]


def test_weights_in_a_file_beside_the_model_are_compiled_with_it(shell: Shell) -> None:
    whole = shell.compiled("public")
    model, settings = shell.folder / "model.onnx", shell.folder / "settings.json"
    proto = onnx.load(model)
    for tensor in proto.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor), tensor.name))
    onnx.save(proto, model, save_as_external_data=True, location="model.data", size_threshold=0)
    split = shell("model", "compile", model, settings)
    same = shell("model", "inspect", whole)
    assert shell("model", "inspect", split["bundle_id"].removeprefix("0x"))["layers"] == same["layers"]
    (shell.folder / "model.data").unlink()
    assert shell("model", "compile", model, settings, exit_code=1)["error"] == "PM-MDL-004"


@pytest.mark.parametrize("chain_id", [-1, 10**400, True, 1.5, None, "1"])
def test_a_proof_file_with_an_impossible_chain_is_no_proof_file(tmp_path: Path, chain_id: object) -> None:
    fields = {"format": "proofmesh.proof.v1", "program_id": "ab", "public_inputs": ["1", "2"], "chain_id": 5}
    fields |= {"consumer": "0x" + "00" * 20, "subject": "0x" + "00" * 20, "proof": "0x" + "00" * 256}
    (tmp_path / "good.json").write_text(json.dumps(fields))
    assert _proof_fields(tmp_path / "good.json")["chain_id"] == 5
    (tmp_path / "bad.json").write_text(json.dumps(fields | {"chain_id": chain_id}))
    with pytest.raises(ProofInvalidError):
        _proof_fields(tmp_path / "bad.json")
