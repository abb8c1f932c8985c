# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes introduce themselves: roles, account, least fee, addresses, and a few peers they know.

A prover learns its verifiers here, and everybody learns more peers. What a peer says of its account is
signed by that account for this peer and this hour; what it says of other peers is hearsay that dialling
proves or not. A client names no account: its peer id links to no history.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
import trio

from node.endpoint import MarketEndpoint
from node.net import Transport
from protocol.eip712 import addresses_hash
from protocol.errors import ProofmeshError, SignatureError
from protocol.messages import Hello, Message
from protocol.scalars import ZERO_ADDRESS
from protocol.signing import Account, require_signed_by
from protocol.structs import Introduction, Network

LOOK_SECONDS = 0.5
"""How often new connections are looked for."""
RENEW_SECONDS = 5.0
"""How often known peers are greeted again."""
MAX_SHARED_PEERS = 32
CLOCK_SKEW = 60
"""Seconds that an introduction may come from the future."""
LONGEST_LIFE = 600
"""Seconds that an introduction may hold."""
FORGED_WEIGHT = 25.0

log = structlog.get_logger("proofmesh.greeting")


@dataclass(frozen=True, slots=True)
class Profile:
    """What this node says of itself; `account` signs it, None says nothing of an account."""

    roles: tuple[str, ...]
    account: Account | None
    least_fee: Callable[[], int]


class Greeter:
    """Greets every peer once it is connected, and keeps what the peers said."""

    def __init__(
        self,
        network: Network,
        transport: Transport,
        endpoint: MarketEndpoint,
        profile: Profile,
        seconds: Callable[[], int],
        heard: Callable[[str, Hello], None],
        gone: Callable[[str, Hello], None],
    ) -> None:
        """`seconds` is chain time; `heard` and `gone` are told what the roles need to know."""
        self._network = network
        self._transport = transport
        self._endpoint = endpoint
        self._profile = profile
        self._seconds = seconds
        self._heard = heard
        self._gone = gone
        self.known: dict[str, Hello] = {}
        self._greeted: dict[str, float] = {}
        self._own: Hello | None = None
        endpoint.on(Hello, self._answer)

    async def run(self) -> None:
        """Greet peers as they connect, until cancelled."""
        while True:
            connected = {peer.peer for peer in self._transport.peers() if peer.connected}
            now = self._seconds()
            for peer in [p for p, hello in self.known.items() if p not in connected or hello.expires_at < now]:
                self._gone(peer, self.known.pop(peer))
            self._greeted = {p: at for p, at in self._greeted.items() if p in connected}
            due = [p for p in sorted(connected) if self._greeted.get(p, -1e9) + RENEW_SECONDS < trio.current_time()]
            async with trio.open_nursery() as nursery:
                for peer in due:
                    nursery.start_soon(self._greet, peer)
            await trio.sleep(LOOK_SECONDS)

    async def account_of(self, peer: str) -> bytes | None:
        """Return the account that signed for a connected peer; one that was not met yet is greeted first.

        None: it names no account, or did not answer.
        """
        if peer not in self.known:
            await self._greet(peer)
        hello = self.known.get(peer)
        return hello.account if hello is not None and hello.signature is not None else None

    async def _greet(self, peer: str) -> None:
        self._greeted[peer] = trio.current_time()
        try:
            answer = await self._endpoint.send(peer, self.hello())
            if isinstance(answer, Hello):
                self._take(peer, answer)
        except SignatureError as error:
            self._transport.penalise(peer, f"hello: {error.code}", FORGED_WEIGHT)
        except ProofmeshError as error:
            log.debug("hello not answered", peer=peer, code=error.code)
            self._greeted[peer] = trio.current_time() - RENEW_SECONDS + 2 * LOOK_SECONDS

    async def _answer(self, peer: str, message: Hello) -> Message:
        self._take(peer, message)
        return self.hello()

    def _take(self, peer: str, message: Hello) -> None:
        """Believe a hello, or not.

        Raises:
            SignatureError: the account that it names did not sign it for this peer.
        """
        known = self.known.get(peer)
        if known is None or _signed(known, peer) != _signed(message, peer):
            if not _of_this_time(message, self._seconds()):
                log.debug("hello is not of this time", peer=peer)
                return
            if message.signature is not None:
                terms = message.introduction(peer)
                require_signed_by(message.account, self._network, terms, message.signature)
        self.known[peer] = message
        if known is None or _substance(known) != _substance(message):
            log.info("peer introduced", peer=peer, roles=list(message.roles))
            self._heard(peer, message)
        for address in message.addresses[:1]:  # also of a renewal: the host that it comes from may be known only now
            self._transport.introduced(peer, address)
        for address in message.peers[:MAX_SHARED_PEERS]:
            self._transport.hear_of(address, peer)

    def hello(self) -> Hello:
        """Return what this node says of itself now; signed again when it changed or is half over."""
        shared = self._transport.peers_to_share(MAX_SHARED_PEERS)
        own, now = self._own, self._seconds()
        said = (self._profile.roles, self._profile.least_fee(), self._transport.addresses[:8])
        if own is None or (own.roles, own.least_fee, own.addresses) != said or own.expires_at < now + LONGEST_LIFE // 2:
            own = self._own = self._signed_hello(now)
        return Hello.model_validate({**_fields(own), "peers": shared})

    def _signed_hello(self, now: int) -> Hello:
        account = self._profile.account
        terms = Introduction(
            peer=self._transport.peer_id,
            roles=",".join(self._profile.roles),
            least_fee=self._profile.least_fee(),
            addresses_hash=addresses_hash(self._transport.addresses[:8]),
            issued_at=now,
            expires_at=now + LONGEST_LIFE,
        )
        return Hello(
            network=self._network,
            roles=self._profile.roles,  # type: ignore[arg-type]
            account=account.address if account else ZERO_ADDRESS,
            least_fee=terms.least_fee,
            addresses=self._transport.addresses[:8],
            peers=(),
            issued_at=terms.issued_at,
            expires_at=terms.expires_at,
            signature=account.sign(self._network, terms) if account else None,
        )


def _of_this_time(message: Hello, now: int) -> bool:
    return message.issued_at <= now + CLOCK_SKEW and now <= message.expires_at <= message.issued_at + LONGEST_LIFE


def _signed(message: Hello, peer: str) -> tuple[object, ...]:
    return message.account, message.signature, message.introduction(peer)


def _substance(message: Hello) -> tuple[object, ...]:
    """What the roles care about: not the times of a renewal, nor the peers."""
    return message.roles, message.account, message.least_fee, message.addresses


def _fields(message: Hello) -> dict[str, object]:
    return {name: getattr(message, name) for name in Hello.model_fields}
