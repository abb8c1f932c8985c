# SPDX-License-Identifier: GPL-3.0-or-later
"""The network key file: made once, private, and never shown."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from node.net.identity import FILE_NAME, NetworkIdentity, fresh, load_or_create
from protocol.errors import IdentityError


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    first = load_or_create(tmp_path / "data")
    path = tmp_path / "data" / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create(tmp_path / "data") == first
    assert [entry.name for entry in path.parent.iterdir()] == [FILE_NAME]


def test_a_readable_key_is_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    load_or_create(tmp_path)
    (tmp_path / FILE_NAME).chmod(0o644)
    with pytest.raises(IdentityError, match="chmod 600"):
        load_or_create(tmp_path)


@pytest.mark.parametrize("secret", [b"", b"\0" * 32, b"\xff" * 32, b"\1" * 33])
def test_a_damaged_key_is_refused(tmp_path: Path, secret: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(secret)
    (tmp_path / FILE_NAME).chmod(0o600)
    with pytest.raises(IdentityError):
        load_or_create(tmp_path)


def test_the_secret_is_in_no_repr() -> None:
    identity = fresh()
    assert identity.secret.hex() not in repr(identity) and repr(identity.secret) not in repr(identity)


def test_the_peer_id_is_that_of_the_key() -> None:
    assert NetworkIdentity(b"\1" * 32).peer_id == NetworkIdentity(b"\1" * 32).peer_id
    assert NetworkIdentity(b"\1" * 32).peer_id != NetworkIdentity(b"\2" * 32).peer_id
