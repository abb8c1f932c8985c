# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/MODELS.md: its example runs against deployed contracts, and its table names what the importer knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from anvil import anvil

from contracts.deploy import deploy
from contracts.deployment import Terms
from proofmesh import LocalProof, verify_on_chain
from protocol.errors import ChainError
from protocol.signing import Account
from proving.bundle import load
from proving.importer.model import SUPPORTED

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "MODELS.md").read_text("utf-8")
ANVIL_ACCOUNT = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
NO_CONTRACT = b"\x11" * 20


def test_the_example_has_fewer_than_15_lines_and_proves_on_a_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block = re.search(r"```python\n(.*?)```", PAGE, re.S)
    assert block is not None
    assert len([line for line in block[1].splitlines() if line.strip()]) < 15
    monkeypatch.chdir(tmp_path)
    with anvil() as url:
        deployment = deploy(url, Account(ANVIL_ACCOUNT), Terms(allow_dev=True))
        verifier = deployment.verifier
        names: dict[str, object] = {"RPC_URL": url, "VERIFIER": verifier}
        exec(compile(block[1], "docs/MODELS.md", "exec"), names)
        assert capsys.readouterr().out == "False True\n"
        bundle, proof = load(next((tmp_path / "build" / "cells").iterdir())), names["proof"]
        assert isinstance(proof, LocalProof)
        lie = (proof.public_inputs[0], 1, proof.public_inputs[2])
        changed = LocalProof(proof.proof, lie, proof.said, proof.secrets)
        assert not verify_on_chain(bundle, changed, url, verifier)
        for elsewhere in (NO_CONTRACT, deployment.escrow):
            with pytest.raises(ChainError, match="no Groth16Verifier"):
                verify_on_chain(bundle, proof, url, elsewhere)


def test_the_table_names_exactly_the_operators_that_are_supported() -> None:
    table = PAGE.split("| operators | cost |")[1].split("\n\n")[0]
    cells = " ".join(line.split("|")[1] for line in table.splitlines() if line.count("|") >= 3)
    known = set(re.findall(r"(?:ai\.onnx\.ml\.)?[A-Z][A-Za-z0-9]+", cells))
    assert known == SUPPORTED
