# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit: from what the chain, the clients and the machine say to a list of findings. Pure.

Safety: nobody is paid twice, every balance is what events and receipts add up to, an honest client pays for
settled jobs alone and never more than it offered. Liveness: every order has ended and no lock is open. Crash:
a daemon ended by itself, or logged a traceback. Resources: growth, or a process that outlived its node.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

ETH = "0x" + "00" * 20
ENDED = frozenset({"settled", "refunded", "failed", "cancelled"})
"""Phases in which a client's job is over; in the last two nothing of the client's was held."""


class Severity(StrEnum):
    """What kind of wrong; the first one present decides the exit code."""

    SAFETY = "safety"
    LIVENESS = "liveness"
    CRASH = "crash"
    RESOURCES = "resources"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be."""

    severity: Severity
    text: str


@dataclass(frozen=True, slots=True)
class Order:
    """An order as its client tells it: `most` is price cap and fee, in wei."""

    order_hash: str
    client: str
    phase: str
    paid: int
    most: int


@dataclass(frozen=True, slots=True)
class Move:
    """An event of the Escrow: its name, its order if it has one, and (account, change in wei) of balances."""

    event: str
    order_hash: str | None
    changes: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Wallet:
    """ETH of an account before and after, and what transactions say left and came, in wei."""

    account: str
    before: int
    after: int
    spent: int
    gas: int
    received: int
    """Value of transactions, and what the Escrow paid out."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that the audit looks at."""

    orders: tuple[Order, ...]
    moves: tuple[Move, ...]
    balances: Mapping[str, int]
    """What the Escrow says each account has."""
    owed: int
    """What the Escrow says it owes in all."""
    held: int
    """The Escrow's own ETH."""
    wallets: tuple[Wallet, ...]
    deposits: Mapping[str, int]
    """What each honest account had in the Escrow at the begin; others are liars, and lose what they lose."""
    provers_keep: bool = True
    """Whether an honest prover must end with no less than it had: so it is when nothing was broken."""
    receipts: tuple[str, ...] = ()
    """Receipts that a stranger finds not valid, in words."""
    ended: tuple[str, ...] = ()
    """Daemons that ended by themselves, in words."""
    tracebacks: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    growth: tuple[str, ...] = ()
    provers: frozenset[str] = field(default_factory=frozenset)


def audit(evidence: Evidence) -> list[Finding]:
    """Return everything that is wrong, worst first; empty when all is well."""
    texts = {
        Severity.SAFETY: [
            *_paid_once(evidence),
            *_told_truly(evidence),
            *_balances(evidence),
            *_wallets(evidence),
            *_honest_losses(evidence),
            *evidence.receipts,
        ],
        Severity.LIVENESS: [*_not_ended(evidence), *_open_locks(evidence)],
        Severity.CRASH: [*evidence.ended, *evidence.tracebacks],
        Severity.RESOURCES: [*evidence.orphans, *evidence.growth],
    }
    return [Finding(severity, text) for severity, found in texts.items() for text in found]


def count_events(moves: Iterable[Move]) -> dict[str, Counter[str]]:
    """Return how often each event happened to each order."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for move in moves:
        if move.order_hash is not None:
            found[move.order_hash][move.event] += 1
    return dict(found)


def _paid_once(evidence: Evidence) -> Iterable[str]:
    known = {order.order_hash for order in evidence.orders}
    for order_hash, events in count_events(evidence.moves).items():
        if events["Settled"] > 1:
            yield f"Order {order_hash} was settled {events['Settled']} times."
        if events["Settled"] and events["Expired"]:
            yield f"Order {order_hash} was settled and refunded."
        if events["Expired"] > 1:
            yield f"Order {order_hash} was refunded {events['Expired']} times."
        if events["Settled"] and order_hash not in known:
            yield f"Order {order_hash} was settled, and no client placed it."


def _told_truly(evidence: Evidence) -> Iterable[str]:
    """What a client says of its order is what the chain says."""
    happened = count_events(evidence.moves)
    for order in evidence.orders:
        events = happened.get(order.order_hash, Counter())
        if order.phase in ENDED and (order.phase == "settled") != bool(events["Settled"]):
            chain = "settled" if events["Settled"] else "not settled"
            yield f"Order {order.order_hash} is {order.phase} for its client and {chain} on the chain."
        if order.phase == "refunded" and not events["Expired"]:
            yield f"Order {order.order_hash} is refunded for its client and not on the chain."


def _balances(evidence: Evidence) -> Iterable[str]:
    sums: Counter[str] = Counter()
    for move in evidence.moves:
        for account, change in move.changes:
            sums[account] += change
    for account, said in sorted(evidence.balances.items()):
        if sums[account] != said:
            yield f"{account} has {said} wei in the Escrow; its events add up to {sums[account]}."
    reserved = sum(sums.values())
    if evidence.owed != evidence.held:
        yield f"The Escrow owes {evidence.owed} wei and holds {evidence.held}."
    if not any(_open_locks(evidence)) and reserved != evidence.owed:
        yield f"The Escrow owes {evidence.owed} wei; all balances add up to {reserved}."


def _wallets(evidence: Evidence) -> Iterable[str]:
    for wallet in evidence.wallets:
        expected = wallet.before - wallet.spent - wallet.gas + wallet.received
        if expected != wallet.after:
            yield f"The wallet of {wallet.account} has {wallet.after} wei; its transactions leave {expected}."


def _honest_losses(evidence: Evidence) -> Iterable[str]:
    orders = {order.order_hash: order for order in evidence.orders}
    paid: Counter[str] = Counter()
    gained: Counter[str] = Counter()
    for move in evidence.moves:
        for account, change in move.changes:
            gained[account] += change
        order = orders.get(move.order_hash or "")
        if order is not None:
            paid[order.order_hash] -= sum(change for account, change in move.changes if account == order.client)
    for order in evidence.orders:
        cost = paid[order.order_hash]
        if order.client in evidence.deposits and order.phase in ENDED:
            if order.phase != "settled" and cost:
                yield f"Order {order.order_hash} is {order.phase} and cost its client {cost} wei."
            elif cost > order.most or cost != (order.paid if order.phase == "settled" else 0):
                yield f"Order {order.order_hash} cost its client {cost} wei; told {order.paid}, at most {order.most}."
    for account in sorted(evidence.provers & evidence.deposits.keys()):
        if evidence.provers_keep and gained[account] < evidence.deposits[account]:
            lost = evidence.deposits[account] - gained[account]
            yield f"The honest prover {account} lost {lost} wei in the Escrow."


def _not_ended(evidence: Evidence) -> Iterable[str]:
    for order in evidence.orders:
        if order.phase not in ENDED:
            yield f"Order {order.order_hash} is still {order.phase}."


def _open_locks(evidence: Evidence) -> Iterable[str]:
    """A lock is open until its order is settled, expires or is released."""
    for order_hash, events in count_events(evidence.moves).items():
        closed = events["Released"] + (events["Settled"] or events["Expired"])
        if events["Locked"] and events["Locked"] > closed:
            yield f"Order {order_hash} is still locked on the chain."
