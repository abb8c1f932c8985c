# SPDX-License-Identifier: GPL-3.0-or-later
"""Follows the chain block by block, and takes blocks back when the chain does.

It keeps a window of handled blocks. When the chain's block at the tip's height is another one, the tip
is undone, and so on down to a common block; then the new blocks come. Logs are fetched by block hash,
so they belong to exactly the block that is reported. With several endpoints a block counts, and another is
undone for it, when they agree (endpoints.py). A shorter chain that agrees with the window is
only late (RPCs behind a balancer differ by a block) and undoes nothing.

Delivery is at least once: the cursor moves after blocks are handled, so after a crash up to one batch
comes again. A handler tells by block hash.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
import trio

from node.chain.client import ChainClient
from node.chain.clock import ChainClock
from node.chain.records import BlockHeader
from node.chain.store import Block, BlockStore
from protocol.errors import ChainError, ReorgTooDeepError, WrongChainError

BATCH = 32
WINDOW = 256
_LONGEST_BACKOFF_S = 15.0

_log = structlog.get_logger("proofmesh.chain")


@dataclass(frozen=True)
class Undone:
    """A block, with its logs, that is no longer part of the chain."""

    block: Block


Handler = Callable[[Block | Undone], Awaitable[None]]


class Follower:
    """One view of the chain; `run` it in a nursery."""

    def __init__(
        self,
        client: ChainClient,
        addresses: Sequence[bytes],
        store: BlockStore,
        *,
        chain_id: int,
        start_block: int = 0,
        poll_s: float = 1.0,
        clock: ChainClock | None = None,
        topics: Sequence[bytes] = (),
    ) -> None:
        self._client = client
        self._addresses = tuple(addresses)
        self._topics = tuple(topics)
        self._store = store
        self._chain_id = chain_id
        self._start = start_block
        self._poll_s = poll_s
        self._clock = clock
        self._window = store.load()
        self._heard = False

    @property
    def tip(self) -> Block | None:
        """The newest block that was handled."""
        return self._window[-1] if self._window else None

    async def run(self, handle: Handler) -> None:
        """Follow for ever; an RPC that is down or confused is asked again with backoff.

        Raises:
            WrongChainError: the RPC serves another chain.
            ReorgTooDeepError: the chain replaced more than the window.
        """
        failures = 0
        while True:
            try:
                more = await self.step(handle)
            except (WrongChainError, ReorgTooDeepError):
                raise
            except ChainError as error:
                if failures == 0:
                    _log.warning("chain not reachable, trying again", code=error.code, reason=error.message)
                failures += 1
                self._heard = False
                await trio.sleep(min(self._poll_s * 2 ** min(failures, 10), _LONGEST_BACKOFF_S))
                continue
            if failures:
                _log.info("chain reachable again")
                failures = 0
            if not more:
                await trio.sleep(self._poll_s)

    async def step(self, handle: Handler) -> bool:
        """Take one look: undo, or handle up to `BATCH` new blocks; tell whether there is more to do."""
        if not self._heard:
            # After an outage another chain may answer at the same address.
            await self._client.require_chain(self._chain_id)
            self._heard = True
        # One round trip a look: a node takes many looks that show nothing new.
        look = await self._client.rpc.look(self.tip.number if self.tip else None)
        if look is None:
            return False
        head = look.head
        if self._clock is not None:
            self._clock.observe(look.time)
        if undone := self._replaced(head, look.there):
            if head.number < undone.number and not await self._client.rpc.agreed(head.number, head.hash):
                return False
            if len(self._window) == 1 and undone.number > self._start:
                raise ReorgTooDeepError(f"Block {undone.number} and all known before it were replaced.")
            await handle(Undone(undone))
            self._store.save([undone], [])
            self._window.pop()
            return True
        next_number = self.tip.number + 1 if self.tip else self._start
        numbers = range(next_number, min(head.number, next_number + BATCH - 1) + 1)
        blocks = await self._fetch(numbers)
        for block in blocks:
            await handle(block)
        self._store.save([], blocks)
        self._window = (self._window + blocks)[-self._store.window :]
        return bool(blocks) and blocks[-1].number < head.number

    def _replaced(self, head: BlockHeader, there: BlockHeader | None) -> Block | None:
        """Return the tip if the chain has another block (`there`) in its place."""
        tip = self.tip
        if tip is None:
            return None
        if head.number >= tip.number:
            return tip if there is not None and there.hash != tip.hash else None
        known = next((block for block in self._window if block.number == head.number), None)
        # A head older than the window tells nothing by its hash: it is another, shorter chain.
        return None if known is not None and known.hash == head.hash else tip

    async def _fetch(self, numbers: range) -> list[Block]:
        """Return the blocks that continue the tip; fewer when the chain changed while being read."""
        headers = []
        parent = self.tip.hash if self.tip else None
        for header in await self._client.headers(numbers):
            if header is None or (parent is not None and header.parent != parent):
                break
            headers.append(header)
            parent = header.hash
        if headers and not await self._client.rpc.agreed(headers[-1].number, headers[-1].hash):
            return []
        found = await self._client.logs(headers, self._addresses, self._topics)
        return [
            Block(header.number, header.hash, header.parent, header.timestamp, logs)
            for header, logs in zip(headers, found, strict=True)
        ]
