# SPDX-License-Identifier: GPL-3.0-or-later
"""The shell of a simulated node: journal an event, apply it, then act; dies between any two of these.

As in the daemon, an event and its effects are one record on disk before anything is done. An effect stays in
the outbox until the event that it led to is journalled; what is left there is performed again after a restart,
so each is performed at least once. What is not on disk is lost with the process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from market import client, prover, verifier
from market.effects import Effect, Report, SendRefusal, Unexpected
from market.events import ChainLocked, ChainUndone, Event, JobEvent, Tick
from market.snapshot import decode_state, encode_state
from market.wanted import STOPPABLE, wanted
from protocol.messages import Message, Refusal
from protocol.structs import RefusalTerms
from sims.blocks import Block, Chain
from sims.coverage import Coverage
from sims.disk import Disk, Record
from sims.errors import SafetyViolationError
from sims.network import Network
from sims.scenario import Clock, Rates
from sims.tokens import NETWORK, account_of, signature_token, statement_hash
from sims.world import EPOCH, MILLION, Draw, World

S = TypeVar("S", client.State, prover.State, verifier.State)
MAX_TICKS = 8
"""Ticks that may be due at one instant; a machine that wants more has a loop."""
ATTEMPTS = 10
"""How often an effect is tried that no machine waits for."""
FIRST_BACKOFF, LONGEST_BACKOFF = 500_000_000, 30 * 10**9
"""Between two tries of an effect, in nanoseconds."""
PROMPT = 2_000_000
"""Most nanoseconds until an effect is begun."""
LARGEST_DRIFT = 2_500_000_000
"""Blocks tell the time: a clock is never further off than this, in nanoseconds."""
STEPS = ("before journal", "torn record", "after journal", "after apply", "before effect", "after effect")
"""Where a node can die."""


class Crashed(Exception):
    """The process is gone; nothing after this happens."""


@dataclass(frozen=True, slots=True)
class Machine(Generic[S]):
    """The two functions of a role."""

    role: str
    transition: Callable[[S, Event], tuple[S, tuple[Effect, ...]]]
    next_deadline: Callable[[S], int | None]


@dataclass(slots=True)
class Surroundings:
    """What every node shares."""

    world: World
    network: Network
    chain: Chain
    rates: Rates
    coverage: Coverage = field(default_factory=Coverage)
    healed: bool = False
    went_down: Callable[[int], None] = lambda index: None
    """Called with the index of a node that died."""
    came_up: Callable[[int], None] = lambda index: None
    awarded: Callable[[int], None] = lambda index: None
    """Called with the index of an honest prover that was awarded an order."""


class Shell(Generic[S]):
    """One node. Subclasses turn messages into events, and effects into messages, work and transactions."""

    honest = True

    def __init__(
        self, index: int, name: str, around: Surroundings, machine: Machine[S], initial: S, clock: Clock
    ) -> None:
        self.index = index
        self.account = account_of(name)
        self.peer = str(index)
        self.alive = True
        self.downs: list[tuple[int, int]] = []
        """(from, to) of every time that it was down."""
        self.outages: list[tuple[int, int]] = []
        """(from, to) of every time that its RPC did not answer."""
        self.rpc_out = 0
        self.life = 0
        self.state: S = initial
        self.around = around
        self.disk = Disk()
        self.crash_at: dict[int, int] = {}
        """Step of the shell -> how long it is down after dying there, in nanoseconds."""
        self.steps = 0
        self.largest_outbox = 0
        self.draw = Draw(around.world.seed, f"{machine.role} {index}")
        self.machine: Machine[S] = machine
        self._initial: S = initial
        self._durable: S = initial
        self._clock = clock
        self._armed: int | None = None
        self._looked = True
        """Whether this life of the node has seen the chain."""

    # --- time ----------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Chain time as this node believes it, in nanoseconds."""
        world = self.around.world
        if self.around.healed:
            return world.now
        drift = self._clock.offset_ms * 10**6 + (world.now - EPOCH) * self._clock.drift_ppm // MILLION
        return world.now + max(-LARGEST_DRIFT, min(LARGEST_DRIFT, drift))

    def later(self, delay: int, action: Callable[[], None]) -> None:
        """Do something after a delay, unless the node dies before."""
        life = self.life

        def due() -> None:
            if self.alive and self.life == life:
                self.guarded(action)

        self.around.world.after(delay, due)

    def arm(self) -> None:
        """Plan the machine's next tick."""
        deadline = self.machine.next_deadline(self.state)
        if deadline is None or (self._armed is not None and self._armed <= deadline):
            return
        self._armed = deadline
        life = self.life
        wait = max(0, deadline - self.now)
        self.around.world.after(wait, lambda: self._ring(deadline, life))

    def rearm(self) -> None:
        """Plan the next tick anew: the clock was set."""
        self._armed = None
        if self.alive:
            self.arm()

    def _ring(self, planned: int, life: int) -> None:
        if self._armed != planned or not self.alive or life != self.life:
            return
        self._armed = None
        self.guarded(self._tick)

    def _tick(self) -> None:
        for _ in range(MAX_TICKS):
            deadline = self.machine.next_deadline(self.state)
            if deadline is None or deadline > self.now:
                self.arm()
                return
            self.feed(Tick(self.now))
            self._armed = None
        raise SafetyViolationError(f"SIM-12: {self.machine.role} {self.index} asks for ticks without end.")

    # --- journal, apply, act -------------------------------------------------------------

    def feed(self, event: Event, finishes: tuple[int, ...] = ()) -> tuple[Effect, ...]:
        """Journal an event with its effects, apply it, begin the effects and return them."""
        self.around.coverage.event(self.machine.role, self.state, event)
        state, effects = self.machine.transition(self.state, event)
        self.around.world.note(_line(self, event, effects))
        lasting = [effect for effect in effects if not isinstance(effect, (Report, Unexpected))]
        if not lasting and not finishes and (state is self.state or state == self.state):
            return effects
        self.step("before journal")
        record = Record(event, self.disk.number(lasting), finishes)
        try:
            self.step("torn record")
        except Crashed:
            self.disk.append(Record(event, record.effects, finishes, torn=True))
            raise
        self.disk.append(record)
        self._durable = state
        self.step("after journal")
        self.state = state
        self.step("after apply")
        self.largest_outbox = max(self.largest_outbox, len(self.disk.outbox))
        for effect_id, _ in record.effects:
            self.later(self.draw.below(PROMPT), self._acting(effect_id, 0))
        self.fed(event)
        self.arm()
        return effects

    def fed(self, event: Event) -> None:
        """Look at the state after an event; for what a node counts."""

    def _acting(self, effect_id: int, attempt: int) -> Callable[[], None]:
        return lambda: self._act(effect_id, attempt)

    def _act(self, effect_id: int, attempt: int) -> None:
        effect = self.disk.outbox.get(effect_id)
        if effect is None:
            return
        if isinstance(effect, STOPPABLE) and not wanted(self.state, effect):
            self.disk.outbox.pop(effect_id, None)
            return
        self.step("before effect")
        ended = False

        def done(*events: Event) -> None:
            nonlocal ended
            if ended:
                return
            ended = True
            self.step("after effect")
            if not events:
                self.disk.outbox.pop(effect_id, None)
            for position, event in enumerate(events):
                self.feed(event, (effect_id,) if position == 0 else ())

        def failed() -> None:
            nonlocal ended
            if ended:
                return
            ended = True
            if attempt + 1 < ATTEMPTS or wanted(self.state, effect):
                wait = min(LONGEST_BACKOFF, FIRST_BACKOFF << min(attempt, 8))
                self.later(wait, self._acting(effect_id, attempt + 1))
            else:
                self.disk.outbox.pop(effect_id, None)

        self.perform(effect, done, failed)

    def perform(self, effect: Effect, done: Callable[..., None], failed: Callable[[], None]) -> None:
        """Do what the machine asks for; `done` gets the events that it led to, `failed` asks for a retry."""
        raise NotImplementedError

    # --- life and death ------------------------------------------------------------------

    def step(self, where: str) -> None:
        """Pass one point at which a node can die."""
        self.steps += 1
        down = self.crash_at.get(self.steps)
        if down is not None and not self.around.healed:
            self.around.world.fault(f"crash {where}")
            self.die(down)
            raise Crashed

    def guarded(self, action: Callable[[], None]) -> None:
        """Do something that the node may die of."""
        try:
            action()
        except Crashed:
            return

    def die(self, duration: int) -> None:
        """Stop for a while: what is on disk stays, everything else is lost."""
        self.alive = False
        self.life += 1
        now = self.around.world.now
        self.downs.append((now, now + duration))
        self.around.world.note(f"{self.index} dies")
        self.around.went_down(self.index)
        life = self.life
        self.around.world.after(duration, lambda: self.revive() if self.life == life else None)

    def revive(self) -> None:
        """Come back: replay the journal, look at the chain, then perform what was left over."""
        if self.alive:
            return
        self.alive = True
        self.downs[-1] = (self.downs[-1][0], self.around.world.now)
        self.around.world.note(f"{self.index} revives")
        self._replay()
        self._armed = None
        self.guarded(self._resume)
        self.around.came_up(self.index)

    def _replay(self) -> None:
        state, snapshot = self._initial, self.disk.snapshot
        if snapshot is not None:
            state = decode_state(snapshot, type(self._initial))
        for event in self.disk.recover():
            state, _ = self.machine.transition(state, event)
        if state != self._durable:
            raise SafetyViolationError(
                f"SIM-9: {self.machine.role} {self.index} is another after its journal was replayed."
            )
        self.state = state
        self.disk.compact(encode_state(state))

    def _resume(self) -> None:
        left = tuple(self.disk.outbox)  # what is asked for from now on begins by itself
        self.restarted()
        for transaction in self.disk.transactions.values():
            if transaction.mined_in is None:
                self.around.chain.broadcast(transaction)
        self._looked = False
        if not self.rpc_out:
            self.catch_up()
        self.arm()
        for effect_id in left:
            self.later(self.draw.below(PROMPT), self._acting(effect_id, 0))

    def restarted(self) -> None:
        """Begin again what lives in memory alone."""

    def hindered_for(self, since: int, until: int) -> int:
        """Return how long the node was down or without RPC between two instants, in nanoseconds."""
        return overlap([*self.downs, *self.outages], since, until)

    # --- the chain -----------------------------------------------------------------------

    def chain_moved(self) -> None:
        """Follow the chain, if this node can see it."""
        if self.alive and not self.rpc_out:
            self.guarded(self.catch_up)

    def catch_up(self) -> None:
        """Take back blocks that were replaced, then take the new ones that are deep enough.

        A block is noted before its events are heard: a node that dies among them still knows what to take back. At the
        first look after a start all of the history is heard once more: delivery is at least once.
        """
        chain, read = self.around.chain, self.disk.read
        while read and not (len(read) <= len(chain.blocks) and chain.blocks[len(read) - 1] is read[-1]):
            for event in reversed(read[-1].events):
                self.undo(event)
            read.pop()
        if not self._looked:
            for block in list(read):
                self._hear_block(block)
            self._looked = True
        for block in chain.blocks[len(read) : chain.confirmed()]:
            read.append(block)
            self._hear_block(block)

    def _hear_block(self, block: Block) -> None:
        for event in block.events:
            self.hear(event)

    def hear(self, event: JobEvent) -> None:
        """Take the chain's word."""
        self.feed(event)

    def undo(self, event: JobEvent) -> None:
        """Take back the chain's word on an order, then say what still holds: a lock, if there was one before."""
        self.hear(ChainUndone(self.now, event.order_hash))
        held: ChainLocked | None = None
        for block in self.disk.read:
            for earlier in block.events:
                if earlier is event:
                    break
                if earlier.order_hash == event.order_hash:
                    held = earlier if isinstance(earlier, ChainLocked) else None
        if held is not None:
            self.hear(held)

    # --- peers ---------------------------------------------------------------------------

    def receive(self, source: int, message: Message) -> str | None:
        """Take a request; return the refusal's code, empty when taken, None when the node dies of it."""
        try:
            return self.take(source, message)
        except Crashed:
            return None

    def take(self, source: int, message: Message) -> str:
        """Turn a request into events."""
        raise NotImplementedError

    def gossip(self, message: Message) -> None:
        """Take a published message."""

    def ask(self, target: str, message: Message, answered: Callable[[str | None], None]) -> None:
        """Send a request; the answer is for this life of the node only."""
        life = self.life

        def heard(code: str | None) -> None:
            if self.alive and self.life == life:
                self.guarded(lambda: answered(code))

        self.around.network.request(self.index, int(target), message, heard)

    def refuse(self, effect: SendRefusal, done: Callable[..., None]) -> None:
        """Send a signed refusal to a peer."""
        terms = RefusalTerms(
            order_hash=effect.order_hash,
            prover=self.account,
            code=effect.code,
            quote=effect.quote,
            issued_at=self.now // 10**9,
        )
        signature = signature_token(self.account, statement_hash(terms))
        self.ask(effect.peer, Refusal(network=NETWORK, terms=terms, signature=signature), lambda code: None)
        done()


def refusal_in(effects: Sequence[Effect]) -> str:
    """Return the code with which a request is answered in place, empty when it is taken."""
    return next((effect.code for effect in effects if isinstance(effect, SendRefusal)), "")


def _line(node: Shell[S], event: Event, effects: tuple[Effect, ...]) -> str:
    of = event.order_hash.hex()[:12] if isinstance(event, JobEvent) else "-"
    return f"{node.index} {type(event).__name__} {of} > {' '.join(_word(effect) for effect in effects)}"


def _word(effect: Effect) -> str:
    if isinstance(effect, Report):
        return f"{effect.topic}:{effect.amount}:{effect.text}".replace(" ", "_")
    if isinstance(effect, SendRefusal):
        return f"Refusal:{effect.code}:{effect.quote}:{effect.peer}"
    if isinstance(effect, Unexpected):
        return f"Unexpected:{effect.phase}"
    return type(effect).__name__


def overlap(spans: Sequence[tuple[int, int]], since: int, until: int) -> int:
    """Return how much of an interval is covered by spans, each counted for itself."""
    return sum(max(0, min(to, until) - max(start, since)) for start, to in spans)
