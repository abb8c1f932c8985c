# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proof costs a prover, what it asks, and why it declines: the preflight.

Costs are proving time at a rate, and gas. Gas may rise between the bid and what it pays for, so the price is held
against it again: before anything is proved or locked with the floor of the margin, and before the prover sends
its own settlement, when the work is done and only the gas is left to lose. When the client's verifier fee does
not cover the gas of a settlement, the rest is the prover's cost too: small proofs must not lose money. The
royalty comes out of the price, so the price is grossed up by it.
"""

from __future__ import annotations

from dataclasses import dataclass

from market import refusals
from market.instants import MILLISECOND, ceil_seconds, to_seconds
from protocol.scalars import ZERO_ADDRESS
from protocol.structs import REQUEST_FOR_QUOTES, Order

BID_LIFE = 30
"""Seconds that a bid stands."""

LOCK_WINDOW = 30
"""Most seconds after an award in which a client allows a lock: time for the witness and two slow blocks."""

RELEASE_DIVISOR, BOUNTY_DIVISOR = 8, 4
"""Of the collateral: what the Escrow burns of a released lock, and what it pays for settling a voided one."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """An operator's figures. Rates in wei, gas in units, margins in basis points."""

    wei_per_ms: int = 2_000_000_000
    margin_bps: int = 1_000
    least_margin_bps: int = 0
    """What must be left over cost at the gas price of the moment, or an award is not taken up."""
    capacity: int = 2
    """Proofs at a time; twice as many jobs are taken."""
    exposure_cap: int = 10**17
    """Most that may be unsecured with one client, in wei; above it a lock is needed."""
    collateral_cap: int = 10**17
    """Most that one lock may put at stake, in wei: the client names it, and a quarter goes to whoever does the job."""
    lock_above_ms: int = 30_000
    """Proofs that take longer are done under a lock."""
    settle_gas: int = 420_000
    lock_gas: int = 160_000
    release_gas: int = 80_000
    promise_slack: int = 20
    """Seconds added to the estimate: batch wait, block time and reorg depth."""
    settle_margin: int = 5
    """Seconds before the promise at which the prover settles without the verifier: a block, and a reorganisation."""
    verifier_patience: int = 8
    """Seconds that a verifier is given to settle."""
    input_patience: int = 10
    """Seconds that a client is given to send the input after the award."""
    verifiers: frozenset[bytes] = frozenset()
    """Code hashes of verifier contracts of other proof systems that the operator has examined: another one may say
    no to a good proof, and cost the collateral."""


@dataclass(frozen=True, slots=True)
class Quote:
    """What the prover would take."""

    price: int
    promise_at: int
    locks: bool


@dataclass(frozen=True, slots=True)
class Decline:
    """Why it does not bid; `quote` is rounded, zero unless price is the reason."""

    code: str
    quote: int = 0


@dataclass(frozen=True, slots=True)
class Situation:
    """What the prover knows when an order comes in. Amounts in wei, times in ms and instants."""

    now: int
    proving_ms: int | None
    """Estimate for the program; None if it is not served."""
    broken: bool
    jobs_ahead: int
    backlog_ms: int
    """Estimated time of the proofs that are ahead, summed."""
    exposure: int
    """Unsecured with this client now."""
    client_balance: int
    own_balance: int
    gas_price: int
    locked_by_other: bool
    secured: bool
    """A voided lock of this order still holds the client's funds."""
    reserved: int
    """Price that this lock holds; a dearer proof takes the difference from the client's balance."""
    verifier: bytes = b""
    """Code hash of the contract that verifies the program; nothing for Groth16."""


def is_supported(order: Order) -> bool:
    """Return whether nodes serve such orders. The Escrow takes more: tokens, consumers, open orders."""
    others = (order.token, order.collateral_token, order.consumer)
    return order.kind == REQUEST_FOR_QUOTES and all(address == ZERO_ADDRESS for address in others)


def preflight(order: Order, tariff: Tariff, situation: Situation) -> Quote | Decline:
    """Return a quote within the order's cap and deadlines, or the first reason to decline."""
    if not is_supported(order):
        return Decline(refusals.UNSUPPORTED_ORDER)
    if situation.verifier and situation.verifier not in tariff.verifiers:
        return Decline(refusals.VERIFIER_NOT_ALLOWED)
    if situation.proving_ms is None:
        return Decline(refusals.UNKNOWN_PROGRAM)
    if situation.broken:
        return Decline(refusals.PROGRAM_BROKEN)
    # A proof of another proof system is paid from its own lock alone.
    if situation.locked_by_other or (situation.verifier and situation.secured):
        return Decline(refusals.ORDER_TAKEN)
    if situation.jobs_ahead >= 2 * tariff.capacity:
        return Decline(refusals.AT_CAPACITY)
    return _offer(order, tariff, situation, situation.proving_ms)


def _offer(order: Order, tariff: Tariff, situation: Situation, proving_ms: int) -> Quote | Decline:
    if not situation.secured and situation.client_balance < order.price_cap + order.verifier_fee:
        return Decline(refusals.UNFUNDED)
    promise_at = _promise(tariff, situation, proving_ms)
    if promise_at > order.promise_by:
        return Decline(refusals.DEADLINE_TOO_SOON)
    exposed = situation.exposure + order.price_cap + order.verifier_fee > tariff.exposure_cap
    worthwhile = proving_ms > tariff.lock_above_ms or exposed or bool(situation.verifier)
    locks = not situation.secured and worthwhile
    if locks and order.collateral > min(situation.own_balance, tariff.collateral_cap):
        return Decline(refusals.COLLATERAL_SHORT)
    price = asking_price(order, tariff, situation.gas_price, proving_ms, locks)
    if price > order.price_cap:
        return Decline(refusals.PRICE_TOO_LOW, rounded_up(price))
    beyond = price - situation.reserved if situation.secured else 0
    if beyond > situation.client_balance:
        return Decline(refusals.UNFUNDED)
    if beyond > 0 and situation.exposure + beyond > tariff.exposure_cap:
        return Decline(refusals.EXPOSURE_EXCEEDED)
    if locks:
        promise_at = min(_promise_of_a_lock(tariff, situation, proving_ms), order.promise_by)
        now = to_seconds(situation.now)
        if not can_keep(tariff, lock_by(now, promise_at), promise_at, 0, proving_ms, True):
            return Decline(refusals.DEADLINE_TOO_SOON)
    return Quote(price, promise_at, locks)


def lock_by(now: int, promise_at: int, window: int = LOCK_WINDOW) -> int:
    """Return the last instant for the lock of an award that is given now.

    A sent lock cannot be taken back: mined late, it must still leave the time of the proof. So no more than a
    quarter of what remains until the promise is the lock's.
    """
    return now + min(window, max(0, promise_at - now) // 4)


def asking_price(order: Order, tariff: Tariff, gas_price: int, proving_ms: int, locks: bool) -> int:
    """Return the least price, in wei, that covers cost and margin after the royalty.

    The bounty of a voided lock is not counted: handed on in the price, it would pay the client for
    another's failure.
    """
    return gross_of_royalty(cost(order, tariff, gas_price, proving_ms, locks), tariff.margin_bps, order)


def cost(order: Order, tariff: Tariff, gas_price: int, proving_ms: int, locks: bool) -> int:
    """Return what the job costs the prover, in wei: time, uncovered settlement gas, lock gas."""
    settlement = max(0, tariff.settle_gas * gas_price - order.verifier_fee)
    lock = tariff.lock_gas * gas_price if locks else 0
    return proving_ms * tariff.wei_per_ms + settlement + lock


def gross_of_royalty(net: int, margin_bps: int, order: Order) -> int:
    """Return the price of which, after the royalty, `net` and the margin remain."""
    with_margin = -(-net * (10_000 + margin_bps) // 10_000)
    return -(-with_margin * 10_000 // max(1, 10_000 - order.royalty_bps))


def net_of_royalty(price: int, order: Order) -> int:
    """Return what is left of a price for the prover."""
    return price - price * order.royalty_bps // 10_000


def worth_starting(order: Order, price: int, tariff: Tariff, gas_price: int, proving_ms: int, locks: bool) -> bool:
    """Return whether the price covers cost and the least margin at this gas price; nothing is spent yet."""
    floor = cost(order, tariff, gas_price, proving_ms, locks) * (10_000 + tariff.least_margin_bps)
    return net_of_royalty(price, order) * 10_000 >= floor


def worth_settling(order: Order, price: int, tariff: Tariff, gas_price: int, at_stake: int) -> bool:
    """Return whether a finished proof earns, with fee and what else is `at_stake`, at least the gas of settling."""
    return net_of_royalty(price, order) + order.verifier_fee + at_stake >= tariff.settle_gas * gas_price


def worth_releasing(order: Order, tariff: Tariff, gas_price: int, late: int) -> bool:
    """Return whether giving a lock up before its promise leaves more than what a late proof would earn, in wei."""
    released = order.collateral - order.collateral // RELEASE_DIVISOR
    return released - tariff.release_gas * gas_price > late


def late_earnings(order: Order, price: int) -> int:
    """Return what the proof of a voided lock earns, in wei: its price, and of the collateral the bounty alone."""
    return net_of_royalty(price, order) + order.collateral // BOUNTY_DIVISOR


def rounded_up(wei: int) -> int:
    """Return an amount rounded up to two significant digits: a quote, not the exact floor."""
    unit: int = 10 ** max(0, len(str(wei)) - 2)
    return -(-wei // unit) * unit


def proving_seconds(tariff: Tariff, backlog_ms: int, proving_ms: int) -> int:
    """Return in how many seconds a proof is surely made: twice the estimates of the queue and of itself.

    With `capacity` workers in turn, a job begins at the latest when the work ahead, shared, is done.
    """
    waiting_ms = -(-backlog_ms // tariff.capacity)
    return ceil_seconds(2 * (waiting_ms + proving_ms) * MILLISECOND)


def can_keep(
    tariff: Tariff, now: int, promise_at: int, backlog_ms: int, proving_ms: int, locks: bool
) -> bool:
    """Return whether lock, proof and the margin of a settlement still fit before a promise; seconds, as blocks have.

    What the slack holds beyond the margin and the verifier's patience is for the lock and its confirmations.
    """
    work = proving_seconds(tariff, backlog_ms, proving_ms)
    return now + (_lock_seconds(tariff) if locks else 0) + work + tariff.settle_margin <= promise_at


def _lock_seconds(tariff: Tariff) -> int:
    return max(0, tariff.promise_slack - tariff.settle_margin - tariff.verifier_patience)


def _promise(tariff: Tariff, situation: Situation, proving_ms: int) -> int:
    ready = to_seconds(situation.now) + proving_seconds(tariff, situation.backlog_ms, proving_ms)
    return ready + tariff.promise_slack


def _promise_of_a_lock(tariff: Tariff, situation: Situation, proving_ms: int) -> int:
    """Return a promise that holds if the award comes at the end of the bid's life, and its lock is mined last."""
    work = proving_seconds(tariff, situation.backlog_ms, proving_ms)
    needed = _lock_seconds(tariff) + work + tariff.settle_margin
    late = needed + min(LOCK_WINDOW, -(-needed // 3))  # of which a quarter is the lock's
    return to_seconds(situation.now) + BID_LIFE + max(late, work + tariff.promise_slack)
