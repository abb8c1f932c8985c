# SPDX-License-Identifier: GPL-3.0-or-later
"""A keystore that is gone: no new account takes over what the old one promised."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import Shell


def test_no_new_account_takes_a_folder_with_the_journal_of_one(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROOFMESH_PASSWORD", "a password of the tests")
    made = shell("init", "--light")
    folder = Path(made["data_dir"])
    kept = (folder / "keystore.json").rename(folder.parent / "kept.json")
    (folder / "journal.sqlite").touch(mode=0o600)
    said = shell("init", "--light", exit_code=3)
    assert "journal" in said["message"] and "account import" in said["remedy"]
    assert not (folder / "keystore.json").exists()
    password = shell.write("password", b"a password of the tests")
    password.chmod(0o600)
    shell("account", "import", kept, "--new-password-file", password)
    assert shell("account", "show")["account"] == made["account"]
