# SPDX-License-Identifier: GPL-3.0-or-later
"""A ceremony from the command line, from the first key to a bundle; and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Shell

from proving.groth16.ptau import dev_ptau

BEACON = "0x" + "ab" * 32


@pytest.fixture(scope="module")
def ptau(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("phase1") / "powers.ptau"
    dev_ptau(11, path)
    return path


def test_several_people_make_keys_that_nobody_can_forge_under(shell: Shell, ptau: Path) -> None:
    bundle = shell.compiled("predicate", "logistic", threshold="0.5")
    keys = [shell.folder / f"key-{number}.zkey" for number in range(3)]
    shell("ceremony", "start", bundle, keys[0], "--ptau", ptau)
    digests = [
        shell("ceremony", "contribute", before, after, "--name", name, "--entropy", f"{name}'s dice")["contribution"]
        for name, before, after in (("Alice", keys[0], keys[1]), ("Bob", keys[1], keys[2]))
    ]
    checked = shell("ceremony", "verify", bundle, keys[2], "--ptau", ptau)
    assert [each["digest"] for each in checked["contributions"]] == digests
    made = shell("ceremony", "finish", bundle, keys[2], "--ptau", ptau, "--beacon", BEACON)
    manifest, identity = made["manifest"], made["bundle_id"].removeprefix("0x")
    assert manifest["setup_kind"] == "ceremony" and identity != bundle
    record, proof = shell.write("in.json", [1, 2, 3, 4]), shell.folder / "proof.json"
    shell("prove", identity, record, "--out", proof)
    assert shell("verify", identity, proof)["valid"]
    audited = shell("model", "audit", identity, "--ptau", ptau)
    assert audited["circuit_hash"].removeprefix("0x") == manifest["circuit_hash"]
    assert "powers of tau" in shell("model", "audit", identity, exit_code=5)["message"]


def test_what_a_ceremony_refuses(shell: Shell, ptau: Path) -> None:
    bundle = shell.compiled("predicate", "logistic", threshold="0.5")
    other = shell.compiled("predicate", "wide", threshold="0.5")
    first, junk = shell.folder / "first.zkey", shell.write("junk.zkey", b"zkey" + bytes(100))
    shell("ceremony", "start", bundle, first, "--ptau", ptau)
    assert "already" in shell("ceremony", "start", bundle, first, "--ptau", ptau, exit_code=2)["message"]
    name = ("--name", "A", "--entropy", "dice")
    assert shell("ceremony", "contribute", junk, shell.folder / "x", *name, exit_code=1)["error"] == "PM-PRV-006"
    assert "no file" in shell("ceremony", "contribute", "none", "x", *name, exit_code=2)["message"]
    finish = ("--ptau", ptau, "--beacon", BEACON)
    assert "Nobody" in shell("ceremony", "finish", bundle, first, *finish, exit_code=1)["message"]
    assert shell("ceremony", "verify", other, first, "--ptau", ptau, exit_code=5)["error"] == "PM-BND-006"
    short = ("--ptau", ptau, "--beacon", "0x01")
    assert "bytes" in shell("ceremony", "finish", bundle, first, *short, exit_code=2)["message"]
