# SPDX-License-Identifier: GPL-3.0-or-later
"""`deploy`, `chain check` and `init --deployment` against a real chain: dry, for real, again, killed, refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from anvil import anvil
from command_line import Shell

from contracts.deployment import parse_deployment
from contracts.rpc import Rpc

ETHER = 10**18


@pytest.fixture
def chain(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Rpc]]:
    """A chain, and a node in the shell's folder whose account has an ether there."""
    password = tmp_path / "password"
    password.write_text("correct horse")
    monkeypatch.setenv("PROOFMESH_PASSWORD_FILE", str(password))
    monkeypatch.setenv("PROOFMESH_POLL_MS", "20")
    with anvil(chain_id=4242) as url, Rpc(url) as rpc:
        custom = ("init", "--light", "--network", "custom", "--chain-id", "4242")
        account = shell("--rpc", url, *custom)["account"]
        rpc.call("anvil_setBalance", account, hex(ETHER))
        yield url, rpc


def transactions(shell: Shell, rpc: Rpc) -> int:
    account = shell("account", "show")["account"]
    return rpc.quantity("eth_getTransactionCount", account, "latest")


def test_dry_then_for_real_then_again_then_checked_and_joined(
    shell: Shell, chain: tuple[str, Rpc], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, rpc = chain
    dry = shell("deploy", "--rpc", url, "--allow-dev", "--dry-run")
    assert not dry["deployed"] and len(dry["missing"]) == 4 and 0 < int(dry["cost_wei"]) < int(dry["most_wei"])
    assert transactions(shell, rpc) == 0 and not (tmp_path / "data" / "deployment.json").exists()
    done = shell("deploy", "--allow-dev")
    assert done["contracts"] == dry["contracts"] and done["start_block"] == 1 and transactions(shell, rpc) == 5
    assert shell("deploy", "--allow-dev")["missing"] == [] and transactions(shell, rpc) == 5
    settings = shell("config", "show")
    assert settings["escrow"]["value"] == done["contracts"]["Escrow"]
    assert settings["escrow"]["from"] == done["file"]
    assert shell("chain", "check")["good"]
    # The same file is all that another node needs.
    other = Shell(tmp_path / "other", shell._capture)
    other.folder.mkdir()
    other("--rpc", url, "init", "--light", "--deployment", done["file"])
    assert other("chain", "check")["good"]
    assert all(each["state"] == "ok" for each in other("doctor")["checks"] if each["name"] in ("chain", "contracts"))
    # Another market does not take its file's place.
    assert shell("deploy", exit_code=3)["error"] == "PM-CFG-005"
    # Code that changes is noticed.
    rpc.call("anvil_setCode", done["contracts"]["Escrow"], "0x00")
    findings = other("chain", "check", exit_code=4)["findings"]
    assert [each["subject"] for each in findings if not each["good"]] == ["Escrow"]
    failed = {each["name"] for each in other("doctor", exit_code=3)["checks"] if each["state"] == "failed"}
    assert failed == {"contracts"}
    assert shell("deploy", "--allow-dev", exit_code=4)["error"] == "PM-ESC-011"


def test_another_chain_and_too_little_money_are_refused(shell: Shell, chain: tuple[str, Rpc]) -> None:
    url, rpc = chain
    assert shell("deploy", "--rpc", url, "--chain-id", "1", exit_code=4)["error"] == "PM-RPC-006"
    rpc.call("anvil_setBalance", shell("account", "show")["account"], hex(10**12))
    assert shell("deploy", exit_code=7)["error"] == "PM-TX-003"
    assert shell("deploy", "--dry-run")["balance_wei"] == str(10**12)
    assert transactions(shell, rpc) == 0


def test_a_deployment_of_another_chain_than_the_settings_is_refused(shell: Shell, chain: tuple[str, Rpc]) -> None:
    file = Path(str(shell("deploy")["file"]))
    file.write_text(file.read_text().replace("4242", "4243"))
    assert shell("wallet", "balance", exit_code=3)["error"] == "PM-CFG-002"
    file.write_text("{")
    assert shell("wallet", "balance", exit_code=3)["error"] == "PM-CFG-005"


def test_killed_between_two_contracts_it_goes_on_where_it_was(
    shell: Shell, chain: tuple[str, Rpc], tmp_path: Path
) -> None:
    _, rpc = chain
    rpc.call("evm_setAutomine", False)
    command = [sys.executable, "-m", "proofmesh.main", "--json", "--data-dir", str(tmp_path / "data"), "deploy"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=dict(os.environ))
    try:
        give_up = time.monotonic() + 60
        while rpc.call("txpool_status")["pending"] != "0x1":
            assert process.poll() is None and time.monotonic() < give_up
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    rpc.call("evm_setIntervalMining", 1)
    done = shell("deploy")
    assert shell("chain", "check")["good"] and transactions(shell, rpc) == 5
    assert parse_deployment(Path(done["file"]).read_text()).block == done["start_block"]
