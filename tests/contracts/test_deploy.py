# SPDX-License-Identifier: GPL-3.0-or-later
"""The deployment command: one JSON object, or one error with a code, and never the key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from anvil import anvil
from escrow_market import ETHER, account

from contracts import bindings
from contracts.deploy import main
from contracts.rpc import Rpc

DEPLOYER = account("deployer")


def test_deploys_and_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "key"
    key.write_text(DEPLOYER.secret().hex())
    with anvil(chain_id=4242) as url, Rpc(url) as rpc:
        rpc.call("anvil_setBalance", "0x" + DEPLOYER.address.hex(), hex(ETHER))
        command = ["--rpc", url, "--private-key-file", str(key)]
        assert main([*command, "--withdrawal-delay", "77", "--allow-dev"]) == 0
        said = json.loads(capsys.readouterr().out)
        escrow = bytes.fromhex(said["escrow"][2:])
        assert said["chain_id"] == 4242 and said["block"] == 1
        assert bindings.decode_number(rpc.eth_call(escrow, bindings.withdrawal_delay())) == 77
        registry = bindings.decode_address(rpc.eth_call(escrow, bindings.registry()))
        assert "0x" + registry.hex() == said["registry"]
        assert main([*command, "--chain-id", "1"]) == 4
        assert "PM-RPC-006" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "zz", "0x1234", "00" * 32])
def test_a_bad_key_file_is_refused_without_showing_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    key = tmp_path / "key"
    key.write_text(content)
    assert main(["--rpc", "http://127.0.0.1:1", "--private-key-file", str(key)]) == 3
    said = capsys.readouterr().err
    assert "PM-KEY-001" in said and (not content or content not in said)


def test_an_rpc_that_is_down_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "key"
    key.write_text(DEPLOYER.secret().hex())
    assert main(["--rpc", "http://127.0.0.1:1", "--private-key-file", str(key)]) == 4
    assert "PM-RPC-002" in capsys.readouterr().err
