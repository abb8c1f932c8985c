# SPDX-License-Identifier: GPL-3.0-or-later
"""The network key: a secp256k1 key of its own, separate from every account that signs or pays."""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from libp2p.crypto.keys import KeyPair
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.peer.id import ID

from protocol.errors import IdentityError

FILE_NAME = "network.key"
SECRET_BYTES = 32
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@dataclass(frozen=True)
class NetworkIdentity:
    """A peer's key; its repr never shows the secret."""

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != SECRET_BYTES or not 0 < int.from_bytes(self.secret, "big") < CURVE_ORDER:
            raise IdentityError("The network key is not a 32-byte secp256k1 secret.")

    @property
    def key_pair(self) -> KeyPair:
        return create_new_key_pair(self.secret)

    @property
    def peer_id(self) -> str:
        """The base58 id by which peers know this key; it contains the public key."""
        return str(ID.from_pubkey(self.key_pair.public_key))


def fresh() -> NetworkIdentity:
    """Return a new random identity (a client uses one per session: it links to no history)."""
    while True:
        try:
            return NetworkIdentity(secrets.token_bytes(SECRET_BYTES))
        except IdentityError:  # once in 2^128 draws
            continue


def load_or_create(folder: Path) -> NetworkIdentity:
    """Return the identity kept in `folder`, made at the first call with file mode 0600.

    Raises:
        IdentityError: the file is damaged, or others may read it.
    """
    path = folder / FILE_NAME
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    identity = fresh()
    temporary = folder / f".{FILE_NAME}.{secrets.token_hex(4)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(identity.secret)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # atomic, and fails when another process was first
    except FileExistsError:
        return _load(path)
    finally:
        temporary.unlink()
    return identity


def _load(path: Path) -> NetworkIdentity:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise IdentityError(
            f"The network key {path} may be read by others (mode {mode:04o}).",
            remedy=f"Run: chmod 600 {path}",
        )
    return NetworkIdentity(path.read_bytes())
