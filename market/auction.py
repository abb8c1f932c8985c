# SPDX-License-Identifier: GPL-3.0-or-later
"""Choice of a bid: a named policy orders the live bids, and the reasons are kept.

| policy | first | then |
| --- | --- | --- |
| `price` | price | promised time, score |
| `time` | promised time | price, score |
| `reputation` | score | price, promised time |
| `balanced` | price divided by score: what a kept promise costs | promised time |

Ties end at the prover's address, so that every node orders alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from market.reputation import Reputation, score_bps
from protocol.structs import Bid, Order

MAX_BIDS = 64
"""Bids that a client holds for one order."""


@dataclass(frozen=True, slots=True)
class ReceivedBid:
    """A bid, its hash, the peer that brought it, and how often its prover was slashed."""

    peer: str
    bid: Bid
    bid_hash: bytes
    slashes: int = 0


@dataclass(frozen=True, slots=True)
class Ranked:
    """One line of a decision: why this bid stands where it stands."""

    prover: bytes
    price: int
    promise_at: int
    score_bps: int


@dataclass(frozen=True, slots=True)
class Decision:
    """The ranking that a policy gave, best first."""

    policy: str
    ranking: tuple[Ranked, ...]


_Key = tuple[int, int, int]
_KEYS: dict[str, Callable[[Bid, int], _Key]] = {
    "price": lambda bid, score: (bid.price, bid.promise_at, -score),
    "time": lambda bid, score: (bid.promise_at, bid.price, -score),
    "reputation": lambda bid, score: (-score, bid.price, bid.promise_at),
    "balanced": lambda bid, score: (bid.price * 10_000 // max(score, 1), bid.promise_at, -score),
}
POLICIES = tuple(_KEYS)


def rank(
    bids: Sequence[ReceivedBid], policy: str, reputation: Reputation
) -> tuple[Decision, tuple[ReceivedBid, ...]]:
    """Return the decision and the bids in its order. `policy` is one of `POLICIES`."""
    key = _KEYS[policy]

    def score(received: ReceivedBid) -> int:
        return score_bps(reputation, received.bid.prover, received.slashes)

    def sort_key(received: ReceivedBid) -> tuple[_Key, bytes]:
        return key(received.bid, score(received)), received.bid.prover

    ordered = tuple(sorted(bids, key=sort_key))
    ranking = tuple(Ranked(b.bid.prover, b.bid.price, b.bid.promise_at, score(b)) for b in ordered)
    return Decision(policy, ranking), ordered


def acceptable(order: Order, bid: Bid, now_seconds: int) -> bool:
    """Return whether a bid keeps within the order: cap, promise, and still alive."""
    return (
        bid.price <= order.price_cap
        and now_seconds < bid.promise_at <= order.promise_by
        and now_seconds <= bid.expires_at
    )
