# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the node keeps a connection to, and when to dial again. No clock, no network: time is an argument.

The library's own reconnection takes 10 to 65 s and bypasses gossip.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from node.net.limits import Limits


@dataclass(frozen=True)
class Contact:
    """A peer to stay connected to; `configured` ones are never forgotten."""

    peer: str
    address: str
    configured: bool
    failures: int = 0
    next_dial: float = float("-inf")
    dialling: bool = False


class PeerBook:
    """Contacts by peer id, with a backoff for each."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._contacts: dict[str, Contact] = {}

    def __contains__(self, peer: str) -> bool:
        return peer in self._contacts

    def address_of(self, peer: str) -> str | None:
        contact = self._contacts.get(peer)
        return contact.address if contact else None

    def contacts(self) -> tuple[Contact, ...]:
        return tuple(self._contacts.values())

    def learn(self, peer: str, address: str, *, configured: bool) -> None:
        """Remember where a peer is; the newest address counts, and a configured peer stays configured."""
        known = self._contacts.get(peer)
        if known is not None:
            configured = configured or known.configured
            self._contacts[peer] = replace(known, address=address, configured=configured)
            return
        if not configured and len(self._contacts) >= self._limits.tracked_peers:
            return
        self._contacts[peer] = Contact(peer, address, configured)

    def due(self, now: float, connected: frozenset[str]) -> tuple[Contact, ...]:
        """The contacts to dial now."""
        waiting = (c for c in self._contacts.values() if not c.dialling and c.next_dial <= now)
        return tuple(contact for contact in waiting if contact.peer not in connected)

    def dialling(self, peer: str) -> None:
        self._update(peer, dialling=True)

    def interrupted(self) -> None:
        """The host ended: no dial is under way any more."""
        for peer in self._contacts:
            self._update(peer, dialling=False)

    def reached(self, peer: str) -> None:
        self._update(peer, failures=0, dialling=False)

    def lost(self, peer: str, now: float) -> None:
        """The connection ended: dial again after a moment."""
        if (contact := self._contacts.get(peer)) is not None and not contact.dialling:
            self._update(peer, next_dial=now + self._limits.redial_first)

    def failed(self, peer: str, now: float, jitter: float) -> None:
        """A dial failed: wait twice as long (times 1 to 1.5 by `jitter` in 0..1), or forget the peer."""
        contact = self._contacts.get(peer)
        if contact is None:
            return
        failures = contact.failures + 1
        if not contact.configured and failures >= self._limits.learned_attempts:
            del self._contacts[peer]
            return
        wait = min(self._limits.redial_longest, self._limits.redial_first * 2.0 ** (failures - 1))
        self._update(peer, failures=failures, dialling=False, next_dial=now + wait * (1 + jitter / 2))

    def _update(self, peer: str, **changes: object) -> None:
        if (contact := self._contacts.get(peer)) is not None:
            self._contacts[peer] = replace(contact, **changes)  # type: ignore[arg-type]
