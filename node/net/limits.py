# SPDX-License-Identifier: GPL-3.0-or-later
"""Every bound of the transport in one place, and the token bucket that applies the rates."""

from __future__ import annotations

from dataclasses import dataclass, field

GOSSIP_CAP_BYTES = 64 * 1024  # py-libp2p drops 1 MiB and more in silence; queues hold 32 messages


@dataclass(frozen=True)
class Rate:
    """So many units a second, and so many at once."""

    per_second: float
    burst: float


@dataclass(frozen=True)
class Limits:
    """Bounds per node and per peer; seconds, bytes, counts."""

    max_connections: int = 200
    connections_per_peer: int = 2
    inbound_streams_per_peer: int = 128
    unread_bytes_per_connection: int = 48 * 1024 * 1024
    gossip_queue: int = 1024  # per topic; when full the newest message is dropped and stays unseen
    seen_messages: int = 65_536  # oldest forgotten first
    tracked_peers: int = 4096

    requests: Rate = Rate(per_second=50, burst=400)
    request_bytes: Rate = Rate(per_second=8 * 2**20, burst=64 * 2**20)
    gossip: Rate = Rate(per_second=100, burst=400)
    served_bytes: Rate = Rate(per_second=256 * 2**20, burst=256 * 2**20)

    dial_timeout: float = 10.0
    redial_first: float = 0.5
    redial_longest: float = 30.0
    learned_attempts: int = 8  # a learned peer that fails so often in a row is forgotten
    ping_interval: float = 10.0
    ping_timeout: float = 8.0
    ping_failures: int = 2
    restart_first: float = 0.1
    restart_longest: float = 10.0

    ban_score: float = -100.0
    ban_first: float = 60.0  # doubles with each ban
    ban_longest: float = 3600.0
    forgiveness_per_second: float = 0.2


@dataclass
class TokenBucket:
    """Lets `rate.per_second` units through, and up to `rate.burst` at once."""

    rate: Rate
    tokens: float = field(init=False)
    at: float | None = None

    def __post_init__(self) -> None:
        self.tokens = self.rate.burst

    def take(self, now: float, amount: float = 1.0) -> bool:
        """Take `amount` if it is there."""
        self._refill(now)
        if self.tokens < amount:
            return False
        self.tokens -= amount
        return True

    def owe(self, now: float, amount: float) -> float:
        """Take `amount` in any case and return the seconds to wait before going on."""
        self._refill(now)
        self.tokens -= amount
        return max(0.0, -self.tokens / self.rate.per_second)

    def _refill(self, now: float) -> None:
        elapsed = 0.0 if self.at is None else now - self.at
        self.tokens = min(self.rate.burst, self.tokens + elapsed * self.rate.per_second)
        self.at = now
