# SPDX-License-Identifier: GPL-3.0-or-later
"""Journal, apply, act: what a role was about to do survives its process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import trio
from market_samples import NOW, ORDER_HASH, placed
from trio.testing import MockClock

from market import client
from market.effects import Announce, Effect
from market.events import CancelAsked, Event
from market.instants import SECOND
from node.journal import Journal
from node.role_shell import ATTEMPTS, RoleShell
from protocol.errors import RpcDownError


class Clock:
    """Chain time that stands still."""

    def now(self) -> int:
        return NOW * SECOND


def shell_on(journal: Journal) -> RoleShell[client.State]:
    return RoleShell("client", client.State(), client.transition, client.next_deadline, journal, Clock())


async def run_for(shell: RoleShell[client.State], performer: Performer, seconds: float) -> None:
    with trio.move_on_after(seconds):
        await shell.run(performer.perform)


class Performer:
    """Remembers what it was asked to do, and fails the first `failures` times."""

    def __init__(self, failures: int = 0) -> None:
        self.asked: list[Effect] = []
        self._failures = failures

    async def perform(self, effect: Effect) -> Sequence[Event]:
        self.asked.append(effect)
        await trio.lowlevel.checkpoint()
        if len(self.asked) <= self._failures:
            raise RpcDownError("The RPC cannot be reached.")
        return []


async def test_what_was_not_finished_is_done_after_a_restart_and_only_then(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        shell = shell_on(journal)
        shell.feed(placed())  # nobody performs: as if the process died right after the write
        before = shell.state
    with Journal(path) as journal:
        shell, performer = shell_on(journal), Performer()
        assert shell.state == before
        await run_for(shell, performer, 1)
        assert [type(effect) for effect in performer.asked] == [Announce]
    with Journal(path) as journal:
        performer = Performer()
        await run_for(shell_on(journal), performer, 1)
        assert performer.asked == []


async def test_an_effect_that_fails_is_tried_again_while_the_node_runs(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        shell, performer = shell_on(journal), Performer(failures=3)
        shell.feed(placed())
        await run_for(shell, performer, 120)
        assert len(performer.asked) == 4 and journal.pending("client") == []


async def test_one_that_never_succeeds_stays_in_the_outbox(tmp_path: Path, autojump_clock: MockClock) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        shell, performer = shell_on(journal), Performer(failures=10**6)
        shell.feed(placed())
        await run_for(shell, performer, 3_600)
        assert len(performer.asked) == ATTEMPTS and len(journal.pending("client")) == 1


async def test_an_event_that_changes_nothing_is_not_kept(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        shell = shell_on(journal)
        shell.feed(CancelAsked(NOW * SECOND, ORDER_HASH))
        assert list(journal.events("client")) == [] and shell.unexpected == 1
