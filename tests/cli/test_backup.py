# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups and keys that move: what is in them, what never is, and files that are not what they say."""

from __future__ import annotations

import gzip
import io
import json
import stat
import tarfile
import zlib
from pathlib import Path

import pytest
from command_line import Shell

from node.data_folder import DataFolder
from node.journal import Journal
from node.keystore import load_keystore

SECRET = b"a private input of a job under way"
JOB = "ab" * 32


@pytest.fixture
def node(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    """A data folder as a node leaves it: account, journal with an event, a job, a receipt, a vault."""
    password = shell.write("password", b"first\n")
    monkeypatch.setenv("PROOFMESH_PASSWORD_FILE", str(password))
    shell("init", "--light")
    folder = DataFolder(shell.folder / "data")
    with Journal(folder.journal) as journal:
        journal.append("prover", b"an event", [b"an effect"])
    for part in ("jobs", "receipts", "vault"):
        (folder.path / part).mkdir(mode=0o700, exist_ok=True)
    (folder.path / "jobs" / f"{JOB}.json").write_text('{"phase": "settled"}')
    (folder.path / "receipts" / f"{JOB}.json").write_text("{}")
    (folder.vault / f"{JOB}.bin").write_bytes(SECRET)
    return folder


def elsewhere(shell: Shell, name: str, *words: object, exit_code: int = 0) -> dict[str, object]:
    """Run a command on another data folder beside the shell's."""
    return shell("--data-dir", shell.folder / name, *words, exit_code=exit_code)


def test_a_restored_folder_has_the_account_the_journal_and_no_secret_of_a_job(shell: Shell, node: DataFolder) -> None:
    file = shell.folder / "node.backup"
    made = shell("backup", "create", file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert (made["jobs"], made["receipts"], made["journal"]) == (1, 1, True)
    assert shell("backup", "check", file) == made
    elsewhere(shell, "new", "backup", "restore", file)
    fresh = DataFolder(shell.folder / "new")
    assert load_keystore(fresh.keystore, "first").address == load_keystore(node.keystore, "first").address
    for name in ("keystore.json", "config.toml", "network.key", f"jobs/{JOB}.json", f"receipts/{JOB}.json"):
        assert (fresh.path / name).read_bytes() == (node.path / name).read_bytes()
        assert stat.S_IMODE((fresh.path / name).stat().st_mode) == 0o600
    with Journal(fresh.journal) as journal:
        assert list(journal.events("prover")) == [b"an event"]
        assert [blob for _, blob in journal.pending("prover")] == [b"an effect"]
    with tarfile.open(file) as archive:
        whole = b"".join(archive.extractfile(member).read() for member in archive)  # type: ignore[union-attr]
    assert SECRET not in whole and not fresh.vault.exists()


def test_a_running_node_gives_a_backup_without_its_journal_alone(shell: Shell, node: DataFolder) -> None:
    with node.locked():
        refused = shell("backup", "create", shell.folder / "a", exit_code=3)
        assert refused["error"] == "PM-CFG-003"
        assert shell("backup", "create", shell.folder / "a", "--no-journal")["journal"] is False


def test_an_old_journal_can_be_left_out(shell: Shell, node: DataFolder) -> None:
    shell("backup", "create", shell.folder / "a")
    elsewhere(shell, "new", "backup", "restore", shell.folder / "a", "--no-journal")
    assert not (shell.folder / "new" / "journal.sqlite").exists()


def test_nothing_is_written_over(shell: Shell, node: DataFolder) -> None:
    file = shell.folder / "a"
    shell("backup", "create", file)
    before = file.read_bytes()
    assert shell("backup", "create", file, exit_code=1)["error"] == "PM-BAK-001"
    assert file.read_bytes() == before
    keystore = node.keystore.read_bytes()
    assert shell("backup", "restore", file, exit_code=1)["error"] == "PM-BAK-001"
    assert node.keystore.read_bytes() == keystore


def unpacked(data: bytes | bytearray) -> bytes | None:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return None


def test_a_damaged_backup_is_refused_wherever_it_is_damaged(shell: Shell, node: DataFolder) -> None:
    file = shell.folder / "a"
    shell("backup", "create", file)
    whole = file.read_bytes()
    for cut in range(0, len(whole), max(1, len(whole) // 12)):
        file.write_bytes(whole[:cut])
        assert elsewhere(shell, "new", "backup", "restore", file, exit_code=1)["error"] == "PM-BAK-001"
        flipped = bytearray(whole)
        flipped[max(cut, 10)] ^= 0x40
        if unpacked(flipped) == unpacked(whole):
            continue  # a bit that means nothing: which zeros a run of zeros repeats
        file.write_bytes(flipped)
        answer = shell("backup", "check", file, exit_code=1)
        assert answer["error"] == "PM-BAK-001"
    assert not (shell.folder / "new" / "keystore.json").exists()


def hostile(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], names: list[str]) -> None:
    """Write an archive whose index names `names`, with any members behind it."""
    index = {"format": "proofmesh.backup.v1", "account": "0x" + "11" * 20, "files": {n: "00" * 32 for n in names}}
    first = tarfile.TarInfo("backup.json")
    with tarfile.open(path, "w:gz") as archive:
        for member, content in [(first, json.dumps(index).encode()), *members]:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    return member


@pytest.mark.parametrize(
    ("members", "names"),
    [
        ([(entry("../escaped"), b"x")], ["../escaped"]),
        ([(entry("/tmp/escaped"), b"x")], ["/tmp/escaped"]),
        ([(entry("vault/x"), b"x")], ["vault/x"]),
        ([(entry("config.toml"), b"x")], []),
        ([(entry("config.toml", tarfile.SYMTYPE, "/etc/passwd"), b"")], ["config.toml"]),
        ([(entry("config.toml", tarfile.LNKTYPE, "network.key"), b"")], ["config.toml"]),
        ([(entry("config.toml", tarfile.FIFOTYPE), b"")], ["config.toml"]),
        ([(entry("config.toml"), b"x"), (entry("config.toml"), b"x")], ["config.toml"]),
        ([], ["config.toml"]),
    ],
    ids=["parent", "absolute", "vault", "unnamed", "symlink", "hardlink", "fifo", "twice", "missing"],
)
def test_a_hostile_archive_writes_nothing(
    shell: Shell, members: list[tuple[tarfile.TarInfo, bytes]], names: list[str]
) -> None:
    file = shell.folder / "hostile"
    hostile(file, members, names)
    assert elsewhere(shell, "new", "backup", "restore", file, exit_code=1)["error"] == "PM-BAK-001"
    assert [path.name for path in (shell.folder / "new").iterdir()] == ["lock"]


def test_what_is_no_archive_is_refused(shell: Shell) -> None:
    for content in (b"", b"text", b"\x1f\x8b" + bytes(50)):
        shell.write("a", content)
        assert shell("backup", "check", shell.folder / "a", exit_code=1)["error"] == "PM-BAK-001"
    assert shell("backup", "check", shell.folder / "none", exit_code=1)["error"] == "PM-BAK-001"


def test_an_account_moves_under_a_password_of_its_own(shell: Shell, node: DataFolder) -> None:
    second, third = shell.write("second", b"second\n"), shell.write("third", b"third\n")
    copy = shell.folder / "copy.json"
    account = shell("account", "show")["account"]
    assert shell("account", "export", copy, "--new-password-file", second)["account"] == account
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    wrong = elsewhere(shell, "new", "account", "import", copy, "--new-password-file", third, exit_code=3)
    assert wrong["error"] == "PM-KEY-002" and not (shell.folder / "new" / "keystore.json").exists()
    elsewhere(shell, "new", "--password-file", second, "account", "import", copy, "--new-password-file", third)
    fresh = DataFolder(shell.folder / "new")
    assert "0x" + load_keystore(fresh.keystore, "third").address.hex() == account
    assert elsewhere(shell, "new", "init")["account"] == account
    again = elsewhere(shell, "new", "account", "import", copy, exit_code=3)
    assert again["error"] == "PM-CFG-001"


def test_a_password_can_be_changed(shell: Shell, node: DataFolder) -> None:
    before = shell("account", "show")
    shell("account", "password", "--new-password-file", shell.write("second", b"second\n"))
    assert shell("account", "show") == before
    load_keystore(node.keystore, "second")
    assert [path.name for path in node.path.glob(".keystore*")] == []
    assert shell("account", "export", shell.folder / "c", exit_code=3)["error"] == "PM-KEY-002"
