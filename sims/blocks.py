# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain as a node meets it: a mempool, blocks at fixed intervals, receipts and followers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from market.effects import SubmitCancel, SubmitExpire, SubmitLock, SubmitSettlement
from market.events import ChainExpired, ChainLocked, ChainSettled, Event, JobEvent
from sims.chain import SECOND, Escrow, Lock, Paid, Reverted, Settlement
from sims.network import Network
from sims.world import World

News = Callable[[int], Event]
Failed = Callable[[str], None]


class Follower(Protocol):
    """Who hears of the chain."""

    account: bytes

    def chain_event(self, make: News) -> None:
        """Take news; the argument of `make` is the instant at which it is heard."""


@dataclass(frozen=True, slots=True)
class Slash:
    """Collateral that a prover lost."""

    prover: bytes
    order_hash: bytes
    locked_at: int
    at: int


class Chain:
    """One Escrow behind a mempool. Only blocks with transactions are simulated."""

    def __init__(self, world: World, network: Network, escrow: Escrow, block_seconds: int) -> None:
        self.escrow = escrow
        self.reverts: dict[str, int] = {}
        self.slashes: list[Slash] = []
        self.locked_by: dict[bytes, bytes] = {}
        self._world = world
        self._network = network
        self._interval = block_seconds * SECOND
        self._pending: list[tuple[bytes, Callable[[int], News | None], Failed]] = []
        self._planned = False
        self._followers: list[Follower] = []
        self._locked_at: dict[bytes, int] = {}
        self._sent = 0

    def follow(self, followers: list[Follower]) -> None:
        """Tell these of every event from now on."""
        self._followers = followers

    # --- transactions --------------------------------------------------------------------

    def settle(self, sender: bytes, effect: SubmitSettlement, failed: Failed) -> None:
        """Send a settlement."""
        s = Settlement(
            effect.order, effect.award, effect.signature, effect.outputs, effect.proof, effect.settler
        )
        self._submit(sender, lambda now: self._settled(self.escrow.settle(now, sender, s)), failed)

    def lock(self, sender: bytes, effect: SubmitLock, failed: Failed) -> None:
        """Send a lock."""

        def call(now: int) -> News:
            return self._locked(self.escrow.lock(now, sender, effect.order, effect.award, effect.signature))

        self._submit(sender, call, failed)

    def expire(self, sender: bytes, effect: SubmitExpire) -> None:
        """Send a refund."""

        def call(now: int) -> News:
            lock = self.escrow.locks.get(effect.order_hash)
            self.escrow.expire(now, effect.order)
            return self._expired(effect.order_hash, lock)

        self._submit(sender, call, _nobody)

    def cancel(self, sender: bytes, effect: SubmitCancel) -> None:
        """Send a request to cancel."""

        def call(now: int) -> None:
            self.escrow.request_cancel(now, sender, effect.order)

        self._submit(sender, call, _nobody)

    def _submit(self, sender: bytes, call: Callable[[int], News | None], failed: Failed) -> None:
        self._world.after(self._network.latency(), lambda: self._accept(sender, call, failed))

    def _accept(self, sender: bytes, call: Callable[[int], News | None], failed: Failed) -> None:
        self._pending.append((sender, call, failed))
        if not self._planned:
            self._planned = True
            self._world.at((self._world.now // self._interval + 1) * self._interval, self._block)

    def _block(self) -> None:
        self._planned = False
        pending, self._pending = self._pending, []
        now = self._world.now // SECOND
        for sender, call, failed in pending:
            try:
                news = call(now)
            except Reverted as error:
                self._world.note(f"chain reverts {error.reason} of {sender.hex()[:12]}")
                self.reverts[error.reason] = self.reverts.get(error.reason, 0) + 1
                self._world.after(self._network.latency(), _told(failed, error.reason))
                continue
            if news is not None:
                self._tell(news)

    def _tell(self, news: News) -> None:
        self._world.note(f"chain {type(news(self._world.now)).__name__} held {self.escrow.held()}")
        for follower in self._followers:
            self._world.after(self._network.latency(), _heard(follower, news))

    # --- events --------------------------------------------------------------------------

    def _settled(self, paid: Paid) -> News:
        award, order = paid.settlement.award, paid.settlement.order
        transaction = self._transaction()
        if paid.slashed is not None and order.collateral:
            self._slash(paid.slashed, paid.order_hash)

        def make(at: int) -> JobEvent:
            return ChainSettled(
                at,
                paid.order_hash,
                transaction_hash=transaction,
                prover=award.prover,
                payout=award.payout,
                settler=paid.fee_to,
                price=award.price,
                fee=order.verifier_fee,
            )

        return make

    def _locked(self, lock: Lock) -> News:
        award = lock.award
        self._locked_at[award.order_hash] = self._world.now
        self.locked_by[award.order_hash] = award.prover
        return lambda at: ChainLocked(
            at, award.order_hash, lock.award_hash, award.prover, award.promise_at, award.price
        )

    def _expired(self, order_hash: bytes, lock: Lock | None) -> News:
        transaction = self._transaction()
        if lock is not None and lock.order.collateral:
            self._slash(lock.award.prover, order_hash)
        return lambda at: ChainExpired(at, order_hash, transaction)

    def _slash(self, prover: bytes, order_hash: bytes) -> None:
        self.slashes.append(Slash(prover, order_hash, self._locked_at[order_hash], self._world.now))

    def _transaction(self) -> bytes:
        self._sent += 1
        return sha256(f"transaction {self._sent}".encode()).digest()


def _told(failed: Failed, reason: str) -> Callable[[], None]:
    return lambda: failed(reason)


def _heard(follower: Follower, news: News) -> Callable[[], None]:
    return lambda: follower.chain_event(news)


def _nobody(reason: str) -> None:
    """The machine asks again by itself."""
