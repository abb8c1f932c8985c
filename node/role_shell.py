# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one pure machine: journal the event, apply it, then perform its effects.

On start the journal is replayed without performing anything; then the effects that were never finished
are performed again. An effect is finished in the same transaction that stores the event it led to, so
a process killed at any instant goes on where it was. Reports are for the log and are not kept.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import structlog
import trio

from market import journal as market_journal
from market.effects import Effect, Report, Unexpected
from market.events import Event, Tick
from node.journal import Journal

State = TypeVar("State")
Performer = Callable[[Effect], Awaitable[Sequence[Event]]]
"""Performs an effect and returns the events that it led to; may be called twice for one effect."""
Listener = Callable[[Report], None]

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # its stubs hide trio's own types from mypy

log = structlog.get_logger("proofmesh.role")

ATTEMPTS = 10
"""How often an effect is tried before it is left for the next start."""
LONGEST_BACKOFF = 30.0
"""Most seconds between two tries."""
IDLE = 3_600.0
"""Seconds to sleep when no deadline is near; a new event wakes the timer."""


class Clock(Protocol):
    """Chain time in nanoseconds."""

    def now(self) -> int:
        """Return the present instant."""
        ...


class RoleShell(Generic[State]):
    """One role of this node: its state, its journal, its deadlines."""

    def __init__(
        self,
        role: str,
        initial: State,
        transition: Callable[[State, Event], tuple[State, tuple[Effect, ...]]],
        next_deadline: Callable[[State], int | None],
        journal: Journal,
        clock: Clock,
    ) -> None:
        self.role = role
        self.state = initial
        self._transition = transition
        self._next_deadline = next_deadline
        self._journal = journal
        self._clock = clock
        self._performer: Performer | None = None
        self._nursery: trio.Nursery | None = None
        self._wake = trio.Event()
        self._listeners: list[Listener] = []
        self.unexpected = 0
        self._replay()

    def _replay(self) -> None:
        for blob in self._journal.events(self.role):
            self.state, _ = self._transition(self.state, market_journal.decode_event(blob))

    def listen(self, listener: Listener) -> None:
        """Call `listener` with every report from now on."""
        self._listeners.append(listener)

    async def run(
        self, performer: Performer, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Perform what is left over, then effects and deadlines as they come; until cancelled."""
        self._performer = performer
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for effect_id, blob in self._journal.pending(self.role):
                nursery.start_soon(self._perform, effect_id, market_journal.decode_effect(blob))
            task_status.started()
            await self._keep_deadlines()

    def feed(self, event: Event, finishes: Sequence[int] = ()) -> tuple[Effect, ...]:
        """Journal an event, apply it, start its effects and return them."""
        state, effects = self._transition(self.state, event)
        lasting = [effect for effect in effects if not isinstance(effect, (Report, Unexpected))]
        if not lasting and not finishes and (state is self.state or state == self.state):
            self._tell(effects)
            return effects
        blobs = [market_journal.encode(effect) for effect in lasting]
        ids = self._journal.append(self.role, market_journal.encode(event), blobs, finishes)
        self.state = state
        self._tell(effects)
        if self._nursery is not None:
            for effect_id, effect in zip(ids, lasting, strict=True):
                self._nursery.start_soon(self._perform, effect_id, effect)
        self._wake.set()
        return effects

    def _tell(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Unexpected):
                self.unexpected += 1
                log.debug("unexpected event", role=self.role, event_type=effect.event, phase=effect.phase)
            elif isinstance(effect, Report):
                log.info(
                    effect.topic,
                    role=self.role,
                    order=effect.order_hash.hex()[:12],
                    account=f"0x{effect.account.hex()}" if effect.account else None,
                    amount_wei=effect.amount or None,
                    detail=effect.text or None,
                )
                for listener in self._listeners:
                    listener(effect)

    async def _perform(self, effect_id: int, effect: Effect) -> None:
        """Perform an effect, again after a while when it fails: the RPC may be back by then."""
        assert self._performer is not None
        for attempt in range(ATTEMPTS):
            try:
                events = await self._performer(effect)
            except Exception as error:
                # A task's root: what failed stays in the outbox, also across a restart.
                log.warning(
                    "effect failed",
                    role=self.role,
                    effect=type(effect).__name__,
                    error=type(error).__name__,
                    code=getattr(error, "code", None),
                    attempt=attempt + 1,
                )
                await trio.sleep(min(LONGEST_BACKOFF, 0.5 * 2**attempt))
                continue
            self._finish(effect_id, events)
            return
        log.error("effect given up until the next start", role=self.role, effect=type(effect).__name__)

    def _finish(self, effect_id: int, events: Sequence[Event]) -> None:
        if not events:
            self._journal.finish(effect_id)
        for position, event in enumerate(events):
            self.feed(event, finishes=(effect_id,) if position == 0 else ())

    async def _keep_deadlines(self) -> None:
        while True:
            self._wake = trio.Event()
            deadline = self._next_deadline(self.state)
            now = self._clock.now()
            if deadline is not None and deadline <= now:
                self.feed(Tick(now))
                await trio.lowlevel.checkpoint()
                continue
            wait = IDLE if deadline is None else min(IDLE, (deadline - now) / 1e9)
            with trio.move_on_after(wait):
                await self._wake.wait()
