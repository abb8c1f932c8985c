# SPDX-License-Identifier: GPL-3.0-or-later
"""The Escrow's balances and locks as this node knows them, from events alone.

Gossip validation and preflight ask here, so that a message never causes a call to the RPC. A block that the
chain takes back is taken back exactly: what it changed gets the very value that it had before, so a ledger
that has seen a block and undone it equals one that has never seen it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from contracts import events as chain_events
from contracts.events import EscrowEvent, balance_changes

_Change = tuple[dict[bytes, Any], bytes, Any]
"""A table, a key of it, and the value before; None for none."""


class Ledger:
    """What every account has in the Escrow, in wei, who was slashed, and which orders are locked or done.

    The last `window` blocks can be undone, newest first.
    """

    def __init__(self, window: int = 256) -> None:
        self._balances: dict[bytes, int] = {}
        self._leaving: dict[bytes, int] = {}
        self._locks: dict[bytes, chain_events.Locked] = {}
        self._cancels: dict[bytes, bool] = {}
        self._slashes: dict[bytes, int] = {}
        self._done: dict[bytes, type[chain_events.Settled | chain_events.Expired]] = {}
        self._blocks: deque[tuple[bytes, list[_Change]]] = deque(maxlen=window)

    def balance(self, account: bytes) -> int:
        """Return what others can count on: the balance without what may be withdrawn."""
        return max(0, self._balances.get(account, 0) - self._leaving.get(account, 0))

    def lock_of(self, order_hash: bytes) -> chain_events.Locked | None:
        """Return the lock of an order that is neither settled nor expired."""
        return self._locks.get(order_hash)

    def is_cancelling(self, order_hash: bytes) -> bool:
        """Return whether the client asked for the end of an order, and nothing has come of it since."""
        return order_hash in self._cancels

    def slashes(self, prover: bytes) -> int:
        """Return how often an account has lost collateral by a missed promise."""
        return self._slashes.get(prover, 0)

    def is_done(self, order_hash: bytes) -> bool:
        """Return whether an order is settled or expired."""
        return order_hash in self._done

    def end_of(self, order_hash: bytes) -> type[chain_events.Settled | chain_events.Expired] | None:
        """Return how an order ended, None if it has not."""
        return self._done.get(order_hash)

    def apply(self, block_hash: bytes, events: Iterable[EscrowEvent]) -> None:
        """Take the events of a block."""
        changes: list[_Change] = []
        for event in events:
            self._take(event, changes)
        self._blocks.append((block_hash, changes))

    def undo(self, block_hash: bytes) -> None:
        """Take back the newest block, which is no longer part of the chain.

        Raises:
            ValueError: the newest block is another one.
        """
        if not self._blocks or self._blocks[-1][0] != block_hash:
            raise ValueError("only the newest block can be taken back")
        for table, key, before in reversed(self._blocks.pop()[1]):
            _put(table, key, before)

    def _take(self, event: EscrowEvent, changes: list[_Change]) -> None:
        def change(table: dict[bytes, Any], key: bytes, value: Any) -> None:
            changes.append((table, key, table.get(key)))
            _put(table, key, value)

        for account, moved in balance_changes(event):
            change(self._balances, account, self._balances.get(account, 0) + moved or None)
        match event:
            case chain_events.WithdrawalRequested():
                change(self._leaving, event.account, event.amount or None)
            case chain_events.Withdrawn():
                change(self._leaving, event.account, None)
            case chain_events.CancelRequested():
                change(self._cancels, event.order_hash, True)
            case chain_events.Locked():
                change(self._cancels, event.order_hash, None)
                change(self._locks, event.order_hash, event)
            case chain_events.Released():
                change(self._locks, event.order_hash, None)
            case chain_events.Settled() | chain_events.Expired():
                change(self._cancels, event.order_hash, None)
                change(self._locks, event.order_hash, None)
                change(self._done, event.order_hash, type(event))
                slashed = _slashed_by(event)
                if slashed is not None:
                    change(self._slashes, slashed, self.slashes(slashed) + 1)

    def __eq__(self, other: object) -> bool:
        """Two ledgers are equal if they say the same of every account and order."""
        return isinstance(other, Ledger) and self._tables() == other._tables()

    __hash__ = None  # type: ignore[assignment]

    def _tables(self) -> tuple[dict[bytes, Any], ...]:
        return (self._balances, self._leaving, self._locks, self._done, self._cancels, self._slashes)


def _slashed_by(event: chain_events.Settled | chain_events.Expired) -> bytes | None:
    """Return who lost collateral by an event."""
    if isinstance(event, chain_events.Expired):
        return event.prover if event.burned else None
    return event.payment.locked_prover if event.payment.bounty or event.payment.burned else None


def _put(table: dict[bytes, Any], key: bytes, value: Any) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value
