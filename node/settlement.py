# SPDX-License-Identifier: GPL-3.0-or-later
"""The transactions of a job: lock, settle, expire, cancel; each named by its order, so sent once."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from contracts.records import Settlement
from market import refusals
from market.effects import SubmitCancel, SubmitExpire, SubmitLock, SubmitSettlement
from market.events import Event, SettlementFailed
from node.chain_view import ChainView
from protocol.errors import ChainError, RevertedError, TransactionRevertedError

log = structlog.get_logger("proofmesh.settlement")

_REFUSED = (RevertedError, TransactionRevertedError)


class Transactions:
    """Performs the effects that are transactions."""

    def __init__(self, chain: ChainView) -> None:
        self._chain = chain

    async def lock(self, effect: SubmitLock) -> bool:
        """Send the lock; return whether the chain took it."""
        key = f"lock-{effect.order_hash.hex()}-{effect.award.bid_hash.hex()[:16]}"
        try:
            await self._chain.lock(effect.order, effect.award, effect.signature, key)
        except ChainError as error:
            log.warning("lock refused", order=effect.order_hash.hex()[:12], reason=error.message)
            return False
        return True

    async def settle(self, effect: SubmitSettlement) -> Sequence[Event]:
        """Send the settlement; a refusal by the chain is an event, success comes with the block."""
        lock = self._chain.ledger.lock_of(effect.order_hash)
        settlement = Settlement(
            effect.order, effect.award, effect.signature, effect.proof, effect.outputs, effect.settler
        )
        voided = lock is not None and lock.award != effect.award
        key = f"settle-{effect.order_hash.hex()}-{effect.award.bid_hash.hex()[:16]}-{'void' if voided else 'own'}"
        try:
            receipt = await self._chain.settle(settlement, lock.award if lock else None, key)
        except _REFUSED as error:
            log.warning("settlement refused", order=effect.order_hash.hex()[:12], reason=error.message)
            return [SettlementFailed(self._chain.clock.now(), effect.order_hash, refusals.SETTLEMENT_FAILED)]
        log.info("settlement mined", order=effect.order_hash.hex()[:12], gas=receipt.gas_used)
        return []

    async def expire(self, effect: SubmitExpire) -> None:
        """Refund the client of a lock that nobody settled."""
        lock = self._chain.ledger.lock_of(effect.order_hash)
        if lock is None:
            return  # the follower has seen its end already
        key = f"expire-{effect.order_hash.hex()}"
        try:
            await self._chain.expire(effect.order, lock.award, key)
        except _REFUSED as error:
            log.info("refund refused", order=effect.order_hash.hex()[:12], reason=error.message)

    async def request_cancel(self, effect: SubmitCancel) -> None:
        """Begin the delayed cancel of an awarded order."""
        try:
            await self._chain.request_cancel(effect.order, f"cancel-{effect.order_hash.hex()}")
        except _REFUSED as error:
            log.info("cancel refused", order=effect.order_hash.hex()[:12], reason=error.message)
