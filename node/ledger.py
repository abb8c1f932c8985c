# SPDX-License-Identifier: GPL-3.0-or-later
"""The Escrow's balances and locks as this node knows them, from events alone.

Gossip validation and preflight ask here, so that a message never causes a call to the RPC. Blocks that
the chain takes back are taken back here too.
"""

from __future__ import annotations

from collections import defaultdict

from contracts import events as chain_events
from contracts.events import EscrowEvent, balance_changes


class Ledger:
    """What every account has in the Escrow, in wei, and which orders are locked or done."""

    def __init__(self) -> None:
        self._balances: defaultdict[bytes, int] = defaultdict(int)
        self._leaving: dict[bytes, int] = {}
        self._locks: dict[bytes, chain_events.Locked] = {}
        self._done: set[bytes] = set()

    def balance(self, account: bytes) -> int:
        """Return what others can count on: the balance without what may be withdrawn."""
        return max(0, self._balances[account] - self._leaving.get(account, 0))

    def lock_of(self, order_hash: bytes) -> chain_events.Locked | None:
        """Return the lock of an order that is neither settled nor expired."""
        return self._locks.get(order_hash)

    def is_done(self, order_hash: bytes) -> bool:
        """Return whether an order is settled or expired."""
        return order_hash in self._done

    def apply(self, event: EscrowEvent) -> None:
        """Take an event of the Escrow."""
        for account, change in balance_changes(event):
            self._balances[account] += change
        match event:
            case chain_events.WithdrawalRequested():
                self._leaving[event.account] = event.amount
            case chain_events.Withdrawn():
                self._leaving.pop(event.account, None)
            case chain_events.Locked():
                self._locks[event.order_hash] = event
            case chain_events.Released():
                self._locks.pop(event.order_hash, None)
            case chain_events.Settled() | chain_events.Expired():
                self._locks.pop(event.order_hash, None)
                self._done.add(event.order_hash)

    def undo(self, event: EscrowEvent) -> None:
        """Take back an event of a block that is no longer part of the chain."""
        for account, change in balance_changes(event):
            self._balances[account] -= change
        match event:
            case chain_events.WithdrawalRequested():
                self._leaving.pop(event.account, None)
            case chain_events.Locked():
                self._locks.pop(event.order_hash, None)
            case chain_events.Settled() | chain_events.Expired():
                self._done.discard(event.order_hash)
