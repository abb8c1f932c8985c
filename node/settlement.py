# SPDX-License-Identifier: GPL-3.0-or-later
"""The transactions of a job: lock, settle, release, expire, cancel; each named by its order, so sent once."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from contracts import packing
from contracts.bisection import good_jobs
from contracts.events import Skipped, decode_event
from contracts.packing import BatchJob
from contracts.records import Settlement
from market import refusals
from market.effects import SubmitBatch, SubmitCancel, SubmitExpire, SubmitLock, SubmitRelease, SubmitSettlement
from market.events import Event, SettlementFailed
from node.batch_gas import transactions_of
from node.chain.records import Receipt
from node.chain_view import ChainView
from protocol.errors import InsufficientFundsError, RevertedError, TransactionRevertedError
from protocol.hashing import keccak256

log = structlog.get_logger("proofmesh.settlement")

_REFUSED = (RevertedError, TransactionRevertedError)
MOST_SPENT = 1_024
"""Names of reverted settlements that are remembered; a forgotten one costs a question to the RPC."""


class Transactions:
    """Performs the effects that are transactions."""

    def __init__(self, chain: ChainView) -> None:
        self._chain = chain
        self._spent: set[str] = set()

    async def lock(self, effect: SubmitLock) -> bool:
        """Send the lock; return whether the chain took it, False only if it says so itself.

        Raises:
            ChainError: nobody knows; the lock may have landed. To be tried again.
        """
        key = f"lock-{effect.order_hash.hex()}-{effect.award.bid_hash.hex()[:16]}"
        try:
            await self._chain.lock(effect.order, effect.award, effect.signature, key)
        except (*_REFUSED, InsufficientFundsError) as error:
            if await self._chain.is_locked_by(effect.order_hash, effect.award):
                log.info("lock refused, but it is there", order=effect.order_hash.hex()[:12])
                return True
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
        key = self._unspent(
            f"settle-{effect.order_hash.hex()}-{effect.award.bid_hash.hex()[:16]}-{'void' if voided else 'own'}"
        )
        try:
            receipt = await self._chain.settle(settlement, lock.award if lock else None, key)
        except _REFUSED as error:
            if isinstance(error, TransactionRevertedError):
                self._spend(key)
            if await self._chain.is_settled(effect.order_hash):
                return []  # its block is the news
            log.warning("settlement refused", order=effect.order_hash.hex()[:12], reason=error.message)
            return [SettlementFailed(self._chain.clock.now(), effect.order_hash, refusals.SETTLEMENT_FAILED)]
        log.info("settlement mined", order=effect.order_hash.hex()[:12], gas=receipt.gas_used)
        return []

    def _unspent(self, name: str) -> str:
        """The name of the next transaction: one that was mined and reverted is followed no further, but sent anew."""
        number, key = 1, name
        while key in self._spent:
            number, key = number + 1, f"{name}-{number + 1}"
        return key

    def _spend(self, key: str) -> None:
        if len(self._spent) >= MOST_SPENT:
            self._spent.clear()
        self._spent.add(key)

    async def settle_batch(self, effect: SubmitBatch) -> Sequence[Event]:
        """Settle several orders at once; each that the chain refuses is an event, the others are settled."""
        jobs = [self._job(settlement) for settlement in effect.settlements]
        return [event for batch in transactions_of(jobs) for event in await self._settle_together(batch)]

    async def _settle_together(self, jobs: Sequence[BatchJob]) -> Sequence[Event]:
        """Settle what fits in one transaction."""
        good = await self._passing(jobs)
        refused = [job for job in jobs if job not in good]
        if good:
            key = f"batch-{keccak256(packing.pack(good)).hex()[:32]}"
            try:
                receipt = await self._chain.settle_batch(good, key)
            except _REFUSED as error:
                log.warning("batch refused", jobs=len(good), reason=error.message)
                refused = list(jobs)
            else:
                log.info("batch mined", jobs=len(good), gas=receipt.gas_used)
                refused += [job for job in good if _order_hash(job) in _skipped(receipt)]
        return [event for job in refused for event in await self._refusal(job)]

    async def _passing(self, jobs: Sequence[BatchJob]) -> tuple[BatchJob, ...]:
        """The jobs that would be settled now: a bad proof fails its batch, and is found by halving it."""
        search = good_jobs(jobs)
        answers: dict[bytes, str | None] = {}
        try:
            batch = next(search)
            while True:
                try:
                    answer = await self._chain.try_batch(batch)
                except RevertedError:
                    batch = search.send(False)
                    continue
                answers |= {_order_hash(job): why for job, why in zip(batch, answer, strict=True)}
                batch = search.send(True)
        except StopIteration as done:
            passing: tuple[BatchJob, ...] = done.value
        return tuple(job for job in passing if answers[_order_hash(job)] is None)

    async def _refusal(self, job: BatchJob) -> Sequence[Event]:
        """Why the chain refuses a job; none if it is settled: then its block is the news."""
        order_hash = _order_hash(job)
        if await self._chain.is_settled(order_hash):
            return []
        log.warning("settlement refused", order=order_hash.hex()[:12])
        return [SettlementFailed(self._chain.clock.now(), order_hash, refusals.SETTLEMENT_FAILED)]

    def _job(self, effect: SubmitSettlement) -> BatchJob:
        lock = self._chain.ledger.lock_of(effect.order_hash)
        settlement = Settlement(
            effect.order, effect.award, effect.signature, effect.proof, effect.outputs, effect.settler
        )
        voided = lock is not None and lock.award != effect.award
        return BatchJob(settlement, lock.award if lock is not None and voided else None)

    async def release(self, effect: SubmitRelease) -> None:
        """Give up this prover's lock; whatever the chain answers, its block is the news."""
        if not await self._chain.is_locked_by(effect.order_hash, effect.award):
            return
        key = f"release-{effect.order_hash.hex()}-{effect.award.bid_hash.hex()[:16]}"
        try:
            await self._chain.release(effect.order, effect.award, key)
        except _REFUSED as error:
            log.warning("release refused", order=effect.order_hash.hex()[:12], reason=error.message)

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


def _order_hash(job: BatchJob) -> bytes:
    return job.settlement.award.order_hash


def _skipped(receipt: Receipt) -> set[bytes]:
    """The orders that a mined batch skipped: others were faster."""
    events = [decode_event(entry.topics, entry.data) for entry in receipt.logs]
    return {event.order_hash for event in events if isinstance(event, Skipped)}
