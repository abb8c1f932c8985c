# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes introduce themselves: roles, account, least fee, addresses, and a few peers they know.

A prover learns its verifiers here, and everybody learns more peers. A hello is hearsay but for the
account of a verifier, and that one costs nothing to believe: a verifier that does not settle is replaced
by the prover itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio

from node.endpoint import MarketEndpoint
from node.net import Transport
from protocol.errors import ProofmeshError
from protocol.messages import Hello, Message
from protocol.structs import Network

LOOK_SECONDS = 0.5
"""How often new connections are looked for."""
RENEW_SECONDS = 5.0
"""How often known peers are greeted again."""
MAX_SHARED_PEERS = 32

log = structlog.get_logger("proofmesh.greeting")


@dataclass(frozen=True, slots=True)
class Introduction:
    """What this node says of itself."""

    roles: tuple[str, ...]
    account: bytes
    least_fee: Callable[[], int]


class Greeter:
    """Greets every peer once it is connected, and keeps what the peers said."""

    def __init__(
        self,
        network: Network,
        transport: Transport,
        endpoint: MarketEndpoint,
        introduction: Introduction,
        heard: Callable[[str, Hello], None],
        gone: Callable[[str, Hello], None],
    ) -> None:
        self._network = network
        self._transport = transport
        self._endpoint = endpoint
        self._introduction = introduction
        self._heard = heard
        self._gone = gone
        self.known: dict[str, Hello] = {}
        self._greeted: dict[str, float] = {}
        endpoint.on(Hello, self._answer)

    async def run(self) -> None:
        """Greet peers as they connect, until cancelled."""
        while True:
            connected = {peer.peer for peer in self._transport.peers() if peer.connected}
            for peer in [peer for peer in self.known if peer not in connected]:
                self._gone(peer, self.known.pop(peer))
            self._greeted = {p: at for p, at in self._greeted.items() if p in connected}
            due = [
                p
                for p in sorted(connected)
                if self._greeted.get(p, -1e9) + RENEW_SECONDS < trio.current_time()
            ]
            async with trio.open_nursery() as nursery:
                for peer in due:
                    nursery.start_soon(self._greet, peer)
            await trio.sleep(LOOK_SECONDS)

    async def _greet(self, peer: str) -> None:
        self._greeted[peer] = trio.current_time()
        try:
            answer = await self._endpoint.send(peer, self._hello())
        except ProofmeshError as error:
            log.debug("hello not answered", peer=peer, code=error.code)
            self._greeted[peer] = trio.current_time() - RENEW_SECONDS + 2 * LOOK_SECONDS
            return
        if isinstance(answer, Hello):
            await self._take(peer, answer)

    async def _answer(self, peer: str, message: Hello) -> Message:
        await self._take(peer, message)
        return self._hello()

    async def _take(self, peer: str, message: Hello) -> None:
        if self.known.get(peer) != message:
            self.known[peer] = message
            for address in message.addresses[:1]:
                if address.endswith(f"/p2p/{peer}"):
                    self._transport.book.learn(peer, address, configured=False)
            log.info("peer introduced", peer=peer, roles=list(message.roles))
            self._heard(peer, message)
        known = {snapshot.peer for snapshot in self._transport.peers()} | {self._transport.peer_id}
        for address in message.peers:
            stranger = address.rsplit("/", 1)[-1]
            if stranger not in known:
                self._transport.book.learn(stranger, address, configured=False)

    def _hello(self) -> Hello:
        peers = [known.addresses[0] for known in self.known.values() if known.addresses]
        return Hello(
            network=self._network,
            roles=self._introduction.roles,  # type: ignore[arg-type]
            account=self._introduction.account,
            least_fee=self._introduction.least_fee(),
            addresses=self._transport.addresses[:8],
            peers=tuple(peers[:MAX_SHARED_PEERS]),
        )
