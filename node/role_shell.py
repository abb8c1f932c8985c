# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs one pure machine: journal the event, apply it, then perform its effects.

On start the journal is replayed without performing anything; then the effects that were never finished
are performed again. An effect is finished in the same transaction that stores the event it led to, so
a process killed at any instant goes on where it was. Reports are for the log and are not kept.

An effect that fails is tried again for as long as its machine waits for it (market/wanted.py); one that it waits for
no longer is given up, and stopped if it is work that can be. A disk that cannot be written stops nothing that is in
work: what it led to waits in memory (`hear`) until it can be stored, and only then has any effect.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import structlog
import trio

from market import client, prover, verifier
from market import journal as market_journal
from market.effects import Effect, Report, Unexpected
from market.events import Event, Tick
from market.snapshot import decode_state, encode_state, with_settings
from market.wanted import STOPPABLE, wanted
from node.crash_point import reached
from node.journal import Journal
from protocol.errors import JournalCorruptError, JournalFormatError, JournalFullError, NotCanonicalError

State = TypeVar("State", client.State, prover.State, verifier.State)
Performer = Callable[[Effect], Awaitable[Sequence[Event]]]
"""Performs an effect and returns the events that it led to; may be called twice for one effect."""
Listener = Callable[[Report], None]

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # its stubs hide trio's own types from mypy

log = structlog.get_logger("proofmesh.role")

ATTEMPTS = 10
"""How often an effect is tried that no machine waits for: a courtesy to a peer."""
LONGEST_BACKOFF = 30.0
"""Most seconds between two tries."""
IDLE = 5.0
"""Most seconds to sleep before the next deadline: the chain's clock may leap, after an outage or a slow block."""
SNAPSHOT_EVERY = 1_000
"""Events after which the journal is compacted."""
MOST_UNSTORED = 10_000
"""Events that wait for a disk; beyond that the node ends, and reads the chain again when it starts."""
DISK_SECONDS = 1.0
"""How long to wait before a disk is tried again."""


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
        self.state: State = initial
        self._transition: Callable[[State, Event], tuple[State, tuple[Effect, ...]]] = transition
        self._next_deadline: Callable[[State], int | None] = next_deadline
        self._journal = journal
        self._clock = clock
        self._performer: Performer | None = None
        self._nursery: trio.Nursery | None = None
        self._wake = trio.Event()
        self._listeners: list[Listener] = []
        self._stoppable: dict[int, tuple[Effect, trio.CancelScope]] = {}
        self._unstored: deque[tuple[Event | None, tuple[int, ...]]] = deque()
        self._unstored_came = trio.Event()
        self.unexpected = 0
        self._replay(initial)

    def _replay(self, settings: State) -> None:
        """Bring back the state, under the settings it was made with; then the present ones hold."""
        snapshot = self._journal.snapshot(self.role)
        try:
            if snapshot is not None:
                self.state = decode_state(snapshot, type(settings))
            for blob in self._journal.events(self.role):
                self.state, _ = self._transition(self.state, market_journal.decode_event(blob))
            for _, blob in self._journal.pending(self.role):
                market_journal.decode_effect(blob)
        except NotCanonicalError:
            raise JournalFormatError(f"The journal of the {self.role} was written by another version.") from None
        self.state = with_settings(self.state, settings)
        self._since_snapshot = self._journal.length(self.role)
        if self._since_snapshot or encode_state(self.state) != snapshot:
            self._compact()

    def _compact(self) -> None:
        try:
            self._journal.compact(self.role, encode_state(self.state))
        except JournalFullError as error:
            log.warning("journal not compacted", role=self.role, code=error.code)
            self._since_snapshot //= 2  # tried again after as many events as half of it
            return
        self._since_snapshot = 0
        reached(f"{self.role} snapshot")

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
            nursery.start_soon(self._store_later)
            task_status.started()
            await self._keep_deadlines()

    # --- events --------------------------------------------------------------------------

    def feed(self, event: Event, finishes: Sequence[int] = ()) -> tuple[Effect, ...]:
        """Journal an event, apply it, start its effects and return them.

        Raises:
            JournalFullError: it cannot be stored, and so has not happened.
        """
        state, effects = self._transition(self.state, event)
        lasting = [effect for effect in effects if not isinstance(effect, (Report, Unexpected))]
        if not lasting and not finishes and (state is self.state or state == self.state):
            self._tell(effects)
            return effects
        blobs = [market_journal.encode(effect) for effect in lasting]
        ids = self._journal.append(self.role, market_journal.encode(event), blobs, finishes)
        reached(f"{self.role} record {type(event).__name__}")
        self.state = state
        self._stop_unwanted()
        self._tell(effects)
        if self._nursery is not None:
            for effect_id, effect in zip(ids, lasting, strict=True):
                self._nursery.start_soon(self._perform, effect_id, effect)
        self._wake.set()
        self._since_snapshot += 1
        if self._since_snapshot >= SNAPSHOT_EVERY:
            self._compact()
        return effects

    def hear(self, event: Event | None, finishes: tuple[int, ...] = ()) -> None:
        """Feed an event that cannot be refused (None: nothing but the end of effects), now or once the disk takes it.

        Raises:
            JournalFullError: too many wait already.
        """
        if not self._unstored:
            try:
                self._store(event, finishes)
                return
            except JournalFullError as error:
                log.error("the journal cannot be written; what happens waits", role=self.role, code=error.code)
        if len(self._unstored) >= MOST_UNSTORED:
            raise JournalFullError("Too much waits for a disk that cannot be written.")
        self._unstored.append((event, finishes))
        self._unstored_came.set()

    def note(self, event: Event) -> None:
        """Feed an event that may be missed: it is told again, or matters to nothing that is in work."""
        try:
            self.feed(event)
        except JournalFullError as error:
            log.debug("event missed", role=self.role, event_type=type(event).__name__, code=error.code)

    def _store(self, event: Event | None, finishes: tuple[int, ...]) -> None:
        if event is not None:
            self.feed(event, finishes)
            return
        for effect_id in finishes:
            self._journal.finish(effect_id)
        reached(f"{self.role} finished")

    async def _store_later(self) -> None:
        while True:
            await self._unstored_came.wait()
            self._unstored_came = trio.Event()
            while self._unstored:
                try:
                    self._store(*self._unstored[0])
                except JournalFullError:
                    await trio.sleep(DISK_SECONDS)
                    continue
                self._unstored.popleft()
                if not self._unstored:
                    log.info("the journal can be written again; nothing waits", role=self.role)

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

    # --- effects -------------------------------------------------------------------------

    async def _perform(self, effect_id: int, effect: Effect) -> None:
        """Perform an effect, again after a while when it fails: the RPC may be back by then."""
        assert self._performer is not None
        attempt = 0
        while attempt == 0 or attempt < ATTEMPTS or wanted(self.state, effect):
            if isinstance(effect, STOPPABLE) and not wanted(self.state, effect):
                break
            try:
                events = await self._stoppably(effect_id, effect)
            except JournalCorruptError:
                raise
            except Exception as error:
                # A task's root: what failed stays in the outbox, also across a restart.
                attempt += 1
                log.warning(
                    "effect failed",
                    role=self.role,
                    effect=type(effect).__name__,
                    error=type(error).__name__,
                    code=getattr(error, "code", None),
                    attempt=attempt,
                )
                await trio.sleep(min(LONGEST_BACKOFF, 0.5 * 2 ** min(attempt - 1, 16)))
                continue
            reached(f"{self.role} effect {type(effect).__name__}")
            self._finish(effect_id, events)
            return
        log.info("effect given up", role=self.role, effect=type(effect).__name__, attempts=attempt)
        self._finish(effect_id, ())

    async def _stoppably(self, effect_id: int, effect: Effect) -> Sequence[Event]:
        """Perform an effect; work that its machine comes to want no longer is stopped, and leads to nothing."""
        assert self._performer is not None
        if not isinstance(effect, STOPPABLE):
            return await self._performer(effect)
        events: Sequence[Event] = ()
        with trio.CancelScope() as scope:
            self._stoppable[effect_id] = (effect, scope)
            try:
                events = await self._performer(effect)
            finally:
                del self._stoppable[effect_id]
        if scope.cancelled_caught:
            log.info("stopped: wanted no longer", role=self.role, effect=type(effect).__name__)
        return events

    def _stop_unwanted(self) -> None:
        for effect, scope in self._stoppable.values():
            if not wanted(self.state, effect):
                scope.cancel()

    def _finish(self, effect_id: int, events: Sequence[Event]) -> None:
        if not events:
            self.hear(None, (effect_id,))
        for position, event in enumerate(events):
            self.hear(event, (effect_id,) if position == 0 else ())

    # --- time ----------------------------------------------------------------------------

    async def _keep_deadlines(self) -> None:
        while True:
            self._wake = trio.Event()
            deadline = self._next_deadline(self.state)
            now = self._clock.now()
            if deadline is not None and deadline <= now:
                try:
                    self.feed(Tick(now))
                    await trio.lowlevel.checkpoint()
                except JournalFullError:
                    await trio.sleep(DISK_SECONDS)
                continue
            wait = IDLE if deadline is None else min(IDLE, (deadline - now) / 1e9)
            with trio.move_on_after(wait):
                await self._wake.wait()
