# SPDX-License-Identifier: GPL-3.0-or-later
"""The vault keeps secrets apart, private, and erases them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from node.vault import Vault
from protocol.errors import VaultError


def test_a_secret_comes_back_until_it_is_erased(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault")
    vault.put("sealing-ab", b"s3cret")
    vault.put("input-ab", b"")
    assert Vault(tmp_path / "vault").get("sealing-ab") == b"s3cret" and vault.get("input-ab") == b""
    assert vault.names() == ("input-ab", "sealing-ab") and "s3cret" not in repr(vault)
    assert stat.S_IMODE((tmp_path / "vault" / "sealing-ab").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "vault").stat().st_mode) == 0o700
    vault.erase("sealing-ab")
    vault.erase("sealing-ab")
    assert vault.names() == ("input-ab",)
    with pytest.raises(VaultError, match="PM-VLT-001"):
        vault.get("sealing-ab")


@pytest.mark.parametrize("again", [False, True])
def test_erasing_and_replacing_overwrite_the_bytes(tmp_path: Path, again: bool) -> None:
    vault = Vault(tmp_path)
    vault.put("a", b"s3cret" * 20_000)
    os.link(tmp_path / "a", tmp_path.parent / f"watch-{again}")
    if again:
        vault.put("a", b"new")
        assert vault.get("a") == b"new"
    else:
        vault.erase("a")
    assert (tmp_path.parent / f"watch-{again}").read_bytes() == bytes(120_000)


def test_a_half_written_secret_is_erased_on_opening(tmp_path: Path) -> None:
    (tmp_path / "a.new").write_bytes(b"s3cr")
    assert Vault(tmp_path).names() == () and not (tmp_path / "a.new").exists()


@pytest.mark.parametrize("name", ["", "../a", "/a", "a/b", "A", ".a", "a" * 129, "a\n", "a.new", "ä"])
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    vault = Vault(tmp_path / "vault")
    for act in (lambda: vault.put(name, b""), lambda: vault.get(name), lambda: vault.erase(name)):
        with pytest.raises(VaultError):
            act()
