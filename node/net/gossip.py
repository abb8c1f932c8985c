# SPDX-License-Identifier: GPL-3.0-or-later
"""Gossip between the wire and the node: who may bring how much, what is new, and when it counts as seen.

A message passes: size and topic, seen, rate, wire signature (hardening.py), the topic's validator, room
in the queue. It is *seen* only once the sink has stored it: a sink that fails, or a full queue (the
newest message is dropped), leaves it unseen, so that another copy is taken.
"""

from __future__ import annotations

import enum
import hashlib
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
import trio

from node.net.limits import GOSSIP_CAP_BYTES, Limits
from node.net.standing import Standings

log = structlog.get_logger("proofmesh.net")

REJECT_WEIGHT = 10.0
FAULT_WEIGHT = 25.0
OVER_RATE_WEIGHT = 0.25


class Verdict(enum.Enum):
    """What a topic's validator says: take and forward; drop without blame; drop, and blame the forwarder."""

    ACCEPT = "accept"
    IGNORE = "ignore"
    REJECT = "reject"


class Passage(enum.Enum):
    """What becomes of a message here: forwarded; stopped for good; stopped until another copy comes."""

    FORWARD = "forward"
    STOP = "stop"
    LATER = "later"


Validator = Callable[[bytes, str], Verdict]
Sink = Callable[[bytes, str], Awaitable[None]]
Penalise = Callable[[str, str, float], None]


@dataclass(frozen=True)
class _Accepted:
    data: bytes
    peer: str
    digest: bytes
    wire_id: bytes


@dataclass
class _Topic:
    validator: Validator
    sink: Sink
    send: trio.MemorySendChannel[_Accepted]
    receive: trio.MemoryReceiveChannel[_Accepted]
    pending: set[bytes] = field(default_factory=set)


class GossipGate:
    """Decides on each message that a peer brings, and pumps accepted ones into the sinks."""

    def __init__(self, limits: Limits, standings: Standings, penalise: Penalise) -> None:
        self._limits = limits
        self._standings = standings
        self._penalise = penalise
        self._topics: dict[str, _Topic] = {}
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self.counters: Counter[str] = Counter()
        self.forget_wire_id: Callable[[bytes], None] = lambda wire_id: None

    @property
    def topics(self) -> tuple[str, ...]:
        return tuple(self._topics)

    def add(self, topic: str, validator: Validator, sink: Sink) -> None:
        """Register a topic; its validator must be cheap and its sink returns once the message is stored."""
        send, receive = trio.open_memory_channel[_Accepted](self._limits.gossip_queue)
        self._topics[topic] = _Topic(validator, sink, send, receive)

    def admit(self, peer: str, topics: list[str], size: int) -> bool:
        """Say whether a message of `size` bytes from `peer` is worth checking its signature."""
        now = trio.current_time()
        standing = self._standings.of(peer)
        if standing.banned(now):
            return False
        if len(topics) != 1 or topics[0] not in self._topics:
            return False
        if size > GOSSIP_CAP_BYTES:
            self.fault(peer, "gossip too large")
            return False
        if not standing.gossip.take(now):
            self.counters["over_rate"] += 1
            self._penalise(peer, "gossip over its rate", OVER_RATE_WEIGHT)
            return False
        return True

    def judge(self, peer: str, topic_name: str, data: bytes, wire_id: bytes) -> Passage:
        """Validate a message whose wire signature holds, and queue it for the sink."""
        topic = self._topics[topic_name]
        digest = _digest(topic_name, data)
        if digest in self._seen:
            return Passage.STOP
        if digest in topic.pending:
            return Passage.LATER
        verdict = self._ask(topic, data, peer)
        self.counters[verdict.value] += 1
        if verdict is Verdict.REJECT:
            self._penalise(peer, f"refused gossip on {topic_name}", REJECT_WEIGHT)
        if verdict is not Verdict.ACCEPT:
            return Passage.STOP
        try:
            topic.send.send_nowait(_Accepted(data, peer, digest, wire_id))
        except trio.WouldBlock:
            self.counters["queue_full"] += 1
            return Passage.LATER
        topic.pending.add(digest)
        return Passage.FORWARD

    def _ask(self, topic: _Topic, data: bytes, peer: str) -> Verdict:
        try:
            return topic.validator(data, peer)
        except Exception as error:  # our bug: nobody is blamed
            self.counters["validator_failed"] += 1
            log.error("gossip validator failed", error=type(error).__name__)
            return Verdict.IGNORE

    def fault(self, peer: str, what: str) -> None:
        """A message that no honest peer sends."""
        self.counters["fault"] += 1
        self._penalise(peer, what, FAULT_WEIGHT)

    def mark_own(self, topic: str, data: bytes) -> None:
        """What this node publishes is not delivered to it again."""
        self._mark(_digest(topic, data))

    async def pump(self, topic_name: str) -> None:
        """Bring accepted messages to the topic's sink, one at a time, for as long as the node runs."""
        topic = self._topics[topic_name]
        async for message in topic.receive:
            try:
                await topic.sink(message.data, message.peer)
            except Exception as error:  # not stored: stays unseen, and neighbours may offer it again
                self.counters["sink_failed"] += 1
                self.forget_wire_id(message.wire_id)
                log.error("gossip sink failed", topic=topic_name, error=type(error).__name__)
            else:
                self._mark(message.digest)
            finally:
                topic.pending.discard(message.digest)

    def _mark(self, digest: bytes) -> None:
        self._seen[digest] = None
        while len(self._seen) > self._limits.seen_messages:
            self._seen.popitem(last=False)


def _digest(topic: str, data: bytes) -> bytes:
    return hashlib.sha256(topic.encode() + b"\0" + data).digest()
