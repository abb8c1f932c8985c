# SPDX-License-Identifier: GPL-3.0-or-later
"""The Escrow as readable Python: the oracle that random call sequences compare the chain with.

Same calls, same refusals (by the name of the Solidity error), same balances to the wei. Time is an
argument. What the model does not know is cryptography: whether a signature and a proof are valid is told
to it. `EscrowModel` is mutable because it plays the part of the chain; a refused call changes nothing.

| state of the order | lock | settle | settle_voided | expire | request_cancel |
| --- | --- | --- | --- | --- | --- |
| open | -> locked | -> settled | NotLocked | NotLocked | -> cancelling |
| cancelling, before its time | -> locked | -> settled | NotLocked | NotLocked | AlreadyCancelled |
| cancelling, from its time | AlreadyCancelled | AlreadyCancelled | NotLocked | NotLocked | AlreadyCancelled |
| locked | AlreadyLocked | own award, to final | other award, after promise | after final | AlreadyLocked |
| settled, expired | refused | refused | refused | refused | refused |
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from protocol.scalars import MAX_AMOUNT, ZERO_ADDRESS
from protocol.structs import REQUEST_FOR_QUOTES, Award, Order

BURNED = bytes.fromhex("000000000000000000000000000000000000dead")
"""The internal balance of what is burned; nobody can withdraw from it."""


class Refused(Exception):
    """The Escrow would revert; `reason` is the name of its error."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Open:
    """Never seen on the chain."""


@dataclass(frozen=True)
class Cancelling:
    """A cancel was asked; from `effective_at` on the order is void."""

    effective_at: int


@dataclass(frozen=True)
class LockedBy:
    """Reservation and collateral are held for `award`."""

    award: Award


@dataclass(frozen=True)
class Finished:
    """Settled or expired; `reason` is how a further call is refused."""

    reason: str


OrderLife = Open | Cancelling | LockedBy | Finished


@dataclass
class EscrowModel:
    """Balances and orders of one Escrow. Orders are known by their digest, as on the chain."""

    withdrawal_delay: int
    publishers: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)
    """Model id -> (publisher, royalty in basis points): what the Registry says."""
    balances: defaultdict[bytes, int] = field(default_factory=lambda: defaultdict(int))
    withdrawals: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    orders: dict[bytes, OrderLife] = field(default_factory=dict)
    held: int = 0
    """Wei inside locks."""

    def total(self) -> int:
        """Return what the Escrow owes: balances and locks (INV-2)."""
        return sum(self.balances.values()) + self.held

    def deposit(self, account: bytes, amount: int) -> None:
        """Add to a balance."""
        _require(account != ZERO_ADDRESS, "ZeroAddress")
        _require(amount <= MAX_AMOUNT, "AmountTooLarge")
        self.balances[account] += amount

    def request_withdraw(self, now: int, account: bytes, amount: int) -> None:
        """Announce a withdrawal; it replaces an earlier one, zero takes it back."""
        _require(amount <= self.balances[account], "InsufficientBalance")
        self.withdrawals.pop(account, None)
        if amount:
            self.withdrawals[account] = (amount, now + self.withdrawal_delay)

    def withdraw(self, now: int, account: bytes, to: bytes) -> int:
        """Pay out what was announced or what is left of it; returns the wei that leave."""
        _require(to != ZERO_ADDRESS, "ZeroAddress")
        _require(account in self.withdrawals, "NoWithdrawalRequested")
        amount, available_at = self.withdrawals[account]
        _require(now >= available_at, "WithdrawalNotReady")
        del self.withdrawals[account]
        paid = min(amount, self.balances[account])
        self.balances[account] -= paid
        return paid

    def request_cancel(self, now: int, sender: bytes, order_hash: bytes, order: Order) -> None:
        """Announce that the order shall not be served."""
        _require(sender == order.client, "NotClient")
        life = self._life(order_hash)
        _require(not isinstance(life, Cancelling), "AlreadyCancelled")
        _require(not isinstance(life, LockedBy), "AlreadyLocked")
        _require_unfinished(life)
        self.orders[order_hash] = Cancelling(now + self.withdrawal_delay)

    def lock(
        self, now: int, sender: bytes, order_hash: bytes, order: Order, award: Award, *, signed: bool = True
    ) -> None:
        """Reserve the client's payment and the prover's collateral."""
        _require(sender == award.prover, "NotProver")
        _require_terms(order_hash, order, award)
        self._publisher(order)
        self._require_open(now, order_hash)
        _require(now <= award.lock_by, "LockTooLate")
        _require(now < award.promise_at, "PromiseMissed")
        _require(award.promise_at <= order.final_by, "PromiseTooLate")
        _require(signed, "BadSignature")
        reserved = award.price + order.verifier_fee
        after = self.balances[order.client] - reserved
        _require(after >= 0, "InsufficientBalance")
        prover_has = after if award.prover == order.client else self.balances[award.prover]
        _require(prover_has >= order.collateral, "InsufficientBalance")
        self.balances[order.client] -= reserved
        self.balances[award.prover] -= order.collateral
        self.held += reserved + order.collateral
        self.orders[order_hash] = LockedBy(award)

    def settle(
        self,
        now: int,
        sender: bytes,
        order_hash: bytes,
        order: Order,
        award: Award,
        settler: bytes,
        *,
        signed: bool = True,
        proved: bool = True,
    ) -> None:
        """Pay for a proof, directly or from the lock of this very award."""
        life = self._life(order_hash)
        publisher = self._require_payable(life, order_hash, order, award, proved)
        needed = award.price + order.verifier_fee
        if isinstance(life, LockedBy):
            _require(life.award == award, "LockedByAnotherAward")
            self._unlock(now, order, award, award, late=now > award.promise_at)
        else:
            self._require_open(now, order_hash)
            _require_in_time(now, order, award)
            _require(signed, "BadSignature")
            _require(self.balances[order.client] >= needed, "InsufficientBalance")
            self.balances[order.client] -= needed
        self._pay(order_hash, order, award, publisher, sender, settler)

    def settle_voided(
        self,
        now: int,
        sender: bytes,
        order_hash: bytes,
        order: Order,
        award: Award,
        settler: bytes,
        locking: Award,
        *,
        signed: bool = True,
        proved: bool = True,
    ) -> None:
        """Settle by another award, cheaper or dearer, an order whose lock missed its promise."""
        life = self._life(order_hash)
        publisher = self._require_payable(life, order_hash, order, award, proved)
        _require_locked_by(life, locking)
        _require(now > locking.promise_at, "LockStillHolds")
        _require_in_time(now, order, award)
        _require(signed, "BadSignature")
        _require(self.balances[order.client] >= award.price - locking.price, "InsufficientBalance")
        self._unlock(now, order, locking, award, late=True)
        self._pay(order_hash, order, award, publisher, sender, settler)

    def expire(self, now: int, order_hash: bytes, order: Order, locking: Award) -> None:
        """Give the client its reservation back after the final deadline; burn the collateral."""
        _require_locked_by(self._life(order_hash), locking)
        _require(now > order.final_by, "NotYetExpired")
        reserved = locking.price + order.verifier_fee
        self.held -= reserved + order.collateral
        self.balances[order.client] += reserved
        self.balances[BURNED] += order.collateral
        self.orders[order_hash] = Finished("AlreadyExpired")

    def _require_payable(
        self, life: OrderLife, order_hash: bytes, order: Order, award: Award, proved: bool
    ) -> bytes:
        _require_unfinished(life)
        _require_terms(order_hash, order, award)
        _require(proved, "ProofInvalid")
        return self._publisher(order)

    def _unlock(self, now: int, order: Order, locking: Award, award: Award, *, late: bool) -> None:
        """Empty the lock: the client's balance takes the difference in price, up or down; the collateral goes
        back, or is split into bounty and burnt."""
        if late:
            _require(now <= order.final_by, "FinalMissed")
            bounty = order.collateral // 4
            self.balances[award.payout] += bounty
            self.balances[BURNED] += order.collateral - bounty
        else:
            self.balances[locking.prover] += order.collateral
        self.balances[order.client] += locking.price - award.price
        self.held -= locking.price + order.verifier_fee + order.collateral

    def _pay(
        self, order_hash: bytes, order: Order, award: Award, publisher: bytes, sender: bytes, settler: bytes
    ) -> None:
        royalty = award.price * order.royalty_bps // 10_000
        self.balances[award.payout] += award.price - royalty
        self.balances[publisher] += royalty
        self.balances[settler if sender == settler else award.payout] += order.verifier_fee
        self.orders[order_hash] = Finished("AlreadySettled")

    def _publisher(self, order: Order) -> bytes:
        publisher, royalty_bps = self.publishers.get(order.model_id, (ZERO_ADDRESS, 0))
        _require(order.royalty_bps == royalty_bps, "RoyaltyMismatch")
        return publisher

    def _life(self, order_hash: bytes) -> OrderLife:
        return self.orders.get(order_hash, Open())

    def _require_open(self, now: int, order_hash: bytes) -> None:
        life = self._life(order_hash)
        _require(not isinstance(life, LockedBy), "AlreadyLocked")
        _require(not (isinstance(life, Cancelling) and now >= life.effective_at), "AlreadyCancelled")
        _require_unfinished(life)


def _require_terms(order_hash: bytes, order: Order, award: Award) -> None:
    _require(order.kind == REQUEST_FOR_QUOTES, "UnsupportedKind")
    _require(order.token == order.collateral_token == ZERO_ADDRESS, "UnsupportedToken")
    _require(order.consumer == ZERO_ADDRESS, "UnsupportedConsumer")
    _require(award.order_hash == order_hash, "AwardForAnotherOrder")
    _require(award.price <= order.price_cap, "PriceAboveCap")
    _require(award.promise_at <= order.promise_by, "PromiseTooLate")
    _require(award.payout != ZERO_ADDRESS, "ZeroAddress")


def _require_in_time(now: int, order: Order, award: Award) -> None:
    _require(now <= award.promise_at, "PromiseMissed")
    _require(now <= order.final_by, "FinalMissed")


def _require_locked_by(life: OrderLife, locking: Award) -> None:
    _require_unfinished(life)
    _require(isinstance(life, LockedBy), "NotLocked")
    _require(life == LockedBy(locking), "LockedByAnotherAward")


def _require_unfinished(life: OrderLife) -> None:
    if isinstance(life, Finished):
        raise Refused(life.reason)


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise Refused(reason)
