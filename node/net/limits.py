# SPDX-License-Identifier: GPL-3.0-or-later
"""Every bound of the transport in one place, and the token bucket that applies the rates."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field

GOSSIP_CAP_BYTES = 64 * 1024  # py-libp2p drops 1 MiB and more in silence; queues hold 32 messages


@dataclass(frozen=True)
class Rate:
    """So many units a second, and so many at once."""

    per_second: float
    burst: float


@dataclass(frozen=True)
class RelayLimits:
    """What a node carries for others if its operator lets it; what is over a bound is refused."""

    reservations: int = 64
    reservations_per_subnet: int = 8  # of the reserving peers
    reservation_seconds: float = 1800.0
    circuits: int = 64  # at the same time
    circuits_per_reservation: int = 16
    circuits_per_peer: int = 8  # that one peer asked for
    circuits_per_subnet: int = 16  # that the peers of one subnet asked for
    circuit_bytes: int = 256 * 2**20  # both directions together; then the circuit ends
    circuit_seconds: float = 3600.0
    idle_seconds: float = 60.0  # without a byte in one direction; who is alive pings every 10 s
    bandwidth: Rate = Rate(per_second=2 * 2**20, burst=4 * 2**20)  # bytes of all together: about a tenth of a core
    requests: Rate = Rate(per_second=0.5, burst=20)  # of one peer, and of one subnet


@dataclass(frozen=True)
class Limits:
    """Bounds per node and per peer; seconds, bytes, counts."""

    max_connections: int = 200
    inbound_connections: int = 128  # what is left is for those that this node dials
    outbound_connections: int = 40  # learned peers that it stays connected to
    connections_per_peer: int = 2
    handshakes: int = 24  # at the same time; the oldest of the busiest subnet is ended
    handshake_timeout: float = 5.0
    connections_per_subnet: int = 16  # inbound, of one IPv4 /24 or IPv6 /48
    outbound_per_subnet: int = 4  # of learned peers
    exempt_networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128")  # bounds by subnet do not apply to these
    tracked_subnets: int = 4096
    relays: int = 4  # at which a node holds reservations
    dials: int = 16  # at the same time
    inbound_streams_per_peer: int = 128
    unread_bytes_per_connection: int = 48 * 1024 * 1024
    gossip_queue: int = 1024  # per topic; when full the newest message is dropped and stays unseen
    seen_messages: int = 65_536  # oldest forgotten first
    tracked_peers: int = 4096
    contacts: int = 2048  # whom the node may dial; the least trusted goes
    hearsay: int = 512  # contacts of which other peers spoke; when full the newest is not learned
    hearsay_per_source: int = 32

    subnet_arrivals: Rate = Rate(per_second=0.5, burst=40)  # new connections
    subnet_ban_cost: float = 20  # arrivals that a subnet loses when one of its peers is banned
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
    relay_timeout: float = 5.0  # for each message to or from a relay
    reserve_first: float = 1.0  # after a relay refused or failed; doubles
    reserve_longest: float = 60.0
    restart_first: float = 0.1
    restart_longest: float = 10.0

    ban_score: float = -100.0
    ban_first: float = 60.0  # doubles with each ban
    ban_longest: float = 3600.0
    forgiveness_per_second: float = 0.2

    relay: RelayLimits = RelayLimits()


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


class TokenBuckets:
    """A bucket for each key; of more than `most` the longest unused is forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._buckets: OrderedDict[Hashable, TokenBucket] = OrderedDict()

    def take(self, key: Hashable, rate: Rate, now: float) -> bool:
        """Take one from the bucket of `key`, which fills at `rate`, if it is there."""
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(rate)
            if len(self._buckets) > self._most:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.take(now)
