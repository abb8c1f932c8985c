# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom the node keeps a connection to, and when to dial again. No clock, no network: time is an argument.

The library's own reconnection takes 10 to 65 s and bypasses gossip. How a contact was learned decides what
it may displace: nobody's word about others takes the place of what a peer said of itself, of what accounts
wrote to the chain, or of what the operator configured.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace

from node.net.limits import Limits
from node.net.subnets import host_in, parse_networks, subnet_of


class Origin(enum.IntEnum):
    """How a contact was learned, least trusted first."""

    HEARSAY = 0
    """A peer spoke of another one."""
    CHAIN = 1
    """The peer's account wrote it to the chain's directory."""
    MET = 2
    """The peer said it of itself, on a connection that proves its id."""
    CONFIGURED = 3
    """The operator's bootstrap list; never forgotten."""


@dataclass(frozen=True)
class Contact:
    """A peer to stay connected to. `proven`: the address was dialled, or is where the peer came from."""

    peer: str
    address: str
    origin: Origin
    source: str | None = None
    proven: bool = False
    failures: int = 0
    next_dial: float = float("-inf")
    dialling: bool = False

    @property
    def configured(self) -> bool:
        return self.origin is Origin.CONFIGURED


class PeerBook:
    """Contacts by peer id, with a backoff for each. When it is full the least trusted, oldest one goes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._exempt = parse_networks(limits.exempt_networks)
        self._contacts: dict[str, Contact] = {}

    def __contains__(self, peer: str) -> bool:
        return peer in self._contacts

    def of(self, peer: str) -> Contact | None:
        return self._contacts.get(peer)

    def address_of(self, peer: str) -> str | None:
        contact = self._contacts.get(peer)
        return contact.address if contact else None

    def contacts(self) -> tuple[Contact, ...]:
        return tuple(self._contacts.values())

    def learn(
        self, peer: str, address: str, origin: Origin, *, source: str | None = None, proven: bool = False
    ) -> bool:
        """Remember where a peer is; return whether it is in the book with this address now.

        A less trusted origin never replaces the address of a better one, nor an unproven address a proven
        one; `source` is whose hearsay it is.
        """
        known = self._contacts.get(peer)
        if known is not None:
            weaker = origin < known.origin and origin is not Origin.MET
            if weaker or (known.proven and not proven):
                return known.address == address
            kept = proven or (known.proven and known.address == address)
            origin = max(origin, known.origin)
            self._contacts[peer] = replace(known, address=address, origin=origin, proven=kept)
            return True
        if origin is Origin.HEARSAY and not self._room_for_hearsay(source):
            return False
        if origin is not Origin.CONFIGURED and len(self._contacts) >= self._limits.contacts:
            victim = min(self._contacts.values(), key=lambda contact: contact.origin)
            if victim.origin is Origin.CONFIGURED or victim.origin > origin:
                return False
            del self._contacts[victim.peer]
        self._contacts[peer] = Contact(peer, address, origin, source, proven)
        return True

    def _room_for_hearsay(self, source: str | None) -> bool:
        hearsay = [contact for contact in self._contacts.values() if contact.origin is Origin.HEARSAY]
        theirs = sum(contact.source == source for contact in hearsay)
        return len(hearsay) < self._limits.hearsay and theirs < self._limits.hearsay_per_source

    def due(self, now: float, connected: frozenset[str], dialled: frozenset[str]) -> tuple[Contact, ...]:
        """The contacts to dial now; `dialled` are the connected peers that this node dialled.

        Configured ones always; then the more trusted, fewer failures first, up to `outbound_connections`
        and `outbound_per_subnet`, so that one neighbourhood cannot be all that a node sees.
        """
        absent = [c for c in self._contacts.values() if c.peer not in connected]
        free = self._limits.dials - sum(contact.dialling for contact in absent)
        waiting = [c for c in absent if not c.dialling and c.next_dial <= now]
        chosen = [contact for contact in waiting if contact.configured]
        taken = self._taken([c for c in absent if c.dialling], dialled)
        slots = self._limits.outbound_connections - sum(taken.values())
        others = (contact for contact in waiting if not contact.configured)
        for contact in sorted(others, key=lambda c: (-c.origin, c.failures)):
            subnet = self._subnet(contact)
            if slots <= 0:
                break
            if subnet and taken.get(subnet, 0) >= self._limits.outbound_per_subnet:
                continue
            taken[subnet] = taken.get(subnet, 0) + 1
            slots -= 1
            chosen.append(contact)
        return tuple(chosen[: max(0, free)])

    def _taken(self, dialling: Iterable[Contact], dialled: frozenset[str]) -> dict[str, int]:
        """Count learned peers that we dialled, by subnet."""
        counts: dict[str, int] = {}
        open_ones = [self._contacts[peer] for peer in dialled if peer in self._contacts]
        for contact in [*open_ones, *dialling]:
            if not contact.configured:
                subnet = self._subnet(contact)
                counts[subnet] = counts.get(subnet, 0) + 1
        return counts

    def _subnet(self, contact: Contact) -> str:
        return subnet_of(host_in(contact.address), self._exempt) or ""

    def dialling(self, peer: str) -> None:
        self._update(peer, dialling=True)

    def interrupted(self) -> None:
        """The host ended: no dial is under way any more."""
        for peer in self._contacts:
            self._update(peer, dialling=False)

    def reached(self, peer: str, address: str | None = None) -> None:
        """The peer is connected; a dial of `address` succeeded if one is given."""
        self._update(peer, failures=0, dialling=False)
        if address is not None and self.address_of(peer) == address:
            self._update(peer, proven=True)

    def lost(self, peer: str, now: float) -> None:
        """The connection ended: dial again after a moment; its address must prove itself anew."""
        self._update(peer, proven=False)
        if (contact := self._contacts.get(peer)) is not None and not contact.dialling:
            self._update(peer, next_dial=now + self._limits.redial_first)

    def failed(self, peer: str, now: float, jitter: float) -> None:
        """A dial failed: wait twice as long (times 1 to 1.5 by `jitter` in 0..1), or forget the peer."""
        contact = self._contacts.get(peer)
        if contact is None:
            return
        failures = contact.failures + 1
        attempts = 2 if contact.origin is Origin.HEARSAY else self._limits.learned_attempts
        if not contact.configured and failures >= attempts:
            del self._contacts[peer]
            return
        wait = min(self._limits.redial_longest, self._limits.redial_first * 2.0 ** (failures - 1))
        self._update(peer, failures=failures, dialling=False, next_dial=now + wait * (1 + jitter / 2))

    def _update(self, peer: str, **changes: object) -> None:
        if (contact := self._contacts.get(peer)) is not None:
            self._contacts[peer] = replace(contact, **changes)  # type: ignore[arg-type]
