# SPDX-License-Identifier: GPL-3.0-or-later
"""What the roles need to hear of the chain's history at a start: its last word on what still matters.

The whole history of the Escrow is read at every start (ADR 3). Told to the machines event by event, each lock and each
settlement of strangers would be a record of the journal again at every start.
"""

from __future__ import annotations

from collections.abc import Callable

from market.events import ChainExpired, ChainReleased, ChainSettled, ChainUndone, JobEvent


class CatchUp:
    """Takes events while the history is read, and keeps those of open orders and of this node's own."""

    def __init__(self, known: Callable[[bytes], bool]) -> None:
        """`known` says whether a role of this node has a job of this order, or knows its lock."""
        self._known = known
        self._kept: dict[bytes, list[JobEvent]] = {}

    def take(self, event: JobEvent) -> None:
        """Keep an event; the end of a stranger's order, or of its lock, makes all that is kept of it pointless."""
        over = isinstance(event, (ChainSettled, ChainReleased, ChainExpired, ChainUndone))
        if over and not self._known(event.order_hash):
            self._kept.pop(event.order_hash, None)
        else:
            self._kept.setdefault(event.order_hash, []).append(event)

    def kept(self) -> list[JobEvent]:
        """Return what is to be heard, order by order."""
        return [event for events in self._kept.values() for event in events]
