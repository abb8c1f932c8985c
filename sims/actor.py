# SPDX-License-Identifier: GPL-3.0-or-later
"""A node of the simulation: one machine of `market/`, fed with events, and hands for its effects.

As in the daemon, an event is applied first and its effects are performed afterwards. Effects whose work
is lost when a node dies lie in an outbox and are performed again when it comes back, as after a restart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from market.effects import Effect, Report, SendRefusal, SubmitSettlement, Unexpected
from market.events import Event, JobEvent, Tick
from protocol.messages import Message, Refusal
from protocol.structs import RefusalTerms
from sims.blocks import Chain
from sims.errors import SafetyViolationError
from sims.network import Faults, Network
from sims.tokens import NETWORK, account_of
from sims.world import World

S = TypeVar("S")
SIGNATURE = bytes(65)
"""Stands where only the size of a signature matters."""
MAX_TICKS = 8
"""Ticks that may be due at one instant; a machine that wants more has a loop."""


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
    faults: Faults


class Actor(Generic[S]):
    """One node. Subclasses turn messages into events, and effects into messages, work and transactions."""

    def __init__(self, index: int, around: Surroundings, machine: Machine[S], state: S) -> None:
        self.index = index
        self.account = account_of(f"{machine.role} {index}")
        self.peer = str(index)
        self.alive = True
        self.died_at: list[int] = []
        self.revived_at = 0
        self.honest = True
        self.state = state
        self.around = around
        self.outbox: dict[bytes, Effect] = {}
        self.life = 0
        self._machine = machine
        self._missed: list[Callable[[int], Event]] = []
        self._armed: int | None = None

    # --- events --------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """Chain time, in nanoseconds."""
        return self.around.world.now

    def feed(self, event: Event) -> tuple[Effect, ...]:
        """Apply an event, then perform its effects."""
        self.state, effects = self._machine.transition(self.state, event)
        self.around.world.note(_line(self, event, effects))
        for effect in effects:
            self.perform(effect)
        self.fed(event)
        self._arm()
        return effects

    def fed(self, event: Event) -> None:
        """Look at the state after an event; for what a node counts."""

    def perform(self, effect: Effect) -> None:
        """Do what the machine asks for."""
        raise NotImplementedError

    def receive(self, source: int, message: Message) -> str:
        """Take a request from a peer; return the refusal's code, empty when taken."""
        raise NotImplementedError

    def gossip(self, message: Message) -> None:
        """Take a published message."""

    def chain_event(self, make: Callable[[int], Event]) -> None:
        """Take the follower's news; what happens while the node is down waits for it."""
        if self.alive:
            self.feed(make(self.now))
        else:
            self._missed.append(make)

    # --- life and death ------------------------------------------------------------------

    def die(self, duration: int) -> None:
        """Stop for a while. The journal stays, work in memory is lost."""
        self.alive = False
        self.life += 1
        self.died_at.append(self.now)
        self.around.world.note(f"{self.index} dies")
        life = self.life
        self.around.world.after(duration, lambda: self.revive() if self.life == life else None)

    def revive(self) -> None:
        """Come back: catch up with the chain, then do again what was lost."""
        if self.alive:
            return
        self.alive = True
        self.revived_at = self.now
        self.around.world.note(f"{self.index} revives")
        missed, self._missed = self._missed, []
        for make in missed:
            self.feed(make(self.now))
        self._armed = None
        self._arm()
        lost, self.outbox = self.outbox, {}
        for effect in lost.values():
            self.perform(effect)

    def was_down(self, since: int) -> bool:
        """Return whether the node was down at some time since that instant."""
        return not self.alive or self.revived_at >= since or any(at >= since for at in self.died_at)

    def later(self, delay: int, action: Callable[[], None]) -> None:
        """Do something after a delay, unless the node dies before."""
        life = self.life
        self.around.world.after(delay, lambda: action() if self.alive and self.life == life else None)

    # --- hands that all roles have -------------------------------------------------------

    def refuse(self, effect: SendRefusal) -> None:
        """Send a refusal to a peer."""
        terms = RefusalTerms(
            order_hash=effect.order_hash,
            prover=self.account,
            code=effect.code,
            quote=effect.quote,
            issued_at=self.now // 10**9,
        )
        message = Refusal(network=NETWORK, terms=terms, signature=SIGNATURE)
        self.around.network.request(self.index, int(effect.peer), message)

    def settle(self, effect: SubmitSettlement, failed: Callable[[str], None]) -> None:
        """Send the settling transaction; `failed` gets the reason of a revert."""
        self.around.chain.settle(self.account, effect, lambda reason: self.later(0, lambda: failed(reason)))

    # --- time ----------------------------------------------------------------------------

    def _arm(self) -> None:
        deadline = self._machine.next_deadline(self.state)
        if deadline is None or (self._armed is not None and self._armed <= deadline):
            return
        self._armed = deadline
        self.around.world.at(deadline, lambda: self._ring(deadline))

    def _ring(self, planned: int) -> None:
        if self._armed != planned or not self.alive:
            return
        self._armed = None
        for _ in range(MAX_TICKS):
            deadline = self._machine.next_deadline(self.state)
            if deadline is None or deadline > self.now:
                self._arm()
                return
            self.feed(Tick(self.now))
            self._armed = None
        raise SafetyViolationError(f"{self._machine.role} {self.index} asks for ticks without end.")


def _line(actor: Actor[S], event: Event, effects: tuple[Effect, ...]) -> str:
    of = event.order_hash.hex()[:12] if isinstance(event, JobEvent) else "-"
    return f"{actor.index} {type(event).__name__} {of} > {' '.join(_word(effect) for effect in effects)}"


def _word(effect: Effect) -> str:
    if isinstance(effect, Report):
        return f"{effect.topic}:{effect.amount}:{effect.text}".replace(" ", "_")
    if isinstance(effect, SendRefusal):
        return f"Refusal:{effect.code}:{effect.quote}:{effect.peer}"
    if isinstance(effect, Unexpected):
        return f"Unexpected:{effect.phase}"
    return type(effect).__name__
