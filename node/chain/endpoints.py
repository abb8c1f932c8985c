# SPDX-License-Identifier: GPL-3.0-or-later
"""One chain through several RPC endpoints: the next one answers when one cannot, and none is believed alone.

An endpoint may be down, slow, behind, on another chain, or lie. So the head that is followed is one that two
endpoints have reached, and a block counts when those that have it agree on its hash: the majority, in a tie
the one that the operator lists first. Who disagrees is not asked for anything until it agrees again. An
endpoint that is behind by the wall clock holds nobody up. With a single endpoint its word is taken.

Addresses may hold access keys: an endpoint is named by its place in the list.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType

import structlog
import trio

from node.chain.records import BlockHeader, Json, hex_of, parse_header, parse_quantity
from node.chain.rpc import RpcClient
from protocol.errors import (
    ChainError,
    RevertedError,
    RpcDownError,
    RpcMalformedError,
    RpcRefusedError,
    RpcTimeoutError,
    WrongChainError,
)

LONGEST_RETRY_S = 30.0
"""Most seconds until an endpoint that failed is asked again while others answer."""
WRONG_CHAIN_RETRY_S = 60.0
LAG_BLOCKS = 3
LAG_S = 60
"""An endpoint is behind when its head is this many blocks below the best one, and older than this by the wall clock."""
FUTURE_S = 300
"""An endpoint whose head is this far ahead of the wall clock makes it up."""
NATURAL_FORK = 2
"""Depth below an endpoint's head from which on another hash is no matter of moments."""

log = structlog.get_logger("proofmesh.chain")


@dataclass(eq=False)
class Endpoint:
    """One RPC and what is known of it."""

    rpc: RpcClient
    name: str
    checked: bool = False
    disagrees: bool = False
    failures: int = 0
    retry_at: float = float("-inf")
    head: BlockHeader | None = None

    def well(self) -> None:
        """It has answered."""
        if self.retry_at > float("-inf"):
            log.info("RPC endpoint answers again", endpoint=self.name)
        self.failures = 0
        self.retry_at = float("-inf")

    def failed(self, error: ChainError, wait_s: float | None = None) -> None:
        """It has not answered as it should; asked again after a while, and then for its chain first."""
        if not self.failures:
            log.warning(
                "RPC endpoint fails, another is asked", endpoint=self.name, code=error.code, reason=error.message
            )
        self.failures += 1
        self.checked = False
        wait = min(LONGEST_RETRY_S, 2.0 ** min(self.failures - 1, 10)) if wait_s is None else wait_s
        self.retry_at = trio.current_time() + wait


@dataclass(frozen=True)
class Look:
    """The chain now: the head that can be followed, its time in seconds, the block at the height that was asked for."""

    head: BlockHeader
    time: int
    there: BlockHeader | None


@dataclass(frozen=True)
class _Seen:
    head: BlockHeader
    time: int
    there: BlockHeader | None


@dataclass
class Endpoints:
    """RPC endpoints of one chain, the most trusted first. Use as an async context manager."""

    clients: Sequence[RpcClient]
    chain_id: int | None = None
    ask_s: float = 5.0
    """How long several endpoints are waited for when all are asked."""
    wall_s: Callable[[], float] = time.time
    all: tuple[Endpoint, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.all = tuple(Endpoint(rpc, f"rpc {place}") for place, rpc in enumerate(self.clients, 1))

    async def __aenter__(self) -> Endpoints:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for endpoint in self.all:
            await endpoint.rpc.__aexit__(kind, error, trace)

    @property
    def several(self) -> bool:
        """Whether one can be compared with another."""
        return len(self.all) > 1

    def report(self) -> list[dict[str, object]]:
        """How each endpoint is, for an operator: by its place in the settings, never by its address."""
        return [
            {
                "name": endpoint.name,
                "head": None if endpoint.head is None else endpoint.head.number,
                "failures": endpoint.failures,
                "disagrees": endpoint.disagrees,
            }
            for endpoint in self.all
        ]

    # --- one answer from whoever can give it ----------------------------------------------

    async def call(self, method: str, *params: Json) -> Json:
        """Return the result of one method; errors as `RpcClient.call`."""
        return (await self.batch([(method, params)]))[0]

    async def batch(self, requests: Sequence[tuple[str, Sequence[Json]]]) -> list[Json]:
        """Return the results of several methods from one endpoint, the first that gives them all.

        A raw transaction is given to all of them: one that keeps it to itself must not keep it back.
        """
        if self.several and any(method == "eth_sendRawTransaction" for method, _ in requests):
            return await self._everywhere(requests)
        faults: list[ChainError] = []
        for endpoint in self.usable():
            try:
                await self._check(endpoint)
                answer = await endpoint.rpc.batch(requests)
            except RevertedError:
                endpoint.well()
                raise
            except ChainError as error:
                faults.append(error)
                self._note(endpoint, error)
            else:
                endpoint.well()
                return answer
        raise _most_telling(faults)

    async def _everywhere(self, requests: Sequence[tuple[str, Sequence[Json]]]) -> list[Json]:
        answers: list[list[Json]] = []
        faults: list[ChainError] = []

        async def ask(endpoint: Endpoint) -> None:
            answers.append(await endpoint.rpc.batch(requests))

        await self._of_each(self.usable(), ask, faults)
        if answers:
            return answers[0]
        raise _most_telling(faults)

    def usable(self) -> list[Endpoint]:
        """The endpoints to ask, best first: those that fail or are behind last, those that disagree never."""
        trusted = [endpoint for endpoint in self.all if not endpoint.disagrees]
        now = trio.current_time()
        ready = [endpoint for endpoint in trusted if endpoint.retry_at <= now] or trusted or list(self.all)
        behind = self._behind(ready)
        return sorted(
            ready, key=lambda endpoint: (endpoint.failures > 0 or endpoint in behind, self.all.index(endpoint))
        )

    # --- what they agree on ---------------------------------------------------------------

    async def look(self, number: int | None) -> Look | None:
        """Return the chain as it is now, in one round trip; None when there is no block yet.

        With several endpoints `there` is None unless all but one of those that answer could be wrong about it.
        """
        seen: dict[Endpoint, _Seen] = {}
        faults: list[ChainError] = []

        async def ask(endpoint: Endpoint) -> None:
            if (found := await _seen_by(endpoint.rpc, number)) is not None:
                self._require_plausible(found.head)
                endpoint.head = found.head
                seen[endpoint] = found

        await self._of_each(self._askable(), ask, faults)
        if not seen:
            if faults:
                raise _most_telling(faults)
            return None
        there = self._verdict({e: s.there for e, s in seen.items() if s.there is not None}, number or 0)
        quorum = self._quorum(seen)
        heads = sorted((seen[e].head for e in quorum), key=lambda head: head.number, reverse=True)
        times = sorted(seen[e].time for e in quorum)
        return Look(heads[min(1, len(heads) - 1)], times[(len(times) - 1) // 2], there)

    async def agreed(self, number: int, block_hash: bytes) -> bool:
        """Return whether the endpoints have this block, as far as more than one can be asked."""
        if not self.several:
            return True
        found: dict[Endpoint, BlockHeader] = {}
        faults: list[ChainError] = []

        async def ask(endpoint: Endpoint) -> None:
            block = await endpoint.rpc.call("eth_getBlockByNumber", hex_of(number), False)
            if block is not None:
                found[endpoint] = parse_header(block)

        await self._of_each(self._askable(), ask, faults)
        winner = self._verdict(found, number)
        return winner is not None and winner.hash == block_hash

    def _verdict(self, found: Mapping[Endpoint, BlockHeader], number: int) -> BlockHeader | None:
        """The header that most have, in a tie the one of the first; None while only one of several has any."""
        if not self.several:
            return next(iter(found.values()), None)
        voices = [endpoint for endpoint in self.all if endpoint in found]
        others = self._quorum({endpoint: None for endpoint in self.all if endpoint.failures == 0})
        if not voices or (len(voices) < 2 and len(set(others) | set(voices)) > 1):
            return None
        votes = Counter((found[e].hash, found[e].logs_bloom) for e in voices)
        best = max(votes.values())
        chosen = next(found[e] for e in voices if votes[found[e].hash, found[e].logs_bloom] == best)
        for endpoint in voices:
            self._judge(endpoint, found[endpoint].hash == chosen.hash, number)
        return chosen

    def _judge(self, endpoint: Endpoint, agrees: bool, number: int) -> None:
        if endpoint.disagrees == (not agrees):
            return
        endpoint.disagrees = not agrees
        deep = endpoint.head is not None and number + NATURAL_FORK <= endpoint.head.number
        say = log.error if deep and not agrees else log.debug if not agrees else log.info
        what = "RPC endpoint agrees again" if agrees else "RPC endpoint disagrees on a block and is not trusted"
        say(what, endpoint=endpoint.name, block=number)

    def _quorum(self, seen: Mapping[Endpoint, object]) -> list[Endpoint]:
        """Those whose head counts: trusted and not behind; all when that leaves none."""
        trusted = [endpoint for endpoint in self.all if endpoint in seen and not endpoint.disagrees]
        behind = self._behind(trusted)
        return [e for e in trusted if e not in behind] or trusted or [e for e in self.all if e in seen]

    def _behind(self, endpoints: Sequence[Endpoint]) -> set[Endpoint]:
        heads = {endpoint: endpoint.head for endpoint in endpoints}
        best = max((head.number for head in heads.values() if head is not None), default=0)
        fresh = self.wall_s() - LAG_S
        return {
            endpoint
            for endpoint, head in heads.items()
            if head is not None and head.number + LAG_BLOCKS < best and head.timestamp < fresh
        }

    def _require_plausible(self, head: BlockHeader) -> None:
        if self.several and head.timestamp > self.wall_s() + FUTURE_S:
            raise RpcMalformedError("The RPC's head lies in the future.")

    # --- asking ----------------------------------------------------------------------------

    def _askable(self) -> list[Endpoint]:
        now = trio.current_time()
        return [endpoint for endpoint in self.all if endpoint.retry_at <= now] or list(self.all)

    async def _of_each(
        self,
        endpoints: Sequence[Endpoint],
        ask: Callable[[Endpoint], Awaitable[None]],
        faults: list[ChainError],
    ) -> None:
        """Ask all at once; who does not answer in time has failed."""

        async def one(endpoint: Endpoint) -> None:
            try:
                with trio.fail_after(self.ask_s if self.several else float("inf")):
                    await self._check(endpoint)
                    await ask(endpoint)
            except trio.TooSlowError:
                self._note(endpoint, RpcTimeoutError(f"The RPC did not answer within {self.ask_s:g} s."), faults)
            except ChainError as error:
                self._note(endpoint, error, faults)
            else:
                endpoint.well()

        async with trio.open_nursery() as nursery:
            for endpoint in endpoints:
                nursery.start_soon(one, endpoint)

    async def _check(self, endpoint: Endpoint) -> None:
        """Ask for the chain's id, at first and after each failure: another chain may answer at the address now."""
        if endpoint.checked or self.chain_id is None:
            return
        found = parse_quantity(await endpoint.rpc.call("eth_chainId"), "chain id")
        if found != self.chain_id:
            raise WrongChainError(f"The RPC serves chain {found}, not {self.chain_id}.")
        endpoint.checked = True

    def _note(self, endpoint: Endpoint, error: ChainError, faults: list[ChainError] | None = None) -> None:
        if faults is not None:
            faults.append(error)
        # A refusal is about the request: the endpoint is well, and another may have other limits.
        if isinstance(error, RpcRefusedError):
            return
        if not self.several:
            endpoint.failures += 1
            endpoint.checked = False
        else:
            endpoint.failed(error, WRONG_CHAIN_RETRY_S if isinstance(error, WrongChainError) else None)


async def _seen_by(rpc: RpcClient, number: int | None) -> _Seen | None:
    tags = ["latest", "pending", *([] if number is None else [hex_of(number)])]
    latest, pending, *there = await rpc.batch([("eth_getBlockByNumber", (tag, False)) for tag in tags])
    if latest is None:
        return None
    head = parse_header(latest)
    # The pending block's time is what a transaction sent now would see.
    moment = head if pending is None else parse_header(pending, pending=True)
    found = parse_header(there[0]) if there and there[0] is not None else None
    return _Seen(head, moment.timestamp, found)


def _most_telling(faults: Sequence[ChainError]) -> ChainError:
    """Of several endpoints' errors the one about the request, else about the line, else about the chain."""
    ranks = (RpcRefusedError, (RpcDownError, RpcTimeoutError), ChainError)
    return next(error for rank in ranks for error in faults if isinstance(error, rank))
