# SPDX-License-Identifier: GPL-3.0-or-later
"""The known holes of py-libp2p 0.8.1, closed. Each class says which; remove it when upstream is fixed.

Unwrapped, any peer that completes a Noise handshake can end the host: whatever leaves a stream handler
cancels `host.run()`. `guard` therefore wraps the swarm's stream handler (it also covers protocol names
that are not UTF-8 and gossip frames that are not protobuf), `SafePubsub` the message path, `SafeYamux`
the connection. The supervisor in service.py restarts the host if something gets out all the same.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
import trio
from libp2p.abc import INetStream
from libp2p.network.auto_connector import AutoConnector
from libp2p.network.connection.exceptions import RawConnError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.validators import signature_validator
from libp2p.stream_muxer import muxer_multistream
from libp2p.stream_muxer.yamux.yamux import Yamux, YamuxStream

from node.net.gossip import GossipGate, Passage
from node.net.limits import Limits

log = structlog.get_logger("proofmesh.net")

WRITE_DEADLINE = 10.0  # seconds for one frame of at most 64 KiB; then the connection is closed
CLOSE_DEADLINE = 1.0
GARBAGE_WEIGHT = 25.0
STREAM_FLOOD_WEIGHT = 2.0


class SafeYamux(Yamux):
    """Yamux whose frames go out whole, and whose unread input is bounded.

    - A write cancelled under back-pressure leaves half a Noise frame on the wire, after which the whole
      connection is dead while still listed as connected. Writes are shielded, with a deadline of their own.
    - The receive window is not enforced: a peer could fill the memory with data that nobody reads.
    """

    unread_cap = Limits.unread_bytes_per_connection
    write_deadline = WRITE_DEADLINE
    _writing: trio.CancelScope | None = None

    async def _write_frame(self, data: bytes) -> None:
        async with self._write_lock:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + self.write_deadline) as scope:
                self._writing = scope
                await self.secured_conn.write(data)
            self._writing = None
            if scope.cancelled_caught:
                await self._give_up()
                raise RawConnError("write deadline passed; connection closed")
        await trio.lowlevel.checkpoint()

    async def _read_data_body(self, length: int) -> bytes:
        unread = sum(len(buffer) for buffer in self.stream_buffers.values())
        if unread + length > self.unread_cap:
            log.warning("peer filled its receive window", peer=str(self.peer_id), unread_bytes=unread)
            await self._give_up()
            raise RawConnError("receive window exceeded; connection closed")
        return await super()._read_data_body(length)

    async def forget(self, stream: YamuxStream) -> None:
        """Drop what a reset stream still holds: upstream keeps its unread bytes for the connection's life."""
        async with self.streams_lock:
            self.stream_buffers.pop(stream.stream_id, None)
            self._finalize_stream_locked(stream, fully_closed=True)

    def hurry(self, seconds: float) -> None:
        """Give writes under way, and all later ones, at most `seconds`: the node is stopping."""
        self.write_deadline = seconds
        if self._writing is not None:
            self._writing.deadline = min(self._writing.deadline, trio.current_time() + seconds)

    async def _give_up(self) -> None:
        self.event_shutting_down.set()
        deadline = trio.current_time() + CLOSE_DEADLINE
        with trio.CancelScope(shield=True, deadline=deadline), contextlib.suppress(Exception):
            await self.secured_conn.close()


class SafePubsub(Pubsub):
    """Pubsub whose message path is ours: gate, signature, gate, forward.

    Upstream's `push_msg` ends the host on an unparsable key or a raising validator, caches verdicts by
    id for minutes, delivers duplicates, and drops silently when a subscriber's queue of 32 is full.
    Here the gate (gossip.py) decides, and takes the message into its own bounded queue.
    """

    gate: GossipGate

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._greeting: set[ID] = set()

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        try:
            await self._pass_on(msg_forwarder, msg)
        except Exception as error:
            if msg_forwarder == self.my_id:
                raise
            self.gate.fault(str(msg_forwarder), type(error).__name__)

    async def _pass_on(self, forwarder: ID, msg: rpc_pb2.Message) -> None:
        own = forwarder == self.my_id
        if self._is_msg_seen(msg) or (not own and msg.from_id == self.my_id.to_bytes()):
            return
        if not own:
            peer = str(forwarder)
            if not self.gate.admit(peer, list(msg.topicIDs), len(msg.data)):
                return  # not marked as seen: another peer may bring it when there is room
            if not signature_validator(msg):
                self.gate.fault(peer, "gossip signature")
                return
            passage = self.gate.judge(peer, msg.topicIDs[0], msg.data, self.get_message_id(msg))
            if passage is Passage.LATER:
                return
            if passage is Passage.STOP:
                self._mark_msg_seen(msg)
                return
        self._mark_msg_seen(msg)
        await self.router.publish(forwarder, msg)

    async def _handle_new_peer(self, peer_id: ID) -> None:
        # Two nodes that dial each other are two connections, and upstream greets the peer of both at once: the
        # second queue takes the place of the first, whose sending task then waits for ever.
        if peer_id in self._greeting:
            return
        self._greeting.add(peer_id)
        try:
            await self._greet(peer_id)
        finally:
            self._greeting.discard(peer_id)

    async def _greet(self, peer_id: ID) -> None:
        # Upstream tells a new peer the topics of this moment and counts it among those to tell of later ones
        # only after that write: a topic subscribed in between would be hidden from the peer for good.
        told = set(self.topic_ids)
        await super()._handle_new_peer(peer_id)
        queue = self.peer_queues.get(peer_id)
        if queue is None:
            return
        if not self._peer_is_connected(peer_id):
            self._handle_dead_peer(peer_id)  # it left while it was greeted, and nobody will say so again
            return
        for topic in set(self.topic_ids) - told:
            packet, announce = self._build_announce_rpc(topic, subscribe=True)
            self._enqueue_or_retry_announce(peer_id, queue, packet, announce)

    def forget(self, wire_id: bytes) -> None:
        """Let a message in again that was forwarded and could not be stored."""
        with self.seen_messages.lock:
            self.seen_messages.cache.pop(wire_id, None)

    def _next_seqno(self) -> bytes:
        # Upstream counts from the second of its start: after a restart ids would be taken for old ones.
        self.counter = max(self.counter + 1, time.time_ns())
        return self.counter.to_bytes(8, "big")

    async def _teardown_if_connected(self, peer_id: ID) -> None:
        with contextlib.suppress(KeyError):  # upstream deletes an entry that its own reset has removed
            await super()._teardown_if_connected(peer_id)
        self._forget_all_subscriptions(peer_id)


class NoAutoConnector(AutoConnector):
    """No dialling behind our back.

    Upstream dials every address it ever heard of until half of `high_watermark` is reached, also with
    both low marks at 0, and so also a peer that was just banned. The peer book decides (live.py).
    """

    async def maybe_connect(self) -> None:
        return


class StreamGate:
    """What `guard` asks before and tells after a stream; the transport implements it."""

    def admit_stream(self, peer: str) -> bool:
        raise NotImplementedError

    def release_stream(self, peer: str) -> None:
        raise NotImplementedError

    def stream_fault(self, peer: str, error: Exception) -> None:
        raise NotImplementedError


def guard(
    handler: Callable[[INetStream], Awaitable[None]], gate: StreamGate
) -> Callable[[INetStream], Awaitable[None]]:
    """Return `handler` for the swarm: admits a bounded number of streams, and lets no exception out."""

    async def guarded(stream: INetStream) -> None:
        peer = str(stream.muxed_conn.peer_id)
        if not gate.admit_stream(peer):
            await reset_quietly(stream)
            return
        try:
            await handler(stream)
        except Exception as error:
            gate.stream_fault(peer, error)
            await reset_quietly(stream)
        finally:
            gate.release_stream(peer)

    return guarded


async def reset_quietly(stream: INetStream) -> None:
    """Reset a stream whatever state it is in, also while being cancelled."""
    deadline = trio.current_time() + CLOSE_DEADLINE
    with trio.CancelScope(shield=True, deadline=deadline), contextlib.suppress(Exception):
        await stream.reset()
        muxed = getattr(stream, "muxed_stream", None)
        if isinstance(muxed, YamuxStream) and isinstance(muxed.conn, SafeYamux):
            await muxed.conn.forget(muxed)


class _NoLibp2pOnRoot(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return "/libp2p/" not in record.pathname.replace("\\", "/")


def install() -> None:
    """Make the library use `SafeYamux` (its `muxer_opt` is ignored for yamux) and be silent.

    Its modules log with payload details, partly on the root logger, and the first such call would
    install a handler on stderr.
    """
    patched: Any = muxer_multistream
    patched.Yamux = SafeYamux
    for name in ["libp2p", *logging.Logger.manager.loggerDict]:
        if name.split(".")[0] == "libp2p":  # some of its modules set a level of their own
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.NullHandler())
    if not any(isinstance(f, _NoLibp2pOnRoot) for f in root.filters):
        root.addFilter(_NoLibp2pOnRoot())
