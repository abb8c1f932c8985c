# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain as nodes meet it: a mempool, blocks at fixed intervals, reorganisations, confirmations.

Only blocks with transactions are simulated. A reorganisation takes the newest blocks away; what was in
them goes back to the mempool or is forgotten. Nodes look at the chain by themselves (`shell.catch_up`):
here they are told that there is something to see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Protocol

from market.events import ChainExpired, ChainLocked, ChainReleased, ChainSettled, JobEvent
from sims.chain import SECOND, Entry, Escrow, Expired, Lock, Locked, Moved, Paid, Released, Reverted, Settlement
from sims.network import Network
from sims.scenario import Rates
from sims.world import Draw, World

Call = Callable[[Escrow, int], object]
"""What a transaction does, at the block's second; raises `Reverted`."""


@dataclass(slots=True, eq=False)
class Transaction:
    """A signed transaction."""

    number: int
    sender: bytes
    node: int
    what: str
    call: Call
    fee: int
    """The most it pays per gas, in wei."""
    settlement: Settlement | None = None
    """What it settles, for those who look into the mempool."""
    pooled: bool = False
    mined_in: int | None = None
    reason: str = ""
    """Why it reverted in its block; empty when it did not."""

    @property
    def hash(self) -> bytes:
        """The number's hash stands for the transaction's."""
        return sha256(f"transaction {self.number}".encode()).digest()


@dataclass(slots=True, eq=False)
class Block:
    """A block that is or was part of the chain; another block at its height is another object."""

    number: int
    at: int
    """Its timestamp, in nanoseconds."""
    before: tuple[object, ...]
    slashed_before: int
    mined: list[Transaction] = field(default_factory=list)
    events: list[JobEvent] = field(default_factory=list)


class Follower(Protocol):
    """Who looks at the chain."""

    def chain_moved(self) -> None:
        """There is something to see."""


@dataclass(frozen=True, slots=True)
class Slash:
    """Collateral that a prover lost. Instants in nanoseconds."""

    prover: bytes
    order_hash: bytes
    locked_at: int
    promise_at: int
    at: int


class Chain:
    """One Escrow behind a mempool."""

    def __init__(
        self,
        world: World,
        network: Network,
        escrow: Escrow,
        rates: Rates,
        *,
        block_seconds: int,
        confirmations: int,
        gas_price: int,
    ) -> None:
        self.escrow = escrow
        self.blocks: list[Block] = []
        self.reverts: dict[str, int] = {}
        self.slashes: list[Slash] = []
        self.gas_price = gas_price
        self.censored: dict[bytes, int] = {}
        """account -> how many censorships of it are going on."""
        self.rates = rates
        self.pool: list[Transaction] = []
        self.watchers: list[Callable[[Transaction], None]] = []
        self.interval = block_seconds * SECOND
        self.confirmations = confirmations
        self.locked_at: dict[bytes, int] = {}
        self.locked_by: dict[bytes, bytes] = {}
        self._world = world
        self._network = network
        self._draw = Draw(world.seed, "blocks")
        self._planned = False
        self._followers: Sequence[Follower] = ()
        self._sent = 0

    def follow(self, followers: Sequence[Follower]) -> None:
        """Tell these whenever there is something to see."""
        self._followers = followers

    @property
    def head(self) -> int:
        """The number of the newest block."""
        return self._world.now // self.interval

    def confirmed(self) -> int:
        """Return how many of `blocks` are as deep as the confirmations ask."""
        newest = self.head - self.confirmations + 1
        count = len(self.blocks)
        while count and self.blocks[count - 1].number > newest:
            count -= 1
        return count

    def deep(self, number: int) -> bool:
        """Return whether a block is as deep as the confirmations ask."""
        return number <= self.head - self.confirmations + 1

    # --- transactions --------------------------------------------------------------------

    def sign(
        self,
        sender: bytes,
        node: int,
        what: str,
        call: Call,
        fee: int,
        settlement: Settlement | None = None,
    ) -> Transaction:
        """Return a new transaction; it is not sent yet."""
        self._sent += 1
        return Transaction(self._sent, sender, node, what, call, fee, settlement)

    def refusal(self, call: Call) -> str:
        """Return why a transaction would revert now, empty when it would not: the preflight."""
        before, version = self.escrow.snapshot(), self.escrow.version
        try:
            call(self.escrow, self._world.now // SECOND)
        except Reverted as error:
            return error.reason
        finally:
            self.escrow.restore(before)
            self.escrow.version = version
        return ""

    def broadcast(self, transaction: Transaction) -> None:
        """Send a transaction to the mempool; again when it is not there any more."""
        self._world.after(self._network.latency(), lambda: self._accept(transaction))

    def _accept(self, transaction: Transaction) -> None:
        if transaction.pooled or transaction.mined_in is not None:
            return
        if self._draw.chance(self.rates.dropped):
            self._world.fault("dropped transaction")
            return
        transaction.pooled = True
        self.pool.append(transaction)
        for watcher in self.watchers:
            watcher(transaction)
        self._plan()

    def _plan(self) -> None:
        if not self._planned:
            self._planned = True
            self._world.at((self.head + 1) * self.interval, self._block)

    def _block(self) -> None:
        self._planned = False
        ready = [tx for tx in self.pool if self._includes(tx)]
        if ready:
            self.pool = [tx for tx in self.pool if tx not in ready]
            block = Block(self.head, self._world.now, self.escrow.snapshot(), len(self.slashes))
            self.blocks.append(block)
            while ready:
                self._execute(ready.pop(self._draw.below(len(ready))), block)
            if block.events:
                self._announce(block)
        if self.pool:
            self._plan()

    def _includes(self, transaction: Transaction) -> bool:
        if self.censored.get(transaction.sender):
            self._world.fault("censored transaction")
            return False
        if transaction.fee < self.gas_price:
            self._world.fault("underpriced transaction")
            return False
        return True

    def _execute(self, transaction: Transaction, block: Block) -> None:
        transaction.pooled, transaction.mined_in, transaction.reason = False, block.number, ""
        block.mined.append(transaction)
        done = len(self.escrow.log)
        try:
            transaction.call(self.escrow, block.at // SECOND)
        except Reverted as error:
            transaction.reason = error.reason
            self.reverts[error.reason] = self.reverts.get(error.reason, 0) + 1
            self._world.note(f"chain reverts {error.reason} of {transaction.node} {transaction.what}")
            return
        for entry in self.escrow.log[done:]:
            event = self._event(entry, transaction, block)
            if event is not None:
                block.events.append(event)
                self._world.note(f"chain {type(event).__name__} {event.order_hash.hex()[:12]}")

    def _announce(self, block: Block) -> None:
        deep = (block.number + self.confirmations - 1) * self.interval
        for follower in self._followers:
            self._world.at(deep + self._network.latency(), follower.chain_moved)

    # --- reorganisations -----------------------------------------------------------------

    def reorganise(self, depth: int, forgets_ppm: int) -> None:
        """Replace the newest blocks: their transactions wait again, or are forgotten."""
        oldest = self.head - depth + 1
        undone = [block for block in self.blocks if block.number >= oldest]
        self._world.note(f"chain replaces {depth} blocks, {len(undone)} of them with transactions")
        if not undone:
            return
        self._world.fault("reorganisation")
        if depth >= self.confirmations:
            self._world.fault("reorganisation of confirmed blocks")
        self.blocks = self.blocks[: len(self.blocks) - len(undone)]
        self.escrow.restore(undone[0].before)
        del self.slashes[undone[0].slashed_before :]
        for transaction in [tx for block in undone for tx in block.mined]:
            transaction.mined_in, transaction.reason = None, ""
            if self._draw.chance(forgets_ppm):
                self._world.fault("forgotten transaction")
            else:
                transaction.pooled = True
                self.pool.append(transaction)
        if self.pool:
            self._plan()
        for follower in self._followers:
            self._world.after(self._network.latency(), follower.chain_moved)

    # --- events --------------------------------------------------------------------------

    def _event(self, entry: Entry, transaction: Transaction, block: Block) -> JobEvent | None:
        match entry:
            case Paid():
                award, order = entry.settlement.award, entry.settlement.order
                if entry.slashed is not None and order.collateral:
                    self._slash(entry.slashed, entry.order_hash, entry.promise_missed)
                return ChainSettled(
                    block.at,
                    entry.order_hash,
                    transaction_hash=transaction.hash,
                    prover=award.prover,
                    payout=award.payout,
                    settler=entry.fee_to,
                    price=award.price,
                    fee=order.verifier_fee,
                )
            case Locked():
                return self._locked(entry.order_hash, entry.lock, block)
            case Released():
                if entry.lock.order.collateral:
                    self._slash(entry.lock.award.prover, entry.order_hash, entry.lock.award.promise_at)
                return ChainReleased(block.at, entry.order_hash, entry.lock.award.prover)
            case Expired():
                if entry.lock.order.collateral:
                    award = entry.lock.award
                    self._slash(award.prover, entry.order_hash, award.promise_at)
                return ChainExpired(block.at, entry.order_hash, transaction.hash)
            case Moved():
                return None

    def _locked(self, order_hash: bytes, lock: Lock, block: Block) -> ChainLocked:
        award = lock.award
        self.locked_at[order_hash] = block.at
        self.locked_by[order_hash] = award.prover
        return ChainLocked(block.at, order_hash, lock.award_hash, award.prover, award.promise_at, award.price)

    def _slash(self, prover: bytes, order_hash: bytes, promise_at: int) -> None:
        now = self._world.now
        self.slashes.append(Slash(prover, order_hash, self.locked_at[order_hash], promise_at * SECOND, now))
