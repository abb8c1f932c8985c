# SPDX-License-Identifier: GPL-3.0-or-later
"""The keystore is standard, private, and says nothing about what is in it."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account as EthAccount

from node.keystore import create_keystore, keystore_address, load_keystore, read_password, store_keystore
from protocol.errors import KeystoreError, NoPasswordError, WrongPasswordError
from protocol.signing import Account


def test_a_new_key_comes_back_with_its_password(tmp_path: Path) -> None:
    path = tmp_path / "keystore.json"
    account = create_keystore(path, "pässword", light=True)
    assert load_keystore(path, "pässword").secret() == account.secret()
    assert keystore_address(path) == account.address
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert account.secret().hex() not in path.read_text()


def test_other_wallets_can_open_it_and_we_can_open_theirs(tmp_path: Path) -> None:
    account = create_keystore(tmp_path / "ours", "a", light=True)
    assert bytes(EthAccount.decrypt(json.loads((tmp_path / "ours").read_text()), "a")) == account.secret()
    theirs = tmp_path / "theirs"
    theirs.touch(0o600)
    theirs.write_text(json.dumps(EthAccount.encrypt(account.secret(), "b", kdf="pbkdf2", iterations=1000)))
    assert load_keystore(theirs, "b").address == account.address


def test_the_standard_cost_is_used_unless_light_is_asked_for(tmp_path: Path) -> None:
    store_keystore(tmp_path / "k", Account(b"\x01" * 32), "a")
    assert json.loads((tmp_path / "k").read_text())["crypto"]["kdfparams"]["n"] == 1 << 18


def test_a_wrong_password_is_one_clear_error_without_it(tmp_path: Path) -> None:
    create_keystore(tmp_path / "k", "right", light=True)
    with pytest.raises(WrongPasswordError) as caught:
        load_keystore(tmp_path / "k", "wr0ng")
    assert "PM-KEY-002" in str(caught.value) and "wr0ng" not in str(caught.value)
    assert caught.value.exit_code == 3 and caught.value.__cause__ is None


def test_a_keystore_is_never_overwritten(tmp_path: Path) -> None:
    account = create_keystore(tmp_path / "k", "a", light=True)
    with pytest.raises(KeystoreError, match="exists"):
        create_keystore(tmp_path / "k", "a", light=True)
    assert load_keystore(tmp_path / "k", "a").address == account.address


def _hostile(change: dict[str, Any]) -> bytes:
    keystore: dict[str, Any] = dict(EthAccount.encrypt(b"\x01" * 32, "a", kdf="scrypt", iterations=2))
    crypto = dict(keystore["crypto"])
    crypto["kdfparams"] = {**crypto["kdfparams"], **change.pop("kdfparams", {})}
    return json.dumps({**keystore, "crypto": {**crypto, **change.pop("crypto", {})}, **change}).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"[]",
        b"[" * 10_000,
        b'{"version": 3}',
        b" " * (1 << 20),
        _hostile({"version": 1}),
        _hostile({"crypto": {"kdf": "none"}}),
        _hostile({"crypto": {"mac": 3}}),
        _hostile({"crypto": {"ciphertext": "zz"}}),
        _hostile({"kdfparams": {"n": 1 << 40}}),
        _hostile({"kdfparams": {"n": "2"}}),
        _hostile({"kdfparams": {"n": 3}}),
        _hostile({"kdfparams": {"dklen": -1}}),
        _hostile({"address": "0x" + "11" * 20}),
    ],
)
def test_a_hostile_keystore_is_one_error(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "k"
    path.touch(0o600)
    path.write_bytes(raw)
    with pytest.raises(KeystoreError) as caught:
        load_keystore(path, "a")
    assert str(path) in str(caught.value)


def test_a_keystore_that_others_can_read_or_that_is_missing_is_refused(tmp_path: Path) -> None:
    create_keystore(tmp_path / "k", "a", light=True)
    (tmp_path / "k").chmod(0o640)
    with pytest.raises(KeystoreError, match="chmod 600"):
        load_keystore(tmp_path / "k", "a")
    with pytest.raises(KeystoreError, match="no keystore"):
        load_keystore(tmp_path / "none", "a")


def test_the_password_comes_from_file_then_environment_then_prompt(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(" one \r\n")
    (tmp_path / "b").write_text("two")
    both = {"PROOFMESH_PASSWORD_FILE": str(tmp_path / "b"), "PROOFMESH_PASSWORD": "three"}
    assert read_password(tmp_path / "a", both) == " one "
    assert read_password(None, both) == "two"
    assert read_password(None, {"PROOFMESH_PASSWORD": "three"}, lambda: "four") == "three"
    assert read_password(None, {}, lambda: "four") == "four"
    with pytest.raises(NoPasswordError):
        read_password(None, {})
    with pytest.raises(NoPasswordError):
        read_password(None, {}, lambda: "")


@pytest.mark.parametrize("raw", [b"", b"\n", b"\xff", b"a" * 5000])
def test_a_useless_password_file_is_one_error(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "p").write_bytes(raw)
    with pytest.raises(NoPasswordError):
        read_password(tmp_path / "p", {})
    with pytest.raises(KeystoreError):
        read_password(tmp_path / "none", {})
