# SPDX-License-Identifier: GPL-3.0-or-later
"""The committed ABI and bytecode are what the sources compile to, with forge's settings."""

from __future__ import annotations

import tomllib
from importlib.resources import files

from contracts.abi import CONTRACTS
from contracts.compile import SETTINGS, build
from contracts.toolchain import CHECKOUT


def test_artifacts_are_current_and_name_no_path_of_this_machine() -> None:
    texts = build()
    assert set(texts) == set(CONTRACTS)
    for name, text in texts.items():
        committed = files("contracts").joinpath("artifacts", f"{name}.json").read_text(encoding="utf-8")
        assert committed == text, f"{name} is stale: run python -m contracts.compile"
        assert str(CHECKOUT) not in text


def test_forge_tests_what_is_deployed() -> None:
    profile = tomllib.loads((CHECKOUT / "contracts" / "foundry.toml").read_text())["profile"]["default"]
    assert profile["evm_version"] == SETTINGS["evmVersion"]
    assert profile["optimizer"] is SETTINGS["optimizer"]["enabled"]
    assert profile["optimizer_runs"] == SETTINGS["optimizer"]["runs"]
    assert profile["via_ir"] is SETTINGS["viaIR"]
    assert profile["bytecode_hash"] == SETTINGS["metadata"]["bytecodeHash"]
    assert profile["cbor_metadata"] is SETTINGS["metadata"]["appendCBOR"]
