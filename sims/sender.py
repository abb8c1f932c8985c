# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends the transactions of one node, each once by its key, however often the node dies.

Signed and on disk before it is broadcast, broadcast again while nobody has mined it, replaced by one that pays
more when it is stuck. An RPC that is out refuses before anything is signed. By chance a transaction is reported
as failed and is mined all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from market.effects import SubmitBatch, SubmitCancel, SubmitExpire, SubmitLock, SubmitRelease, SubmitSettlement
from sims.blocks import Call, Transaction
from sims.chain import Escrow, Settlement
from sims.shell import Shell

SECOND = 10**9
POLL = SECOND
REBROADCAST = 5
"""Polls after which a transaction that the mempool does not hold is sent again."""
BUMP = 30
"""Polls after which a stuck transaction pays twice as much."""
TIMEOUT = 300
"""Polls after which its sender asks no more; the effect is tried again later."""
HEADROOM = 2
"""A transaction pays at most this multiple of the gas price at its signing."""

Outcome = Callable[[str | None], None]
"""Gets the reason of a revert, empty when mined well, None when the RPC could not tell."""


class Sender:
    """The one owner of a node's transactions."""

    def __init__(self, node: Shell[Any]) -> None:
        self._node = node

    def settle(self, effect: SubmitSettlement, done: Outcome) -> None:
        """Send a settlement."""
        lock = self._node.around.chain.escrow.locks.get(effect.order_hash)
        void = "void" if lock is not None and lock.award != effect.award else "own"
        settlement = settlement_of(effect)

        def call(escrow: Escrow, now: int) -> None:
            escrow.settle(now, self._node.account, settlement)

        key = f"settle {effect.order_hash.hex()} {effect.award.bid_hash.hex()[:16]} {void}"
        self.send(key, call, done, settlement)

    def settle_batch(self, effect: SubmitBatch, passing: list[Settlement], done: Outcome) -> None:
        """Send several settlements at once."""
        name = " ".join(s.award.order_hash.hex()[:12] for s in passing)

        def call(escrow: Escrow, now: int) -> None:
            escrow.settle_batch(now, self._node.account, passing)

        self.send(f"batch {name}", call, done)

    def lock(self, effect: SubmitLock, done: Outcome) -> None:
        """Send a lock."""

        def call(escrow: Escrow, now: int) -> None:
            escrow.lock(now, self._node.account, effect.order, effect.award, effect.signature)

        self.send(f"lock {effect.order_hash.hex()} {effect.award.bid_hash.hex()[:16]}", call, done)

    def release(self, effect: SubmitRelease, done: Outcome) -> None:
        """Send what gives a lock up."""

        def call(escrow: Escrow, now: int) -> None:
            escrow.release(now, self._node.account, effect.order, effect.award)

        self.send(f"release {effect.order_hash.hex()} {effect.award.bid_hash.hex()[:16]}", call, done)

    def expire(self, effect: SubmitExpire, done: Outcome) -> None:
        """Send a refund."""
        self.send(f"expire {effect.order_hash.hex()}", lambda e, now: e.expire(now, effect.order), done)

    def cancel(self, effect: SubmitCancel, done: Outcome) -> None:
        """Send a request to cancel."""

        def call(escrow: Escrow, now: int) -> None:
            escrow.request_cancel(now, self._node.account, effect.order)

        self.send(f"cancel {effect.order_hash.hex()}", call, done)

    def send(self, key: str, call: Call, done: Outcome, settlement: Settlement | None = None) -> None:
        """Send a transaction once; a known key is followed, not sent anew, unless it reverted."""
        node, chain = self._node, self._node.around.chain
        if node.rpc_out:
            node.around.world.fault("RPC out")
            done(None)
            return
        known = node.disk.transactions.get(key)
        if known is None or (known.mined_in is not None and known.reason and chain.deep(known.mined_in)):
            reason = chain.refusal(call)
            if reason:
                done(reason)
                return
            fee = chain.gas_price * HEADROOM
            known = chain.sign(node.account, node.index, key, call, fee, settlement)
            node.disk.transactions[key] = known
            node.step("before effect")
        chain.broadcast(known)
        if node.draw.chance(node.around.rates.false_failure):
            node.around.world.fault("false failure")
            done(None)
            return
        self._follow(known, done, 0)

    def _follow(self, transaction: Transaction, done: Outcome, polls: int) -> None:
        node, chain = self._node, self._node.around.chain

        def look() -> None:
            if node.rpc_out and polls < TIMEOUT:
                self._follow(transaction, done, polls + 1)
            elif transaction.mined_in is not None and chain.deep(transaction.mined_in):
                done(transaction.reason)
            elif polls >= TIMEOUT:
                done(None)
            else:
                if polls % REBROADCAST == REBROADCAST - 1:
                    chain.broadcast(transaction)
                if polls % BUMP == BUMP - 1:
                    node.around.world.fault("replaced transaction")
                    transaction.fee *= 2
                self._follow(transaction, done, polls + 1)

        node.later(POLL, look)


def settlement_of(effect: SubmitSettlement) -> Settlement:
    """Return the arguments of a settling transaction."""
    return Settlement(effect.order, effect.award, effect.signature, effect.outputs, effect.proof, effect.settler)
