# SPDX-License-Identifier: GPL-3.0-or-later
"""The network: streams that retry, gossip that floods a mesh hop by hop, latency, loss, partitions.

A request on a stream is retried by TCP, so a loss delays it; a peer that is down or cut off is noticed after a
timeout; an answer can be lost though the request was taken. Gossip is best effort: what is lost on one hop
comes by another, or with a repetition, or never. Latency varies, so messages overtake each other; a small
share of requests arrives twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from protocol import codec
from protocol.messages import BidMessage, Message, OrderAnnouncement, ProofMessage
from sims.scenario import Rates
from sims.world import Draw, World

MILLISECOND = 1_000_000
RETRIES = 6
RETRANSMISSION = 200 * MILLISECOND
UNREACHABLE_AFTER = 3_000 * MILLISECOND
SLOW_LEAST, SLOW_MOST = 500 * MILLISECOND, 5_000 * MILLISECOND
"""How much later a message comes that others overtake."""
ACKNOWLEDGEMENT_BYTES = 132
"""A canonical `Acknowledgement` with its frame."""
FRAME_BYTES = 4
MESH_DEGREE = 6
"""Gossipsub's D: the neighbours to which a node forwards."""
OVERHEARD = 256
"""Messages of the past that liars can draw on."""

Answered = Callable[[str | None], None]


class Peer(Protocol):
    """What the network needs of a node."""

    alive: bool
    account: bytes

    def receive(self, source: int, message: Message) -> str | None:
        """Take a request; the refusal's code is the answer, empty for an acknowledgement, None for none."""

    def gossip(self, message: Message) -> None:
        """Take a published message, once."""


class Network:
    """Delivers messages between the peers of one world."""

    def __init__(self, world: World, rates: Rates, latency_ms: int) -> None:
        self.rates = rates
        self.messages = 0
        self.bytes = 0
        self.cuts: list[frozenset[int]] = []
        """The groups of nodes that are cut off from all others now."""
        self.overheard: deque[tuple[int, int, Message]] = deque(maxlen=OVERHEARD)
        """(source, target, message) of the last messages; the target of gossip is its source."""
        self.taps: list[Callable[[int, int, Message], None]] = []
        """Called with each request that arrives."""
        self._world = world
        self._latency = latency_ms * MILLISECOND
        self._draw = Draw(world.seed, "network")
        self._peers: Sequence[Peer] = ()
        self._mesh: list[list[int]] = []
        self._sizes: dict[tuple[object, ...], int] = {}

    def connect(self, peers: Sequence[Peer]) -> None:
        """Join the peers: a ring, so that all are reachable, and random neighbours on top."""
        self._peers = peers
        count = len(peers)
        edges: list[set[int]] = [{(i + 1) % count, (i - 1) % count} - {i} for i in range(count)]
        for i in range(count):
            for _ in range(max(0, MESH_DEGREE - 2) // 2):
                other = self._draw.below(count)
                if other != i:
                    edges[i].add(other)
                    edges[other].add(i)
        self._mesh = [sorted(neighbours) for neighbours in edges]

    @property
    def size(self) -> int:
        """How many nodes there are."""
        return len(self._peers)

    def account(self, node: int) -> bytes:
        """Return the account that a peer's introduction names."""
        return self._peers[node].account

    def separated(self, one: int, other: int) -> bool:
        """Return whether a partition lies between two nodes."""
        return any((one in cut) != (other in cut) for cut in self.cuts)

    def request(self, source: int, target: int, message: Message, answered: Answered | None = None) -> None:
        """Send a message. `answered` gets the refusal's code, empty when taken, None when unreachable."""
        size = self._size(message)
        delay, attempts = self._reliable()
        if self._draw.chance(self.rates.reorder):
            self._world.fault("reordered message")
            delay += self._draw.between(SLOW_LEAST, SLOW_MOST)
        self._count(size * attempts, attempts)
        self.overheard.append((source, target, message))
        self._world.after(delay, lambda: self._arrive(source, target, message, answered))
        if self._draw.chance(self.rates.duplicate):
            self._world.fault("duplicated message")
            self._count(size, 1)
            self._world.after(delay + self.latency(), lambda: self._arrive(source, target, message, None))

    def publish(self, source: int, message: Message, seen: set[int]) -> None:
        """Gossip a message to everyone that the mesh reaches and that has not seen it."""
        if not seen:
            self.overheard.append((source, source, message))
        seen.add(source)
        self._forward(source, source, message, self._size(message), seen)

    def latency(self) -> int:
        """Return one trip's time: half of the nominal latency for certain, as much again on average."""
        return self._latency // 2 + self._draw.below(self._latency + 1)

    def _forward(self, node: int, origin: int, message: Message, size: int, seen: set[int]) -> None:
        for neighbour in self._mesh[node]:
            if neighbour == origin:
                continue
            self._count(size, 1)
            if neighbour in seen or self.separated(node, neighbour):
                continue
            if self._draw.chance(self.rates.gossip_loss):
                self._world.fault("lost gossip")
                continue
            self._world.after(self.latency(), self._hop(neighbour, node, message, size, seen))

    def _hop(self, node: int, origin: int, message: Message, size: int, seen: set[int]) -> Callable[[], None]:
        def arrive() -> None:
            peer = self._peers[node]
            if node in seen or not peer.alive:
                return
            seen.add(node)
            peer.gossip(message)
            self._forward(node, origin, message, size, seen)

        return arrive

    def _arrive(self, source: int, target: int, message: Message, answered: Answered | None) -> None:
        peer = self._peers[target]
        code: str | None = None
        if self.separated(source, target):
            self._world.fault("message into a partition")
        elif peer.alive:
            for tap in self.taps:
                tap(source, target, message)
            code = peer.receive(source, message)
        if answered is None:
            return
        if code is not None and self._draw.chance(self.rates.lost_answer):
            self._world.fault("lost answer")
            code = None
        if code is None:
            self._world.after(UNREACHABLE_AFTER, lambda: answered(None))
            return
        delay, attempts = self._reliable()
        self._count(ACKNOWLEDGEMENT_BYTES * attempts, attempts)
        self._world.after(delay, lambda: answered(code))

    def _reliable(self) -> tuple[int, int]:
        """Return delay and number of transmissions of one message on a stream."""
        delay, attempts, wait = self.latency(), 1, RETRANSMISSION
        while attempts < RETRIES and self._draw.chance(self.rates.loss):
            self._world.fault("lost transmission")
            delay, attempts, wait = delay + wait, attempts + 1, wait * 2
        return delay, attempts

    def _size(self, message: Message) -> int:
        """Messages of one shape have one size; encoding each would take most of the time."""
        shape: tuple[object, ...] = (message.kind,)
        if isinstance(message, (OrderAnnouncement, BidMessage)):
            shape = (message.kind, *map(len, message.addresses))
        elif isinstance(message, ProofMessage):
            shape = (message.kind, len(message.outputs))
        if shape not in self._sizes:
            self._sizes[shape] = len(codec.encode(message)) + FRAME_BYTES
        return self._sizes[shape]

    def _count(self, size: int, messages: int) -> None:
        self.messages += messages
        self.bytes += size
