# SPDX-License-Identifier: GPL-3.0-or-later
"""The Escrow as readable Python: the oracle that random call sequences compare the chain with.

Same calls, same refusals (by the name of the Solidity error), same balances to the wei. Time is an
argument. What the model does not know is cryptography: whether a signature and a proof are valid is told
to it. `EscrowModel` is mutable because it plays the part of the chain; a refused call changes nothing.

I1  Conservation: what the Escrow owes is all balances and what locks hold.
I2  Nobody is credited by a settlement without a valid proof that names payout and settler; or, of another proof
    system, without a valid proof of the order's input and the lock of an award that names the payout.
I3  An order is paid at most once.
I4  An order that expired is never settled, and one that was settled never expires.
I5  A balance falls only by its owner's signature or call, or by the owner's missed promise.

| state of the order | lock | settle | settle, voided | release | expire | request_cancel |
| --- | --- | --- | --- | --- | --- | --- |
| open | -> locked | -> settled | NotLocked | NotLocked | NotLocked | -> cancelling |
| cancelling, before its time | -> locked | -> settled | NotLocked | NotLocked | NotLocked | AlreadyCancelled |
| cancelling, after it | AlreadyCancelled | AlreadyCancelled | NotLocked | NotLocked | NotLocked | AlreadyCancelled |
| locked | AlreadyLocked | own award, to final | other award, after promise | -> open | after final | AlreadyLocked |
| settled, expired | refused | refused | refused | refused | refused | refused |

Of a program of another proof system nothing settles but `settle_external`, and that by the lock of its own award.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

from protocol.scalars import MAX_AMOUNT, ZERO_ADDRESS, ZERO_HASH
from protocol.structs import OPEN_ORDER, Award, Order

ETH = ZERO_ADDRESS
"""The token that is none."""
BURNED = bytes.fromhex("000000000000000000000000000000000000dead")
"""The internal balance of what is burned; nobody can withdraw from it."""
MAX_BATCH = 128
BOUNTY_DIVISOR = 4
RELEASE_DIVISOR = 8


class Refused(Exception):
    """The Escrow would revert; `reason` is the name of its error."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Open:
    """Neither locked nor finished."""


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
    external: frozenset[bytes] = frozenset()
    """Programs of another proof system."""
    balances: defaultdict[tuple[bytes, bytes], int] = field(default_factory=lambda: defaultdict(int))
    """(token, account) -> amount."""
    withdrawals: dict[tuple[bytes, bytes], tuple[int, int]] = field(default_factory=dict)
    orders: dict[bytes, OrderLife] = field(default_factory=dict)
    submitted: set[bytes] = field(default_factory=set)
    held: defaultdict[bytes, int] = field(default_factory=lambda: defaultdict(int))
    """Token -> what locks hold of it."""

    def balance(self, account: bytes, token: bytes = ETH) -> int:
        """Return what an account has of a token."""
        return self.balances[token, account]

    def total(self, token: bytes = ETH) -> int:
        """Return what the Escrow owes of a token: balances and locks (I1)."""
        return sum(amount for (kind, _), amount in self.balances.items() if kind == token) + self.held[token]

    # --- balances --------------------------------------------------------------------------

    def deposit(self, account: bytes, amount: int, token: bytes = ETH) -> None:
        """Add to a balance; of a token, what really arrived."""
        _require(account != ZERO_ADDRESS, "ZeroAddress")
        _require(amount <= MAX_AMOUNT, "AmountTooLarge")
        self.balances[token, account] += amount

    def request_withdraw(self, now: int, account: bytes, amount: int, token: bytes = ETH) -> None:
        """Announce a withdrawal; it replaces an earlier one, zero takes it back."""
        _require(amount <= self.balance(account, token), "InsufficientBalance")
        self.withdrawals.pop((token, account), None)
        if amount:
            self.withdrawals[token, account] = (amount, now + self.withdrawal_delay)

    def withdraw(self, now: int, account: bytes, to: bytes, token: bytes = ETH) -> int:
        """Pay out what was announced or what is left of it; returns the amount that leaves."""
        _require(to != ZERO_ADDRESS, "ZeroAddress")
        _require((token, account) in self.withdrawals, "NoWithdrawalRequested")
        amount, available_at = self.withdrawals[token, account]
        _require(now >= available_at, "WithdrawalNotReady")
        del self.withdrawals[token, account]
        paid = min(amount, self.balance(account, token))
        self.balances[token, account] -= paid
        return paid

    # --- the life of an order --------------------------------------------------------------

    def submit(self, now: int, sender: bytes, order_hash: bytes, order: Order) -> None:
        """Post an open order without a signature: the client itself calls."""
        _require(sender == order.client, "NotClient")
        _require(order.kind == OPEN_ORDER, "NotOpenOrder")
        _require(order.input_hash != ZERO_HASH, "InputNotPublic")
        self._require_open(now, order_hash)
        self.submitted.add(order_hash)

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
        if order.kind == OPEN_ORDER:
            _require_ramp(now, order, award)
        _require(now <= award.lock_by, "LockTooLate")
        _require(now < award.promise_at, "PromiseMissed")
        _require(award.promise_at <= order.final_by, "PromiseTooLate")
        _require(signed or order_hash in self.submitted, "BadSignature")
        price, collateral = award.price + order.verifier_fee, order.collateral
        self._require_funds(order.token, order.client, price)
        shared = (order.token, order.client) == (order.collateral_token, award.prover)
        self._require_funds(order.collateral_token, award.prover, collateral + (price if shared else 0))
        self._reserve(order, award, 1)
        self.orders[order_hash] = LockedBy(award)

    def release(self, now: int, sender: bytes, order_hash: bytes, order: Order, locking: Award) -> None:
        """Give a lock up before its promise, for an eighth of the collateral; the order is open again."""
        _require(sender == locking.prover, "NotProver")
        _require_locked_by(self._life(order_hash), locking)
        _require(now <= locking.promise_at, "PromiseMissed")
        self._reserve(order, locking, -1)
        burned = order.collateral // RELEASE_DIVISOR
        self.balances[order.collateral_token, locking.prover] -= burned
        self.balances[order.collateral_token, BURNED] += burned
        self.orders[order_hash] = Open()

    def settle(self, now: int, sender: bytes, claim: Claim) -> None:
        """Pay for a proof: directly, from the lock of this very award, or from a voided lock."""
        self._require_payable(now, claim)
        _require(claim.proved, "ProofInvalid")
        self._pay(now, sender, claim)

    def settle_external(self, now: int, sender: bytes, claim: Claim) -> None:
        """Pay for a proof of another proof system. It names nobody: so it is paid from the lock of its own award
        alone, and to its payout whoever sends."""
        claim = replace(claim, locking=None, settler=claim.award.payout)
        _require_locked_by(self._life(claim.order_hash), claim.award)
        self._require_payable(now, claim, external=True)
        _require(claim.proved, "ExternalProofInvalid")
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
        self._reserve(order, locking, -1)
        self.balances[order.collateral_token, locking.prover] -= order.collateral
        self.balances[order.collateral_token, BURNED] += order.collateral
        self.orders[order_hash] = Finished("AlreadyExpired")

    # --- settling --------------------------------------------------------------------------

    def _require_payable(self, now: int, claim: Claim, *, external: bool = False) -> None:
        """Everything but the proof."""
        life, order, award, locking = self._life(claim.order_hash), claim.order, claim.award, claim.locking
        _require_unfinished(life)
        if locking is None and isinstance(life, LockedBy):  # its terms were good when it locked
            _require(life.award == award, "LockedByAnotherAward")
            _require(now <= max(award.promise_at, order.final_by), "FinalMissed")
            self._require_registered(order, external)
            return
        _require_terms(claim.order_hash, order, award)
        if locking is not None:
            _require_locked_by(life, locking)
            _require(now > locking.promise_at, "LockStillHolds")
        else:
            self._require_open(now, claim.order_hash)
        _require(now <= award.promise_at, "PromiseMissed")
        _require(now <= order.final_by, "FinalMissed")
        _require(claim.signed or claim.order_hash in self.submitted, "BadSignature")
        if order.kind == OPEN_ORDER:
            _require(award.prover == award.payout, "ProverNotPayout")
            _require_ramp(now, order, award)
        self._require_registered(order, external)
        self._require_funds(order.token, order.client, self._debit(now, claim))

    def _debit(self, now: int, claim: Claim) -> int:
        """What the client pays beyond what a lock holds."""
        if claim.locking is not None:
            return max(0, self._price(now, claim) - claim.locking.price)
        return self._price(now, claim) + claim.order.verifier_fee

    def _price(self, now: int, claim: Claim) -> int:
        """An open order pays what its ramp has reached, unless a lock has fixed it."""
        own_lock = claim.locking is None and isinstance(self._life(claim.order_hash), LockedBy)
        if claim.order.kind != OPEN_ORDER or own_lock:
            return claim.award.price
        return price_at(now, claim.order)

    def _pay(self, now: int, sender: bytes, claim: Claim) -> None:
        order, award = claim.order, claim.award
        price, life = self._price(now, claim), self._life(claim.order_hash)
        if isinstance(life, LockedBy):
            self._reserve(order, life.award, -1)
            if now > life.award.promise_at:
                self._slash(order, life.award.prover, award.payout)
        royalty = price * order.royalty_bps // 10_000
        self.balances[order.token, order.client] -= price + order.verifier_fee
        self.balances[order.token, award.payout] += price - royalty
        self.balances[order.token, self._publisher(order)] += royalty
        fee_to = claim.settler if sender == claim.settler else award.payout
        self.balances[order.token, fee_to] += order.verifier_fee
        self.orders[claim.order_hash] = Finished("AlreadySettled")

    def _slash(self, order: Order, late: bytes, payout: bytes) -> None:
        """A missed promise: a quarter of the collateral to whoever did the job, the rest to nobody."""
        bounty = order.collateral // BOUNTY_DIVISOR
        self.balances[order.collateral_token, late] -= order.collateral
        self.balances[order.collateral_token, payout] += bounty
        self.balances[order.collateral_token, BURNED] += order.collateral - bounty

    def _reserve(self, order: Order, award: Award, sign: int) -> None:
        """Move price, fee and collateral into a lock, or (sign -1) all back to where they came from."""
        for token, account, amount in (
            (order.token, order.client, award.price + order.verifier_fee),
            (order.collateral_token, award.prover, order.collateral),
        ):
            self.balances[token, account] -= sign * amount
            self.held[token] += sign * amount

    def _publisher(self, order: Order) -> bytes:
        return self.publishers.get(order.model_id, (ZERO_ADDRESS, 0))[0]

    def _require_registered(self, order: Order, external: bool) -> None:
        """The program is of the proof system that is settled so, and the order states what the Registry says."""
        _require((order.program_id in self.external) == external, "AnotherProofSystem")
        _, royalty_bps = self.publishers.get(order.model_id, (ZERO_ADDRESS, 0))
        _require(order.royalty_bps == royalty_bps, "RoyaltyMismatch")

    def _life(self, order_hash: bytes) -> OrderLife:
        return self.orders.get(order_hash, Open())

    def _require_funds(self, token: bytes, account: bytes, amount: int) -> None:
        _require(amount <= self.balance(account, token), "InsufficientBalance")

    def _require_open(self, now: int, order_hash: bytes) -> None:
        life = self._life(order_hash)
        _require(not isinstance(life, LockedBy), "AlreadyLocked")
        _require(not (isinstance(life, Cancelling) and now >= life.effective_at), "AlreadyCancelled")
        _require_unfinished(life)


def price_at(now: int, order: Order) -> int:
    """Return what an open order pays at an instant: it rises evenly from the floor to the cap."""
    if now >= order.ramp_end:
        return order.price_cap
    passed = max(0, now - order.ramp_start)
    return order.price_floor + (order.price_cap - order.price_floor) * passed // (
        order.ramp_end - order.ramp_start
    )


def _require_terms(order_hash: bytes, order: Order, award: Award) -> None:
    _require(award.order_hash == order_hash, "AwardForAnotherOrder")
    _require(award.price <= order.price_cap, "PriceAboveCap")
    _require(award.promise_at <= order.promise_by, "PromiseTooLate")
    _require(award.payout != ZERO_ADDRESS, "ZeroAddress")
    if order.kind == OPEN_ORDER:
        rises = order.price_floor <= order.price_cap and order.ramp_start <= order.ramp_end
        _require(rises, "RampMalformed")


def _require_ramp(now: int, order: Order, award: Award) -> None:
    _require(now >= order.ramp_start, "RampNotStarted")
    _require(award.price <= price_at(now, order), "PriceNotReached")


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
