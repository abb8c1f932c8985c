# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node has on disk: journal, outbox, signed transactions, secrets, and how far it read the chain.

The contract of the daemon's journal: an event and the effects that it asks for are one record, written
whole or not at all; a record that a crash tore is cut when the journal is opened again; an effect stays in
the outbox until a record finishes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from market import journal
from market.effects import Effect
from market.events import Event
from sims.blocks import Block, Transaction
from sims.errors import SafetyViolationError

CHECKED = 12
"""Newest records whose bytes are decoded again when a journal is opened."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record of the journal. A torn one was never written whole."""

    event: Event
    effects: tuple[tuple[int, Effect], ...]
    finishes: tuple[int, ...]
    torn: bool = False


@dataclass(slots=True)
class Disk:
    """It outlives every crash."""

    snapshot: bytes | None = None
    """The state before the first record: a journal is compacted when it is opened."""
    records: list[Record] = field(default_factory=list)
    outbox: dict[int, Effect] = field(default_factory=dict)
    transactions: dict[str, Transaction] = field(default_factory=dict)
    """What was signed, under the key that names it."""
    secrets: set[bytes] = field(default_factory=set)
    """Orders whose opened input lies in the vault."""
    read: list[Block] = field(default_factory=list)
    """Blocks that were handled; the cursor of the follower."""
    _next: int = 0

    def number(self, effects: Sequence[Effect]) -> tuple[tuple[int, Effect], ...]:
        """Return the effects of a record with their ids."""
        first, self._next = self._next, self._next + len(effects)
        return tuple(enumerate(effects, first))

    def append(self, record: Record) -> None:
        """Write a record: all of it, or (torn) nothing that counts."""
        self.records.append(record)
        if not record.torn:
            self.outbox.update(record.effects)
            for effect_id in record.finishes:
                self.outbox.pop(effect_id, None)

    def compact(self, snapshot: bytes) -> None:
        """Put a state in the place of the records that led to it."""
        self.snapshot = snapshot
        self.records.clear()

    def recover(self) -> list[Event]:
        """Cut what is torn and return all events, oldest first; the newest are read from their bytes.

        Raises:
            SafetyViolationError: SIM-9, a record's bytes give another event.
        """
        self.records = [record for record in self.records if not record.torn]
        for record in self.records[-CHECKED:]:
            effects = [effect for _, effect in record.effects]
            event = journal.decode_event(journal.encode(record.event))
            decoded = [journal.decode_effect(journal.encode(effect)) for effect in effects]
            if event != record.event or decoded != effects:
                raise SafetyViolationError("SIM-9: a journal record does not give back what was written.")
        return [record.event for record in self.records]
