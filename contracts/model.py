# SPDX-License-Identifier: GPL-3.0-or-later
"""The Escrow as readable Python: the oracle that random call sequences compare the chain with.

Same calls, same refusals (by the name of the Solidity error), same balances to the wei. Time is an
argument. What the model does not know is cryptography: whether a signature and a proof are valid is told
to it. `EscrowModel` is mutable because it plays the part of the chain; a refused call changes nothing.

I1  Conservation: what the Escrow owes is all balances and what locks hold.
I2  Nobody is credited by a settlement without a valid proof that names payout and settler.
I3  An order is paid at most once.
I4  An order that expired is never settled, and one that was settled never expires.
I5  A balance falls only by its owner's signature or call, or by the owner's missed promise.

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
from collections.abc import Sequence
from copy import deepcopy
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

MAX_BATCH = 128


@dataclass(frozen=True)
class Claim:
    """One settlement: what the chain is told, and whether signature and proof would be found good."""

    order_hash: bytes
    order: Order
    award: Award
    settler: bytes
    locking: Award | None = None
    """The award that locked the order, if another one settles it."""
    signed: bool = True
    proved: bool = True


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
        """Return what the Escrow owes: balances and locks (I1)."""
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

    def settle(self, now: int, sender: bytes, claim: Claim) -> None:
        """Pay for a proof: directly, from the lock of this very award, or from a voided lock."""
        self._require_payable(now, claim)
        _require(claim.proved, "ProofInvalid")
        self._pay(now, sender, claim)

    def settle_batch(self, now: int, sender: bytes, claims: Sequence[Claim]) -> tuple[str | None, ...]:
        """Pay every claim that is live; return for each None or why it was skipped. One bad proof among
        those that are live fails all."""
        _require(len(claims) <= MAX_BATCH, "BatchTooLarge")
        after = deepcopy(self)
        refusals: list[str | None] = []
        for claim in claims:
            try:
                after._require_payable(now, claim)
            except Refused as refused:
                refusals.append(refused.reason)
                continue
            after._pay(now, sender, claim)
            refusals.append(None)
        _require(None in refusals, "NothingLive")
        live = [claim for claim, refusal in zip(claims, refusals, strict=True) if refusal is None]
        _require(all(claim.proved for claim in live), "ProofInvalid")
        vars(self).update(vars(after))
        return tuple(refusals)

    def expire(self, now: int, order_hash: bytes, order: Order, locking: Award) -> None:
        """Give the client its reservation back after the final deadline; burn the collateral."""
        _require_locked_by(self._life(order_hash), locking)
        _require(now > order.final_by, "NotYetExpired")
        reserved = locking.price + order.verifier_fee
        self.held -= reserved + order.collateral
        self.balances[order.client] += reserved
        self.balances[BURNED] += order.collateral
        self.orders[order_hash] = Finished("AlreadyExpired")

    def _require_payable(self, now: int, claim: Claim) -> None:
        """Everything but the proof."""
        life, order, award, locking = self._life(claim.order_hash), claim.order, claim.award, claim.locking
        _require_unfinished(life)
        _require_terms(claim.order_hash, order, award)
        self._publisher(order)
        needed = 0
        if locking is not None:
            _require_locked_by(life, locking)
            _require(now > locking.promise_at, "LockStillHolds")
            needed = award.price - locking.price
        elif isinstance(life, LockedBy):
            _require(life.award == award, "LockedByAnotherAward")
            _require(now <= max(award.promise_at, order.final_by), "FinalMissed")
            return
        else:
            self._require_open(now, claim.order_hash)
            needed = award.price + order.verifier_fee
        _require_in_time(now, order, award)
        _require(claim.signed, "BadSignature")
        _require(self.balances[order.client] >= needed, "InsufficientBalance")

    def _unlock(self, order: Order, locking: Award, award: Award, *, late: bool) -> None:
        """Empty the lock: the client's balance takes the difference in price, up or down; the collateral goes
        back, or is split into bounty and burnt."""
        if late:
            bounty = order.collateral // 4
            self.balances[award.payout] += bounty
            self.balances[BURNED] += order.collateral - bounty
        else:
            self.balances[locking.prover] += order.collateral
        self.balances[order.client] += locking.price - award.price
        self.held -= locking.price + order.verifier_fee + order.collateral

    def _pay(self, now: int, sender: bytes, claim: Claim) -> None:
        order, award = claim.order, claim.award
        if claim.locking is not None:
            self._unlock(order, claim.locking, award, late=True)
        elif isinstance(self._life(claim.order_hash), LockedBy):
            self._unlock(order, award, award, late=now > award.promise_at)
        else:
            self.balances[order.client] -= award.price + order.verifier_fee
        royalty = award.price * order.royalty_bps // 10_000
        self.balances[award.payout] += award.price - royalty
        self.balances[self._publisher(order)] += royalty
        self.balances[claim.settler if sender == claim.settler else award.payout] += order.verifier_fee
        self.orders[claim.order_hash] = Finished("AlreadySettled")

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
