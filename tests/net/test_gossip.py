# SPDX-License-Identifier: GPL-3.0-or-later
"""Gossip between real hosts: delivered once, bounded, and seen only when stored."""

from __future__ import annotations

import pytest
import trio
from libp2p.peer.id import ID
from net_peers import Inbox, accept, connected, star, transport, until

from node.net import Limits, Transport
from node.net.gossip import GossipGate, Passage
from node.net.limits import GOSSIP_CAP_BYTES
from node.net.standing import Standings
from protocol.errors import GossipTooLargeError, TransportDownError

TOPIC = "orders"


def listeners(node: Transport) -> int:
    assert node._live is not None
    return len(node._live.pubsub.peer_topics.get(node._topic(TOPIC), ()))


async def test_five_nodes_hear_every_message_exactly_once() -> None:
    async with star(5) as nodes:
        inboxes = [Inbox() for _ in nodes]
        for node, inbox in zip(nodes, inboxes, strict=True):
            await node.subscribe(TOPIC, accept, inbox)
        await until(lambda: listeners(nodes[0]) == 4 and all(listeners(node) for node in nodes[1:]))
        sent = {b"%d from %d" % (number, n) for number in range(5) for n in range(5)}
        for number in range(5):
            for n, node in enumerate(nodes):
                assert await node.publish(TOPIC, b"%d from %d" % (number, n)) >= 1
            await trio.sleep(0.05)
        for n, inbox in enumerate(inboxes):
            others = {message for message in sent if not message.endswith(b"from %d" % n)}
            await until(lambda inbox=inbox, others=others: others <= set(inbox.messages))  # type: ignore[misc]
            assert sorted(inbox.messages) == sorted(others)


async def test_the_largest_message_passes_and_a_larger_one_is_refused_here() -> None:
    async with transport() as one, transport(one.addresses[0]) as two:
        inbox = Inbox()
        await one.subscribe(TOPIC, accept, inbox)
        await until(lambda: listeners(two))
        await two.publish(TOPIC, b"x" * GOSSIP_CAP_BYTES)
        await until(lambda: [len(message) for message in inbox.messages] == [GOSSIP_CAP_BYTES])
        with pytest.raises(GossipTooLargeError):
            await two.publish(TOPIC, b"x" * (GOSSIP_CAP_BYTES + 1))


async def test_subscriptions_and_gossip_survive_the_death_of_the_host() -> None:
    async with transport() as one, transport(one.addresses[0]) as two:
        inbox = Inbox()
        await one.subscribe(TOPIC, accept, inbox)
        await until(lambda: listeners(two))

        async def die() -> None:
            raise RuntimeError

        assert one._live is not None
        one._live.host.swarm.manager.run_task(die)
        await until(lambda: one.counters["host_restarts"] == 1)
        await until(lambda: two.peer_id in connected(one) and listeners(two))
        await two.publish(TOPIC, b"after")
        await until(lambda: inbox.messages == [b"after"])


async def test_publishing_without_a_running_host_is_a_clear_error() -> None:
    async with transport() as node:
        pass
    with pytest.raises(TransportDownError):
        await node.publish(TOPIC, b"x", timeout=0.1)


def gate(limits: Limits) -> GossipGate:
    return GossipGate(limits, Standings(limits), lambda peer, reason, weight: None)


async def test_a_full_queue_drops_the_newest_and_leaves_it_unseen(nursery: trio.Nursery) -> None:
    stored, held = Inbox(), trio.Event()

    async def slow(data: bytes, peer: str) -> None:
        await held.wait()
        await stored(data, peer)

    made = gate(Limits(gossip_queue=2))
    made.add(TOPIC, accept, slow)
    passages = [made.judge("peer", TOPIC, b"%d" % number, b"") for number in range(3)]
    assert passages == [Passage.FORWARD, Passage.FORWARD, Passage.LATER]
    nursery.start_soon(made.pump, TOPIC)
    held.set()
    await until(lambda: len(stored.messages) == 2)
    assert made.judge("peer", TOPIC, b"2", b"") is Passage.FORWARD
    await until(lambda: stored.messages == [b"0", b"1", b"2"])


async def test_a_message_is_seen_only_once_stored(nursery: trio.Nursery) -> None:
    stored, forgotten, broken = Inbox(), list[bytes](), [True]

    async def sink(data: bytes, peer: str) -> None:
        if broken:
            broken.pop()
            raise OSError("disk full")
        await stored(data, peer)

    made = gate(Limits())
    made.forget_wire_id = forgotten.append
    made.add(TOPIC, accept, sink)
    nursery.start_soon(made.pump, TOPIC)
    assert made.judge("peer", TOPIC, b"order", b"id") is Passage.FORWARD
    assert made.judge("peer", TOPIC, b"order", b"id") is Passage.LATER
    await until(lambda: forgotten == [b"id"])
    assert made.judge("peer", TOPIC, b"order", b"id") is Passage.FORWARD
    await until(lambda: stored.messages == [b"order"])
    assert made.judge("peer", TOPIC, b"order", b"id2") is Passage.STOP


def slow_greetings(one: Transport, monkeypatch: pytest.MonkeyPatch) -> tuple[trio.Event, trio.Event]:
    """Hold every greeting back once it is written; return the events of the first one and of letting them go on."""
    began, go_on = trio.Event(), trio.Event()
    assert one._live is not None
    host = one._live.pubsub.host
    original = host.new_stream

    async def new_stream(*arguments: object) -> object:
        stream = await original(*arguments)  # type: ignore[arg-type]
        write = stream.write

        async def slow_write(data: bytes) -> None:
            await write(data)
            began.set()
            await go_on.wait()

        monkeypatch.setattr(stream, "write", slow_write)
        return stream

    monkeypatch.setattr(host, "new_stream", new_stream)
    return began, go_on


def senders() -> int:
    """The tasks of this process that wait to send gossip to a peer."""
    found, waiting = 0, [trio.lowlevel.current_root_task()]
    while waiting:
        if (task := waiting.pop()) is not None:
            found += "handle_sending_messages" in task.name
            waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return found


async def test_a_topic_subscribed_while_a_peer_connects_is_not_hidden_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Upstream loses it when the subscription falls between its hello and its note of the peer."""
    async with transport() as one:
        began, go_on = slow_greetings(one, monkeypatch)
        async with transport(one.addresses[0]) as two:
            with trio.fail_after(20):
                await began.wait()
            await one.subscribe(TOPIC, accept, Inbox())
            go_on.set()
            await until(lambda: listeners(two))


async def test_a_peer_that_is_greeted_twice_leaves_no_task_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nodes that dial each other are connected twice; upstream forgets the queue of one greeting and its task."""
    async with transport() as one:
        began, go_on = slow_greetings(one, monkeypatch)
        assert one._live is not None
        pubsub = one._live.pubsub
        async with transport(one.addresses[0]) as two:
            with trio.fail_after(20):
                await began.wait()
            peer = ID.from_base58(two.peer_id)
            pubsub.manager.run_task(pubsub._handle_new_peer_with_retry, peer)
            await trio.sleep(0.2)
            go_on.set()
            await until(lambda: peer in pubsub.peers)
        await until(lambda: two.peer_id not in connected(one))
        await until(lambda: senders() == 0)


async def test_a_peer_that_leaves_while_it_is_greeted_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    async with transport() as one:
        began, go_on = slow_greetings(one, monkeypatch)
        assert one._live is not None
        pubsub = one._live.pubsub
        async with transport(one.addresses[0]) as two:
            with trio.fail_after(20):
                await began.wait()
        await until(lambda: two.peer_id not in connected(one))
        go_on.set()
        await until(lambda: senders() == 0 and ID.from_base58(two.peer_id) not in pubsub.peers)
