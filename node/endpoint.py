# SPDX-License-Identifier: GPL-3.0-or-later
"""Market messages over request/response streams: decode, check the network, hand over, answer.

Every request is answered by an `Acknowledgement` (understood and stored) or a `Refusal` with a code.
A message that cannot be decoded, or that belongs to another network, costs the peer score. Each peer has a
rate for each kind of message, over which it is refused before any signature is checked; and so has what this
node refuses unasked, so that nobody can make it sign and dial without end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
import trio

from market import refusals
from node.net import Transport
from node.net.limits import Rate, TokenBuckets
from protocol import codec
from protocol.errors import (
    Misbehaviour,
    ProofmeshError,
    SignatureError,
    UnknownMessageError,
    WireError,
    WrongNetworkError,
)
from protocol.hashing import keccak256
from protocol.messages import SIZE_CAPS, Acknowledgement, Message, Refusal
from protocol.scalars import ZERO_HASH
from protocol.structs import Network, RefusalTerms

MARKET_PROTOCOL = "/proofmesh/1/market"
REQUEST_SECONDS = 10.0

KIND_RATES: dict[str, Rate] = {
    "hello": Rate(per_second=2, burst=20),
    "bid": Rate(per_second=10, burst=200),
    "award": Rate(per_second=10, burst=200),
    "sealed_input": Rate(per_second=5, burst=100),
    "proof": Rate(per_second=20, burst=200),
    "settlement": Rate(per_second=20, burst=200),
    "refusal": Rate(per_second=5, burst=100),
}
"""Messages of a kind that one peer may send; other kinds are answers and no requests."""
REFUSALS_TO_ONE = Rate(per_second=2, burst=40)
REFUSALS_TO_ALL = Rate(per_second=20, burst=200)
TRACKED_BUCKETS = 16_384
OVER_RATE_WEIGHT = 1.0

M = TypeVar("M", bound=Message)
Handler = Callable[[str, M], Awaitable[Message | None]]

log = structlog.get_logger("proofmesh.endpoint")


class RefusedError(ProofmeshError):
    """The peer answered with a refusal."""

    code = "PM-NODE-001"
    remedy = "See the code of the refusal."

    def __init__(self, code: str) -> None:
        super().__init__(refusals.explain(code))
        self.refusal_code = code


class MarketEndpoint:
    """Sends market messages to peers, and routes theirs to this node's roles."""

    def __init__(self, network: Network, transport: Transport) -> None:
        self._network = network
        self._transport = transport
        self._handlers: dict[type[Message], list[Handler[Message]]] = {}
        self._buckets = TokenBuckets(TRACKED_BUCKETS)
        transport.add_handler(MARKET_PROTOCOL, self._serve, max(SIZE_CAPS.values()), REQUEST_SECONDS)

    def on(self, kind: type[M], handler: Handler[M]) -> None:
        """Route messages of a kind; a handler returns an answer, or None for an acknowledgement.

        Several roles of one node may take the same kind; each is called.
        """
        self._handlers.setdefault(kind, []).append(handler)  # type: ignore[arg-type]

    async def send(self, peer: str, message: Message) -> Message:
        """Send a request and return the answer.

        Raises:
            RefusedError: the peer refused.
            ProofmeshError: it cannot be reached, or answered nonsense.
        """
        data = codec.encode(message)
        answer = codec.decode(
            await self._transport.request(
                peer, MARKET_PROTOCOL, data, max_response=SIZE_CAPS["hello"], timeout=REQUEST_SECONDS
            )
        )
        if answer.network != self._network:
            raise WrongNetworkError("The peer answers for another network.")
        if isinstance(answer, Refusal):
            raise RefusedError(answer.terms.code)
        return answer

    def may_refuse(self, peer: str) -> bool:
        """Say whether a refusal that nobody waits for may go to a peer now; it counts as sent."""
        now, name = trio.current_time(), peer.rsplit("/", 1)[-1]
        return self._buckets.take(("refused", name), REFUSALS_TO_ONE, now) and self._buckets.take(
            "refused", REFUSALS_TO_ALL, now
        )

    async def _serve(self, peer: str, data: bytes) -> bytes:
        try:
            message = codec.decode(data)
            if message.network != self._network:
                raise WrongNetworkError("The message belongs to another network.")
            handlers = self._handlers.get(type(message), ())
            if not handlers or message.kind not in KIND_RATES:
                raise UnknownMessageError(f"This node takes no message of kind {message.kind}.")
        except WireError as error:
            log.info("message refused", peer=peer, code=error.code)
            self._transport.penalise(peer, error.code, 5)
            return codec.encode(self._refusal(error.code, ZERO_HASH))
        if not self._buckets.take((peer, message.kind), KIND_RATES[message.kind], trio.current_time()):
            self._transport.penalise(peer, f"{message.kind} over its rate", OVER_RATE_WEIGHT)
            return codec.encode(self._refusal(refusals.RATE_LIMITED, ZERO_HASH))
        answer: Message | None = None
        try:
            for handler in handlers:
                answer = await handler(peer, message) or answer
        except SignatureError as error:
            raise Misbehaviour(error.code) from error
        except ProofmeshError as error:
            code = error.refusal_code if isinstance(error, RefusedError) else error.code
            log.info("request refused", peer=peer, kind=message.kind, code=code)
            return codec.encode(self._refusal(code, ZERO_HASH))
        if answer is None:
            answer = Acknowledgement(network=self._network, request_hash=keccak256(data))
        return codec.encode(answer)

    def _refusal(self, code: str, order_hash: bytes) -> Refusal:
        terms = RefusalTerms(order_hash=order_hash, prover=bytes(20), code=code, quote=0, issued_at=0)
        return Refusal(network=self._network, terms=terms, signature=None)
