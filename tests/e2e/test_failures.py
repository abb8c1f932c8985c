# SPDX-License-Identifier: GPL-3.0-or-later
"""Every bad input at the command line: one error with a code, a remedy and its exit code; never a traceback."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from devnet_market import HIGH, MAX_PRICE, SECRET, bundle_folder, prove_one
from devnet_thread import Market
from onnx import helper
from proving_models import graph

from node.cli.app import run

Fails = Callable[..., str]
PASSWORD = "a password of the tests"


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Fails:
    """Run a command, require this error in both forms of output, and return its message."""
    monkeypatch.setenv("COLUMNS", "400")

    def check(code: str, exit_code: int, *words: object) -> str:
        arguments = [str(word) for word in words]
        assert run(["--json", *arguments]) == exit_code
        said = capsys.readouterr()
        error: dict[str, Any] = json.loads(said.out.splitlines()[-1])
        assert error["error"] == code
        assert error["message"] and error["remedy"]
        assert "Traceback" not in said.out + said.err
        return str(error["message"])

    return check


def _init(folder: Path, market: Market, password: str = PASSWORD) -> list[str]:
    """Make a data folder on the devnet's chain; return the options that select it."""
    devnet = market.world.devnet
    file = folder.parent / f"{folder.name}.password"
    file.write_text(password)
    file.chmod(0o600)
    options = ["--data-dir", str(folder), "--password-file", str(file)]
    words = ["init", "--light", "--chain-id", str(devnet.chain_id), "--start-block", str(devnet.start_block)]
    words += ["--escrow", devnet.escrow, "--registry", devnet.registry]
    assert run([*options, "--rpc", devnet.rpc_url, *words]) == 0
    return options


@pytest.fixture
def stranger(market: Market, tmp_path: Path) -> list[str]:
    """The options of a node that joined the devnet with nothing."""
    return _init(tmp_path / "stranger", market)


@pytest.fixture
def customer(market: Market) -> list[str]:
    """The options of the devnet's funded client."""
    devnet = market.world.devnet
    return ["--data-dir", devnet.node("client").data_dir, "--password-file", devnet.password_file]


@pytest.fixture
def submit(market: Market, tmp_path: Path) -> list[str]:
    """A job that would run, as words of the command line."""
    inputs = tmp_path / "inputs.json"
    inputs.write_text(json.dumps(SECRET))
    words = ["job", "submit", str(bundle_folder(market.world)), str(inputs)]
    return [*words, "--max-price", str(MAX_PRICE), "--window", "1s"]


def _record(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "record.json"
    path.write_text(text)
    return path


# --- what the caller wrote ---------------------------------------------------------------


def test_an_empty_allow_list_shows_the_input_to_nobody(fails: Fails, customer: list[str], submit: list[str]) -> None:
    assert "allow-list" in fails("PM-USE-001", 2, *customer, *submit)


def test_an_unknown_policy(fails: Fails, customer: list[str], submit: list[str]) -> None:
    assert "cheapest" in fails("PM-USE-001", 2, *customer, *submit, "--any-prover", "--policy", "cheapest")


@pytest.mark.parametrize("amount", ["-1", "1.5wei", "1 dollar", "nan", str(2**128)])
def test_no_amount(fails: Fails, customer: list[str], submit: list[str], amount: str) -> None:
    fails("PM-USE-001", 2, *customer, *submit, "--any-prover", f"--verifier-fee={amount}")


@pytest.mark.parametrize("name", ["nothing-here", "ab" * 32])
def test_an_unknown_bundle_or_model(fails: Fails, customer: list[str], submit: list[str], name: str) -> None:
    fails("PM-BND-020", 2, *customer, *submit[:2], name, *submit[3:], "--any-prover")
    fails("PM-BND-020", 2, *customer, "prove", name, submit[3])


def test_an_unknown_job(fails: Fails, customer: list[str]) -> None:
    fails("PM-USE-001", 2, *customer, "job", "watch", "0x" + "ab" * 32)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[1, 2, 3]", "PM-PRV-002"),
        ('{"x0": 1, "x1": 2, "x2": 3, "y": 4}', "PM-PRV-002"),
        ("[1, 2, 3, NaN]", "PM-PRV-003"),
        ("[1, 2, 3, 4.5]", "PM-PRV-003"),
        ("[1, 2, 3, Infinity]", "PM-PRV-003"),
        ('[1, 2, 3, "918273645"]', "PM-PRV-003"),
        (f"[1, 2, 3, {HIGH + 918273645}]", "PM-PRV-004"),
        ("[1, 2, 3, -918273645]", "PM-PRV-004"),
        ("{", "PM-USE-001"),
        ('{"x0": 1, "x0": 2}', "PM-USE-001"),
        ("7", "PM-USE-001"),
    ],
)
def test_inputs_that_the_model_does_not_take(
    market: Market, fails: Fails, customer: list[str], submit: list[str], tmp_path: Path, text: str, code: str
) -> None:
    record = _record(tmp_path, text)
    said = fails(code, 2, *customer, "prove", bundle_folder(market.world), record, "--out", tmp_path / "p.json")
    assert "918273645" not in said and str(HIGH + 918273645) not in said
    fails(code, 2, *customer, *submit[:3], record, *submit[4:], "--any-prover")


# --- models and bundles ------------------------------------------------------------------


def test_a_bundle_with_a_flipped_bit(
    market: Market, fails: Fails, customer: list[str], submit: list[str], tmp_path: Path
) -> None:
    source = bundle_folder(market.world)
    # The manifest is not among them: its hash is the bundle's name.
    for path in sorted(path for path in source.iterdir() if path.name != "manifest.json"):
        damaged = tmp_path / f"damaged-{path.name}"
        shutil.copytree(source, damaged)
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        (damaged / path.name).write_bytes(data)
        assert path.name in fails("PM-BND-002", 1, *customer, "model", "audit", damaged)
        fails("PM-BND-002", 1, *customer, *submit[:2], damaged, *submit[3:], "--any-prover")


def test_an_operator_that_is_not_supported(fails: Fails, customer: list[str], tmp_path: Path) -> None:
    model, settings = tmp_path / "model.onnx", tmp_path / "settings.json"
    wave = helper.make_node("Det", ["X"], ["out"], name="the-wave")
    model.write_bytes(graph([wave]).SerializeToString())
    inputs = [{"name": f"x{index}", "low": 0, "high": 7} for index in range(2)]
    settings.write_text(json.dumps({"inputs": inputs, "output": "public"}))
    said = fails("PM-MDL-002", 1, *customer, "model", "compile", model, settings)
    assert "Det" in said and "the-wave" in said


# --- keys, folders, ports ----------------------------------------------------------------


def test_a_wrong_password(fails: Fails, stranger: list[str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not it")
    wrong.chmod(0o600)
    fails("PM-KEY-002", 3, *stranger[:2], "--password-file", wrong, "wallet", "deposit", "1")


def test_no_keystore(fails: Fails, customer: list[str], tmp_path: Path) -> None:
    said = fails("PM-CFG-001", 3, "--data-dir", tmp_path / "new", *customer[2:], "wallet", "deposit", "1")
    assert "keystore" in said


def test_a_setting_that_does_not_exist(fails: Fails, stranger: list[str]) -> None:
    config = Path(stranger[1]) / "config.toml"
    config.write_text(config.read_text().replace("chain_id", "chian_id", 1))
    assert "chian_id" in fails("PM-CFG-002", 3, *stranger, "config", "show")


def test_a_second_process_on_the_same_folder(market: Market, fails: Fails) -> None:
    devnet = market.world.devnet
    options = ["--data-dir", devnet.node("prover-1").data_dir, "--password-file", devnet.password_file]
    fails("PM-CFG-003", 3, *options, "prover", "run")


def test_a_port_in_use(fails: Fails, stranger: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"/ip4/127.0.0.1/tcp/{taken.getsockname()[1]}"
        fails("PM-NET-007", 3, *stranger, "publisher", "run", "--listen", address)


# --- the chain ---------------------------------------------------------------------------


def test_an_rpc_that_is_down(fails: Fails, stranger: list[str], submit: list[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
        fails("PM-RPC-002", 4, *stranger, "--rpc", address, "wallet", "balance")
        fails("PM-RPC-002", 4, *stranger, "--rpc", address, "verifier", "run")
        fails("PM-RPC-002", 4, *stranger, "--rpc", address, *submit, "--any-prover")


def test_an_rpc_of_another_chain(
    fails: Fails, stranger: list[str], submit: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROOFMESH_CHAIN_ID", "5")
    for words in (["wallet", "balance"], ["prover", "run"], [*submit, "--any-prover"]):
        fails("PM-RPC-006", 4, *stranger, *words)


def test_a_client_without_a_deposit(fails: Fails, stranger: list[str], submit: list[str]) -> None:
    fails("PM-FND-001", 7, *stranger, *submit, "--any-prover")


def test_a_deposit_from_an_empty_wallet(fails: Fails, stranger: list[str]) -> None:
    fails("PM-TX-003", 7, *stranger, "wallet", "deposit", "1eth")


@pytest.mark.parametrize("royalty", ["-1", "5001", "1e3"])
def test_a_royalty_that_the_registry_would_not_take(fails: Fails, royalty: str) -> None:
    assert "royalty" in fails("PM-USE-001", 2, "model", "publish", "00" * 32, "--royalty-bps", royalty)


def test_a_withdrawal_that_nobody_asked_for_or_of_more_than_there_is(fails: Fails, stranger: list[str]) -> None:
    fails("PM-USE-001", 2, *stranger, "wallet", "withdraw")
    fails("PM-USE-001", 2, *stranger, "wallet", "deposit", "0")
    assert "InsufficientBalance" in fails("PM-ESC-002", 7, *stranger, "wallet", "withdraw", "1eth")


# --- the market --------------------------------------------------------------------------


@pytest.mark.slow
def test_nobody_bids_and_the_reasons_are_shown(fails: Fails, customer: list[str], submit: list[str]) -> None:
    words = [word if word != str(MAX_PRICE) else "1wei" for word in submit]
    said = fails("PM-JOB-002", 6, *customer, *words, "--any-prover", "--deadline", "20s")
    assert "PM-REF-002" in said and "quote: " in said and "raise --max-price" in said


# --- proofs and receipts -----------------------------------------------------------------


@pytest.fixture(scope="module")
def receipt(market: Market) -> dict[str, Any]:
    """The receipt of a real job."""
    order_hash = market.run(prove_one)
    folder = Path(market.world.devnet.node("client").data_dir) / "receipts"
    found: dict[str, Any] = json.loads((folder / f"{order_hash.hex()}.json").read_text())
    return found


def test_a_receipt_that_is_none(fails: Fails, tmp_path: Path) -> None:
    for text in ("", "{}", "[]", "not json", '{"version": 2}'):
        fails("PM-RCPT-001", 5, "receipt", "verify", _record(tmp_path, text))
    fails("PM-RCPT-001", 5, "receipt", "verify", tmp_path / "missing.json")


def _changed(value: Any) -> Any:
    """Another value of the same kind: the last digit or number moves by one."""
    if isinstance(value, str) and value:
        last = value[-1]
        return value[:-1] + ("1" if last == "0" else "0")
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list) and value:
        return [_changed(value[0]), *value[1:]]
    return value


@pytest.mark.parametrize(
    "place",
    [
        ("order", "price_cap"),
        ("order", "input_commitment"),
        ("order", "client"),
        ("award", "price"),
        ("award", "payout"),
        ("award_signature",),
        ("outputs",),
        ("proof",),
        ("settler",),
        ("program", "setup_id"),
        ("program", "dev"),
        ("network", "chain_id"),
    ],
    ids=".".join,
)
def test_a_tampered_receipt(receipt: dict[str, Any], fails: Fails, tmp_path: Path, place: tuple[str, ...]) -> None:
    assert run(["receipt", "verify", str(_record(tmp_path, json.dumps(receipt)))]) == 0
    tampered = json.loads(json.dumps(receipt))
    at = tampered
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = _changed(at[place[-1]])
    assert tampered != receipt
    fails("PM-RCPT-001", 5, "receipt", "verify", _record(tmp_path, json.dumps(tampered)))


def test_a_receipt_of_another_transaction(
    market: Market, receipt: dict[str, Any], fails: Fails, tmp_path: Path
) -> None:
    other = {**receipt, "transaction_hash": "0x" + "ab" * 32}
    words = ["receipt", "verify", _record(tmp_path, json.dumps(other)), "--rpc", market.world.devnet.rpc_url]
    fails("PM-RCPT-001", 5, *words)


def test_a_tampered_proof_file(market: Market, fails: Fails, customer: list[str], tmp_path: Path) -> None:
    bundle, proof = bundle_folder(market.world), tmp_path / "proof.json"
    record = _record(tmp_path, json.dumps(SECRET))
    assert run([*customer, "prove", str(bundle), str(record), "--out", str(proof)]) == 0
    assert run([*customer, "verify", str(bundle), str(proof)]) == 0
    fields = json.loads(proof.read_text())
    for key in ("proof", "public_inputs", "chain_id", "consumer", "subject", "program_id"):
        proof.write_text(json.dumps({**fields, key: _changed(fields[key])}))
        fails("PM-PRV-010", 5, *customer, "verify", bundle, proof)
    for text in ("", "[]", '{"format": "proofmesh.proof.v1"}', "[" * 100_000):
        fails("PM-PRV-010", 5, *customer, "verify", bundle, _record(tmp_path, text))


# --- as a process ------------------------------------------------------------------------


def test_for_people_an_error_is_two_lines_on_stderr(customer: list[str], submit: list[str]) -> None:
    command = [sys.executable, "-m", "proofmesh.main", *customer, *submit]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stdout == ""
    what, remedy = done.stderr.splitlines()
    assert what.startswith("Error [PM-USE-001] ") and "--allow" in remedy


def test_a_missing_option_is_json_for_scripts(fails: Fails) -> None:
    assert "--max-price" in fails("PM-USE-001", 2, "job", "submit", "model", "inputs.json")
    assert "--nonsense" in fails("PM-USE-001", 2, "--nonsense")


def test_a_word_that_is_no_command() -> None:
    command = [sys.executable, "-m", "proofmesh.main", "jobs"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    what, remedy = done.stderr.splitlines()
    assert what.startswith("Error [PM-USE-001] No such command") and "proofmesh --help" in remedy
