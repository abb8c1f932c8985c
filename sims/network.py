# SPDX-License-Identifier: GPL-3.0-or-later
"""The network: streams that retry, gossip that floods a mesh hop by hop, latency and loss.

A request on a stream is retried by TCP, so a loss delays it; a peer that is down is noticed after a
timeout. Gossip is best effort: what is lost on one hop comes by another, or never. Latency varies, so
messages overtake each other; a small share of requests arrives twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from protocol import codec
from protocol.messages import Message
from sims.world import Draw, World

MILLISECOND = 1_000_000
RETRIES = 6
RETRANSMISSION = 200 * MILLISECOND
UNREACHABLE_AFTER = 3_000 * MILLISECOND
ACKNOWLEDGEMENT_BYTES = 132
"""A canonical `Acknowledgement` with its frame."""
FRAME_BYTES = 4
MESH_DEGREE = 6
"""Gossipsub's D: the neighbours to which a node forwards."""


class Peer(Protocol):
    """What the network needs of a node."""

    alive: bool

    def receive(self, source: int, message: Message) -> str:
        """Take a request; the refusal's code is the answer, empty for an acknowledgement."""

    def gossip(self, message: Message) -> None:
        """Take a published message, once."""


@dataclass(slots=True)
class Faults:
    """What goes wrong, in parts per million; zero after healing."""

    loss: int = 10_000
    duplicate: int = 10_000
    prover_death: int = 20_000
    verifier_death: int = 10_000
    gossip_loss: int = 10_000

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self.loss = self.duplicate = self.prover_death = self.verifier_death = self.gossip_loss = 0


class Network:
    """Delivers messages between the peers of one world."""

    def __init__(self, world: World, faults: Faults, latency_ms: int) -> None:
        self._world = world
        self._faults = faults
        self._latency = latency_ms * MILLISECOND
        self._draw = Draw(world.seed, "network")
        self._peers: list[Peer] = []
        self._mesh: list[list[int]] = []
        self._published = 0
        self.messages = 0
        self.bytes = 0

    def connect(self, peers: list[Peer]) -> None:
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

    def request(
        self, source: int, target: int, message: Message, answered: Callable[[str | None], None] | None = None
    ) -> None:
        """Send a message. `answered` gets the refusal's code, empty when taken, None when unreachable."""
        size = len(codec.encode(message)) + FRAME_BYTES
        delay, attempts = self._reliable()
        self._count(size * attempts, attempts)
        self._world.after(delay, lambda: self._arrive(source, target, message, answered))
        if self._faults.duplicate and self._draw.chance(self._faults.duplicate):
            self._count(size, 1)
            self._world.after(delay + self.latency(), lambda: self._arrive(source, target, message, None))

    def publish(self, source: int, message: Message) -> None:
        """Gossip a message to everyone that the mesh reaches."""
        size = len(codec.encode(message)) + FRAME_BYTES
        seen = {source}
        self._forward(source, source, message, size, seen)

    def latency(self) -> int:
        """Return one trip's time: half of the nominal latency for certain, as much again on average."""
        return self._latency // 2 + self._draw.below(self._latency + 1)

    def _forward(self, node: int, origin: int, message: Message, size: int, seen: set[int]) -> None:
        for neighbour in self._mesh[node]:
            if neighbour == origin:
                continue
            self._count(size, 1)
            if neighbour in seen or self._draw.chance(self._faults.gossip_loss):
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

    def _arrive(
        self, source: int, target: int, message: Message, answered: Callable[[str | None], None] | None
    ) -> None:
        peer = self._peers[target]
        if not peer.alive:
            if answered is not None:
                self._world.after(UNREACHABLE_AFTER, lambda: self._answer(source, answered, None))
            return
        code = peer.receive(source, message)
        delay, attempts = self._reliable()
        self._count(ACKNOWLEDGEMENT_BYTES * attempts, attempts)
        if answered is not None:
            self._world.after(delay, lambda: self._answer(source, answered, code))

    def _answer(self, source: int, answered: Callable[[str | None], None], code: str | None) -> None:
        if self._peers[source].alive:
            answered(code)

    def _reliable(self) -> tuple[int, int]:
        """Return delay and number of transmissions of one message on a stream."""
        delay, attempts, wait = self.latency(), 1, RETRANSMISSION
        while attempts < RETRIES and self._draw.chance(self._faults.loss):
            delay, attempts, wait = delay + wait, attempts + 1, wait * 2
        return delay, attempts

    def _count(self, size: int, messages: int) -> None:
        self.messages += messages
        self.bytes += size
