# SPDX-License-Identifier: GPL-3.0-or-later
"""What the node remembers of each peer's conduct: quotas, score, bans. No clock: time is an argument."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from node.net.limits import Limits, TokenBucket


@dataclass
class Standing:
    """One peer's conduct: 0 is neutral; the score falls with faults and rises again with time."""

    limits: Limits
    score: float = 0.0
    scored_at: float | None = None
    banned_until: float = float("-inf")
    bans: int = 0
    open_streams: int = 0
    requests: TokenBucket = field(init=False)
    request_bytes: TokenBucket = field(init=False)
    gossip: TokenBucket = field(init=False)
    served_bytes: TokenBucket = field(init=False)

    def __post_init__(self) -> None:
        self.requests = TokenBucket(self.limits.requests)
        self.request_bytes = TokenBucket(self.limits.request_bytes)
        self.gossip = TokenBucket(self.limits.gossip)
        self.served_bytes = TokenBucket(self.limits.served_bytes)

    def score_at(self, now: float) -> float:
        elapsed = 0.0 if self.scored_at is None else now - self.scored_at
        return min(0.0, self.score + elapsed * self.limits.forgiveness_per_second)

    def banned(self, now: float) -> bool:
        return now < self.banned_until

    def penalise(self, weight: float, now: float) -> bool:
        """Lower the score by `weight`; return True if this begins a ban."""
        if weight <= 0:
            return False
        self.score = self.score_at(now) - weight
        self.scored_at = now
        if self.score > self.limits.ban_score or self.banned(now):
            return False
        self.banned_until = now + min(self.limits.ban_longest, self.limits.ban_first * 2.0 ** min(self.bans, 32))
        self.bans += 1
        self.score = self.limits.ban_score / 2  # on probation when the ban ends
        return True

    def restore(self, score: float, bans: int, now: float, banned_for: float) -> None:
        """Take up what an earlier run knew; a ban has `banned_for` seconds left."""
        self.score, self.scored_at, self.bans = score, now, bans
        if banned_for > 0:
            self.banned_until = now + banned_for


class Standings:
    """The standings of the peers met last, bounded: the longest unused neutral one is forgotten."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._of: OrderedDict[str, Standing] = OrderedDict()

    def of(self, peer: str) -> Standing:
        standing = self._of.get(peer)
        if standing is None:
            standing = self._of[peer] = Standing(self._limits)
            if len(self._of) > self._limits.tracked_peers:
                self._forget_one(peer)
        self._of.move_to_end(peer)
        return standing

    def blamed(self, now: float) -> frozenset[str]:
        """The peers whose score is below neutral or who are banned."""
        return frozenset(p for p, s in self._of.items() if s.banned(now) or s.score_at(now) < 0)

    def remembered(self, now: float) -> frozenset[str]:
        """The peers that a restart must not forget: blamed now, or banned before."""
        return self.blamed(now) | {peer for peer, standing in self._of.items() if standing.bans}

    def _forget_one(self, but: str) -> None:
        victims = (p for p, s in self._of.items() if p != but and not s.bans and not s.open_streams)
        victim = next(victims, next(iter(self._of)))
        del self._of[victim]
