# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated network: what is lost comes late, who is down is noticed, gossip reaches the mesh once."""

from __future__ import annotations

from dataclasses import dataclass, field

from market import refusals
from protocol import codec
from protocol.messages import Acknowledgement, Message
from sims.network import ACKNOWLEDGEMENT_BYTES, FRAME_BYTES, UNREACHABLE_AFTER, Network
from sims.scenario import Rates
from sims.tokens import NETWORK
from sims.world import EPOCH, World

MESSAGE = Acknowledgement(network=NETWORK, request_hash=bytes(32))
SIZE = len(codec.encode(MESSAGE)) + FRAME_BYTES


@dataclass
class Listener:
    alive: bool = True
    account: bytes = bytes(20)
    answer: str = ""
    heard: list[int] = field(default_factory=list)
    gossiped: int = 0

    def receive(self, source: int, message: Message) -> str:
        self.heard.append(source)
        return self.answer

    def gossip(self, message: Message) -> None:
        self.gossiped += 1


def network(rates: Rates, count: int = 2) -> tuple[World, Network, list[Listener]]:
    world = World(5)
    made, peers = Network(world, rates, 40), [Listener() for _ in range(count)]
    made.connect(list(peers))
    return world, made, peers


def finish(world: World) -> None:
    while world.step():
        pass


def test_the_size_of_an_acknowledgement_is_the_real_one() -> None:
    assert ACKNOWLEDGEMENT_BYTES == SIZE


def test_a_request_is_answered_after_a_round_trip() -> None:
    world, net, peers = network(Rates())
    peers[1].answer = refusals.AT_CAPACITY
    answers: list[tuple[str | None, int]] = []
    net.request(0, 1, MESSAGE, lambda code: answers.append((code, world.now - EPOCH)))
    finish(world)
    assert peers[1].heard == [0] and net.messages == 2 and net.bytes == 2 * SIZE
    (code, took), *others = answers
    assert code == refusals.AT_CAPACITY and 40 * 10**6 <= took <= 120 * 10**6 and not others


def test_loss_costs_time_and_transmissions_not_messages() -> None:
    world, net, peers = network(Rates(loss=500_000))
    answered: list[str | None] = []
    for _ in range(100):
        net.request(0, 1, MESSAGE, answered.append)
    finish(world)
    assert answered == [""] * 100 and len(peers[1].heard) == 100
    assert net.messages > 300 and world.now - EPOCH > 400 * 10**6


def test_a_peer_that_is_down_is_unreachable_and_hears_nothing() -> None:
    world, net, peers = network(Rates())
    peers[1].alive = False
    answered: list[str | None] = []
    net.request(0, 1, MESSAGE, answered.append)
    finish(world)
    assert answered == [None] and peers[1].heard == [] and world.now - EPOCH >= UNREACHABLE_AFTER


def test_duplicates_arrive_and_are_answered_once() -> None:
    world, net, peers = network(Rates(duplicate=1_000_000))
    answered: list[str | None] = []
    net.request(0, 1, MESSAGE, answered.append)
    finish(world)
    assert peers[1].heard == [0, 0] and answered == [""]


def test_gossip_reaches_everyone_once_and_counts_every_hop() -> None:
    world, net, peers = network(Rates(), 30)
    net.publish(3, MESSAGE, set())
    finish(world)
    assert [peer.gossiped for peer in peers] == [0 if index == 3 else 1 for index in range(30)]
    assert net.messages > 29 and net.bytes == net.messages * SIZE


def test_lossy_gossip_may_miss_nodes_but_never_repeats() -> None:
    world, net, peers = network(Rates(gossip_loss=500_000), 30)
    net.publish(0, MESSAGE, set())
    finish(world)
    reached = [peer.gossiped for peer in peers]
    assert max(reached) == 1 and sum(reached) < 29


def test_a_repetition_reaches_those_that_missed_the_first_and_nobody_twice() -> None:
    world, net, peers = network(Rates(gossip_loss=600_000), 30)
    seen: set[int] = set()
    for _ in range(12):
        net.publish(0, MESSAGE, seen)
        finish(world)
    assert max(peer.gossiped for peer in peers) == 1 and sum(peer.gossiped for peer in peers) > 20


def test_a_partition_keeps_messages_out_until_it_heals() -> None:
    world, net, peers = network(Rates(), 6)
    net.cuts.append(frozenset({1, 2}))
    answered: list[str | None] = []
    net.request(0, 1, MESSAGE, answered.append)
    net.request(1, 2, MESSAGE, answered.append)
    net.publish(0, MESSAGE, set())
    finish(world)
    assert answered == ["", None] and peers[1].heard == [] and peers[2].heard == [1]
    assert [peer.gossiped for peer in peers] == [0, 0, 0, 1, 1, 1]
    net.cuts.clear()
    net.request(0, 1, MESSAGE, answered.append)
    finish(world)
    assert answered[-1] == "" and peers[1].heard == [0]


def test_an_answer_can_be_lost_though_the_request_was_taken() -> None:
    world, net, peers = network(Rates(lost_answer=1_000_000))
    answered: list[str | None] = []
    net.request(0, 1, MESSAGE, answered.append)
    finish(world)
    assert answered == [None] and peers[1].heard == [0] and world.faults == {"lost answer": 1}


def test_messages_overtake_each_other() -> None:
    world, net, peers = network(Rates(reorder=500_000), 3)
    for number in range(40):
        net.request(number % 2, 2, MESSAGE)
    finish(world)
    assert sorted(peers[2].heard) == [0] * 20 + [1] * 20 != peers[2].heard != [0, 1] * 20
