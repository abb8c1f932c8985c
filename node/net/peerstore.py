# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node remembers of its peers across restarts: where they were, how they behaved, who is banned.

A cache of at most 1,024 contacts and 1,024 standings in one JSON file, replaced whole. Only what this node saw
itself is kept: no hearsay. A file that is not exactly what this module writes is put aside, and the node starts
without; nothing in it can do more than name peers to dial and peers to distrust.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import structlog
import trio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from node.net.host import parse_address
from node.net.limits import Limits
from node.net.peerbook import Origin, PeerBook
from node.net.standing import Standings
from protocol import bounded_json
from protocol.errors import AddressError, PeerStoreError

log = structlog.get_logger("proofmesh.net")

PEER_FILE = "peers.json"
MAX_BYTES = 2 * 2**20
MAX_PEERS = 1_024
LOOK_SECONDS = 1.0
SAVE_LOOKS = 30
"""The file is written every so many looks."""
LONGEST_ABSENCE = 30 * 86_400
"""Seconds after which a contact that was not seen is not dialled any more."""

Seconds = Annotated[int, Field(ge=0, lt=2**40)]
PeerId = Annotated[str, Field(pattern=r"^[1-9A-HJ-NP-Za-km-z]{32,128}$")]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class StoredContact(_Entry):
    """Where a peer was when this node was last connected to it, in seconds of the wall clock."""

    peer: PeerId
    address: Annotated[str, Field(min_length=1, max_length=256)]
    seen_at: Seconds


class StoredStanding(_Entry):
    """How a peer behaved; a ban holds until `banned_until` of the wall clock."""

    peer: PeerId
    score: Annotated[float, Field(ge=-1e6, le=0, allow_inf_nan=False)]
    banned_until: Seconds
    bans: Annotated[int, Field(ge=0, le=64)]


class StoredPeers(_Entry):
    """The file."""

    version: Literal[1]
    contacts: Annotated[list[StoredContact], Field(max_length=MAX_PEERS)]
    standings: Annotated[list[StoredStanding], Field(max_length=MAX_PEERS)]


def read(path: Path) -> StoredPeers:
    """Return what a peer file holds; nothing if there is none.

    Raises:
        PeerStoreError: it is not what `write` writes.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return StoredPeers(version=1, contacts=[], standings=[])
    except OSError as error:
        raise PeerStoreError(f"{path} cannot be read ({error.strerror}).") from None
    if len(raw) > MAX_BYTES:
        raise PeerStoreError(f"{path} is larger than {MAX_BYTES} bytes.")
    try:
        stored = StoredPeers.model_validate(bounded_json.loads(raw))
        for contact in stored.contacts:
            if str(parse_address(contact.address).peer_id) != contact.peer:
                raise ValueError("an address of another peer")
    except (ValueError, ValidationError, AddressError, RecursionError):
        raise PeerStoreError(f"{path} is damaged or not a peer file.") from None
    return stored


def write(path: Path, stored: StoredPeers) -> None:
    """Write a peer file, mode 0600, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(stored.model_dump_json())
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


class PeerMemory:
    """Carries book and standings over restarts; times inside are those of the wall clock."""

    def __init__(
        self, path: Path, limits: Limits, book: PeerBook, standings: Standings, wall: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._limits = limits
        self._book = book
        self._standings = standings
        self._wall = wall
        self._seen: dict[str, int] = {}

    def recall(self, own_id: str, now: float) -> None:
        """Fill book and standings from the file; a file that is refused is put aside."""
        try:
            stored = read(self._path)
        except PeerStoreError as error:
            log.warning("peers of earlier runs are not known", code=error.code, reason=error.message)
            with suppress(OSError):
                self._path.replace(self._path.with_suffix(".refused"))
            return
        wall = int(self._wall())
        for contact in stored.contacts:
            if contact.peer != own_id and contact.seen_at > wall - LONGEST_ABSENCE:
                self._book.learn(contact.peer, contact.address, Origin.MET)
                self._seen[contact.peer] = min(contact.seen_at, wall)
        for entry in stored.standings:
            # A clock that was set back must not make a ban longer than any ban.
            left = min(entry.banned_until - wall, self._limits.ban_longest)
            self._standings.of(entry.peer).restore(entry.score, entry.bans, now, left)

    def keep(self, connected: frozenset[str], now: float) -> None:
        """Write what is known now; a full disk costs the memory and nothing else."""
        wall = int(self._wall())
        self._seen |= dict.fromkeys(connected, wall)
        contacts = [contact for contact in self._book.contacts() if contact.origin is not Origin.HEARSAY]
        for contact in contacts:
            if contact.proven or contact.origin is Origin.MET:
                self._seen.setdefault(contact.peer, wall)
        known = [contact for contact in contacts if contact.peer in self._seen]
        known.sort(key=lambda contact: -self._seen[contact.peer])
        self._seen = {contact.peer: self._seen[contact.peer] for contact in known[:MAX_PEERS]}
        stored = StoredPeers(
            version=1,
            contacts=[
                StoredContact(peer=contact.peer, address=contact.address, seen_at=self._seen[contact.peer])
                for contact in known[:MAX_PEERS]
            ],
            standings=[self._stored(peer, now, wall) for peer in sorted(self._standings.remembered(now))[:MAX_PEERS]],
        )
        try:
            write(self._path, stored)
        except OSError as error:
            log.warning("peers cannot be remembered", reason=error.strerror)

    def _stored(self, peer: str, now: float, wall: int) -> StoredStanding:
        standing = self._standings.of(peer)
        left = max(0, int(standing.banned_until - now)) if standing.banned(now) else 0
        return StoredStanding(
            peer=peer,
            score=max(-1e6, standing.score_at(now)),
            banned_until=wall + left if left else 0,
            bans=min(64, standing.bans),
        )

    async def keep_regularly(self, connected: Callable[[], frozenset[str]]) -> None:
        """Write every half minute, and once more at the end."""
        try:
            while True:
                for _ in range(SAVE_LOOKS):
                    await trio.sleep(LOOK_SECONDS)
                    self._seen |= dict.fromkeys(connected(), int(self._wall()))
                self.keep(connected(), trio.current_time())
        finally:
            self.keep(connected(), trio.current_time())
