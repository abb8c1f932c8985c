# SPDX-License-Identifier: GPL-3.0-or-later
"""A model of the Escrow: its rules of docs/adr/0001, and a log of what it did that a reorg can cut.

Amounts are wei of the Escrow's internal balances; gas is paid outside of it. A transaction that breaks a
rule raises `Reverted` and changes nothing. I1 of the Escrow (what was deposited is what balances and
locks hold) can be checked at any instant with `held`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from protocol.structs import Award, Order
from sims.tokens import hash_of, proof_is_valid, signature_token

BURNED = bytes.fromhex("000000000000000000000000000000000000dead")
SECOND = 10**9


class Reverted(Exception):
    """A transaction broke a rule; `reason` is the Escrow's error."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Settlement:
    """The arguments of a settling transaction."""

    order: Order
    award: Award
    signature: bytes
    outputs: tuple[int, ...]
    proof: bytes
    settler: bytes


@dataclass(frozen=True, slots=True)
class Paid:
    """What one settlement moved, as the Settled event says it."""

    order_hash: bytes
    settlement: Settlement
    sender: bytes
    fee_to: bytes
    at: int
    """Timestamp of the block, in seconds."""
    bounty: int = 0
    slashed: bytes | None = None
    burned: int = 0
    promise_missed: int = 0
    """Second until which the slashed prover had promised."""


@dataclass(frozen=True, slots=True)
class Lock:
    """What a lock holds."""

    order: Order
    award: Award
    award_hash: bytes

    @property
    def held(self) -> int:
        """Price, fee and collateral."""
        return self.award.price + self.order.verifier_fee + self.order.collateral


@dataclass(frozen=True, slots=True)
class Locked:
    """A lock was taken, as the Locked event says it."""

    order_hash: bytes
    lock: Lock


@dataclass(frozen=True, slots=True)
class Expired:
    """A lock ran out: the client has its reservation back, the collateral is burned."""

    order_hash: bytes
    lock: Lock


@dataclass(frozen=True, slots=True)
class Moved:
    """A deposit, or (negative) a withdrawal."""

    account: bytes
    amount: int


@dataclass(frozen=True, slots=True)
class Released:
    """A prover gave its lock up: the client has its reservation back, an eighth of the collateral is burned."""

    order_hash: bytes
    lock: Lock


Entry = Paid | Locked | Released | Expired | Moved


@dataclass(slots=True)
class Escrow:
    """Balances, locks and finished orders."""

    cancel_delay: int = 60
    """Seconds from the announcement of a cancel or a withdrawal to its effect."""
    royalties: dict[bytes, bytes] = field(default_factory=dict)
    """model id -> publisher."""
    balances: dict[bytes, int] = field(default_factory=dict)
    locks: dict[bytes, Lock] = field(default_factory=dict)
    finished: dict[bytes, str] = field(default_factory=dict)
    cancels: dict[bytes, int] = field(default_factory=dict)
    withdrawals: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    """account -> (amount, second from which it can be taken)."""
    deposited: int = 0
    log: list[Entry] = field(default_factory=list)
    version: int = 0
    """Counts changes."""

    def balance(self, account: bytes) -> int:
        """Return the free balance of an account, in wei."""
        return self.balances.get(account, 0)

    def dependable(self, account: bytes) -> int:
        """Return what others can count on: the balance without what may be withdrawn."""
        leaving, _ = self.withdrawals.get(account, (0, 0))
        return max(0, self.balance(account) - leaving)

    def snapshot(self) -> tuple[object, ...]:
        """Return the state, for `restore`."""
        kept = (self.balances, self.locks, self.finished, self.cancels, self.withdrawals)
        return (*(dict(each) for each in kept), self.deposited, len(self.log))

    def restore(self, snapshot: tuple[Any, ...]) -> None:
        """Go back to a state: the log is cut where it was then."""
        balances, locks, finished, cancels, withdrawals, self.deposited, length = snapshot
        self.balances, self.locks, self.finished = dict(balances), dict(locks), dict(finished)
        self.cancels, self.withdrawals = dict(cancels), dict(withdrawals)
        del self.log[length:]
        self.version += 1

    def held(self) -> int:
        """Return all that balances and locks hold; equal to `deposited`, always."""
        return sum(self.balances.values()) + sum(lock.held for lock in self.locks.values())

    def deposit(self, account: bytes, amount: int) -> None:
        """Credit what an account paid in."""
        self.deposited += amount
        self._move(account, amount)
        self.log.append(Moved(account, amount))

    def request_withdraw(self, now: int, sender: bytes, amount: int) -> None:
        """Announce a withdrawal; it replaces an earlier one."""
        self._require(amount <= self.balance(sender), "InsufficientBalance")
        self.withdrawals[sender] = (amount, now + self.cancel_delay)
        self.version += 1

    def withdraw(self, now: int, sender: bytes) -> None:
        """Pay out what was announced, or what is left of it."""
        self._require(sender in self.withdrawals, "NoWithdrawalRequested")
        amount, available_at = self.withdrawals[sender]
        self._require(now >= available_at, "WithdrawalNotReady")
        del self.withdrawals[sender]
        paid = min(amount, self.balance(sender))
        self.deposited -= paid
        self._move(sender, -paid)
        self.log.append(Moved(sender, -paid))

    def request_cancel(self, now: int, sender: bytes, order: Order) -> None:
        """Make the order void after the delay; a lock is not affected."""
        order_hash = hash_of(order)
        self._require(sender == order.client, "NotClient")
        self._require(order_hash not in self.cancels, "AlreadyCancelled")
        self._require(order_hash not in self.locks, "AlreadyLocked")
        self._require(order_hash not in self.finished, "AlreadyFinished")
        self.cancels[order_hash] = now + self.cancel_delay
        self.version += 1

    def lock(self, now: int, sender: bytes, order: Order, award: Award, signature: bytes) -> Lock:
        """Reserve the client's payment and the prover's collateral."""
        order_hash, award_hash = hash_of(order), hash_of(award)
        self._require(sender == award.prover, "NotProver")
        self._require_award(order, award, order_hash)
        self._require_open(now, order_hash)
        self._require(now <= award.lock_by, "LockTooLate")
        self._require(now < award.promise_at, "PromiseMissed")
        self._require(award.promise_at <= order.final_by, "PromiseTooLate")
        self._require(signature == signature_token(order.client, award_hash), "BadSignature")
        reserved = award.price + order.verifier_fee
        self._require(self.balance(order.client) >= reserved, "InsufficientBalance")
        self._require(self.balance(award.prover) >= order.collateral, "InsufficientBalance")
        self._move(order.client, -reserved)
        self._move(award.prover, -order.collateral)
        lock = Lock(order, award, award_hash)
        self.locks[order_hash] = lock
        self.log.append(Locked(order_hash, lock))
        return lock

    def settle(self, now: int, sender: bytes, s: Settlement) -> Paid:
        """Pay for a proof: directly, from the lock of this award, or from a voided lock of another."""
        order_hash = hash_of(s.order)
        self._require(order_hash not in self.finished, "AlreadySettled")
        self._require_award(s.order, s.award, order_hash)
        lock = self.locks.get(order_hash)
        self._require_live(now, s, lock)
        valid = proof_is_valid(s.order, s.award.payout, s.settler, s.outputs, s.proof)
        self._require(valid, "InvalidProof")
        fee_to = s.settler if sender == s.settler else s.award.payout
        if lock is None:
            self._move(s.order.client, -(s.award.price + s.order.verifier_fee))
            paid = Paid(order_hash, s, sender, fee_to, now)
        else:
            paid = self._from_lock(now, sender, fee_to, s, lock)
        return self._pay(paid)

    def settle_batch(self, now: int, sender: bytes, settlements: Sequence[Settlement]) -> None:
        """Pay for every proof that is live, skip the others; one bad proof among the live fails all."""
        before, paid = self.snapshot(), 0
        for settlement in settlements:
            try:
                self.settle(now, sender, settlement)
                paid += 1
            except Reverted as error:
                if error.reason == "InvalidProof":
                    self.restore(before)
                    raise
        self._require(paid > 0, "NothingLive")

    def release(self, now: int, sender: bytes, order: Order, award: Award) -> None:
        """Give a lock up before its promise; the order is open again."""
        order_hash = hash_of(order)
        lock = self.locks.get(order_hash)
        if lock is None or lock.award_hash != hash_of(award):
            raise Reverted("NotLocked")
        self._require(sender == award.prover, "NotProver")
        self._require(now <= award.promise_at, "PromiseMissed")
        del self.locks[order_hash]
        burned = order.collateral // 8
        self._move(order.client, award.price + order.verifier_fee)
        self._move(award.prover, order.collateral - burned)
        self._move(BURNED, burned)
        self.log.append(Released(order_hash, lock))

    def expire(self, now: int, order: Order) -> None:
        """Give the client its reservation back after the final deadline; the collateral is burned."""
        order_hash = hash_of(order)
        lock = self.locks.get(order_hash)
        if lock is None:
            raise Reverted("NotLocked")
        self._require(now > order.final_by, "NotYetExpired")
        del self.locks[order_hash]
        self.finished[order_hash] = "expired"
        self._move(order.client, lock.award.price + order.verifier_fee)
        self._move(BURNED, order.collateral)
        self.log.append(Expired(order_hash, lock))

    def _require_live(self, now: int, s: Settlement, lock: Lock | None) -> None:
        """Everything but the proof."""
        if lock is None:
            self._require_open(now, hash_of(s.order))
            self._require_fresh(now, s)
            needed = s.award.price + s.order.verifier_fee
            self._require(self.balance(s.order.client) >= needed, "InsufficientBalance")
        elif hash_of(s.award) == lock.award_hash:
            self._require(now <= max(s.award.promise_at, s.order.final_by), "FinalMissed")
        else:
            self._require(now > lock.award.promise_at, "LockedByAnotherAward")
            self._require_fresh(now, s)
            more = s.award.price - lock.award.price
            self._require(self.balance(s.order.client) >= more, "InsufficientBalance")

    def _from_lock(self, now: int, sender: bytes, fee_to: bytes, s: Settlement, lock: Lock) -> Paid:
        award, order_hash, collateral = lock.award, hash_of(s.order), s.order.collateral
        late = now > award.promise_at
        bounty = collateral // 4 if late else 0
        burned = collateral - bounty if late else 0
        slashed = award.prover if late else None
        del self.locks[order_hash]
        self._move(s.order.client, award.price - s.award.price)
        self._move(award.prover, 0 if late else collateral)
        self._move(s.award.payout, bounty)
        self._move(BURNED, burned)
        missed = award.promise_at if late else 0
        return Paid(order_hash, s, sender, fee_to, now, bounty, slashed, burned, missed)

    def _pay(self, paid: Paid) -> Paid:
        order, award = paid.settlement.order, paid.settlement.award
        royalty = award.price * order.royalty_bps // 10_000
        self.finished[paid.order_hash] = "settled"
        self._move(award.payout, award.price - royalty)
        self._move(self.royalties.get(order.model_id, BURNED), royalty)
        self._move(paid.fee_to, order.verifier_fee)
        self.log.append(paid)
        return paid

    def _move(self, account: bytes, amount: int) -> None:
        self.version += 1
        self.balances[account] = self.balance(account) + amount

    def _require_award(self, order: Order, award: Award, order_hash: bytes) -> None:
        self._require(award.order_hash == order_hash, "AwardForAnotherOrder")
        self._require(award.price <= order.price_cap, "PriceAboveCap")
        self._require(award.promise_at <= order.promise_by, "PromiseTooLate")

    def _require_open(self, now: int, order_hash: bytes) -> None:
        self._require(order_hash not in self.locks, "AlreadyLocked")
        self._require(order_hash not in self.finished, "AlreadyFinished")
        self._require(now < self.cancels.get(order_hash, now + 1), "AlreadyCancelled")

    def _require_fresh(self, now: int, s: Settlement) -> None:
        self._require(now <= s.award.promise_at, "PromiseMissed")
        self._require(now <= s.order.final_by, "FinalMissed")
        self._require(s.signature == signature_token(s.order.client, hash_of(s.award)), "BadSignature")

    @staticmethod
    def _require(holds: bool, reason: str) -> None:
        if not holds:
            raise Reverted(reason)
