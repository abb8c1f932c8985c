# SPDX-License-Identifier: GPL-3.0-or-later
"""Journal, apply, act: what a role was about to do survives its process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from market_samples import (
    NOW,
    ORDER_HASH,
    a_bid,
    a_prover,
    an_award,
    an_order,
    award_received,
    bid_received,
    locked,
    order_seen,
    placed,
    settled,
)
from trio.testing import MockClock

from market import client, prover
from market import journal as market_journal
from market.effects import Announce, Effect, EraseSecrets, KeepReceipt, SendRefusal
from market.events import CancelAsked, Event
from market.instants import SECOND
from market.pricing import Tariff
from node import role_shell
from node.journal import Journal
from node.role_shell import ATTEMPTS, RoleShell
from protocol.codec import pack
from protocol.errors import JournalFormatError, JournalFullError, RpcDownError


class Clock:
    """Chain time that stands still, unless it is made to leap."""

    at = NOW

    def now(self) -> int:
        return self.at * SECOND


def prover_shell(journal: Journal, settings: prover.State) -> RoleShell[prover.State]:
    return RoleShell("prover", settings, prover.transition, prover.next_deadline, journal, Clock())


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


async def test_one_that_is_waited_for_is_tried_for_as_long_as_that(tmp_path: Path, autojump_clock: MockClock) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        shell, performer = shell_on(journal), Performer(failures=10**6)
        shell.feed(placed())
        await run_for(shell, performer, 3_600)
        assert len(performer.asked) > 100 and len(journal.pending("client")) == 1


async def test_a_courtesy_that_never_succeeds_is_given_up(tmp_path: Path, autojump_clock: MockClock) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        shell, performer = shell_on(journal), Performer(failures=10**6)
        shell.feed(placed())
        shell.feed(CancelAsked(NOW * SECOND, ORDER_HASH))
        shell.feed(bid_received(a_bid()))
        await run_for(shell, performer, 3_600)
        refusals = [effect for effect in performer.asked if isinstance(effect, SendRefusal)]
        assert len(refusals) == ATTEMPTS
        assert {type(market_journal.decode_effect(blob)) for _, blob in journal.pending("client")} == {EraseSecrets}


async def test_work_that_is_wanted_no_longer_is_stopped_and_not_begun_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    stopped = []

    async def perform(effect: Effect) -> Sequence[Event]:
        if isinstance(effect, Announce):
            try:
                await trio.sleep_forever()
            finally:
                stopped.append(effect)
        return []

    with Journal(tmp_path / "journal.sqlite") as journal:
        shell = shell_on(journal)
        shell.feed(placed())
        async with trio.open_nursery() as nursery:
            await nursery.start(shell.run, perform)
            await trio.sleep(1)
            assert not stopped
            shell.feed(CancelAsked(NOW * SECOND, ORDER_HASH))
            await trio.sleep(1)
            assert len(stopped) == 1 and journal.pending("client") == []
            nursery.cancel_scope.cancel()
    with Journal(tmp_path / "killed.sqlite") as journal:
        shell_on(journal).feed(placed())
        shell_on(journal).feed(CancelAsked(NOW * SECOND, ORDER_HASH))
        performer = Performer()
        await run_for(shell_on(journal), performer, 1)
        assert [type(effect) for effect in performer.asked] == [EraseSecrets] and journal.pending("client") == []


def test_a_new_setting_does_not_rewrite_what_was_decided_under_the_old_one(tmp_path: Path) -> None:
    """A prover that raises its prices keeps the bids and awards of before, and asks the new price from then on."""
    with Journal(tmp_path / "journal.sqlite") as journal:
        before = prover_shell(journal, a_prover())
        before.feed(order_seen())
        before.feed(award_received(an_award(before.state.jobs[ORDER_HASH].bid)))
    dear = replace(a_prover(), tariff=Tariff(wei_per_ms=10**15))
    with Journal(tmp_path / "journal.sqlite") as journal:
        after = prover_shell(journal, dear)
        assert after.state.jobs == before.state.jobs and after.state.tariff == dear.tariff
        after.feed(order_seen(order=an_order(salt=b"\x09" * 32)))
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert prover_shell(journal, a_prover()).state.jobs == after.state.jobs


def test_a_journal_that_is_long_is_cut_to_a_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role_shell, "SNAPSHOT_EVERY", 50)
    with Journal(tmp_path / "journal.sqlite") as journal:
        shell = shell_on(journal)
        shell.feed(placed())
        for number in range(60):
            shell.feed(bid_received(a_bid(number.to_bytes(20, "big"), price=10**12 + number)))
        assert journal.length("client") == 11
        assert journal.pending("client")
        state = shell.state
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert shell_on(journal).state == state and journal.length("client") == 0


async def test_what_happens_while_the_disk_cannot_be_written_waits_and_then_takes_effect_in_order(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        shell, performer = shell_on(journal), Performer()
        async with trio.open_nursery() as nursery:
            await nursery.start(shell.run, performer.perform)
            shell.feed(placed())
            await trio.sleep(1)
            journal.database.execute("PRAGMA query_only = ON")
            with pytest.raises(JournalFullError):
                shell.feed(bid_received(a_bid()))
            before = shell.state
            shell.hear(locked())
            shell.hear(settled())
            await trio.sleep(60)
            assert shell.state == before and [type(effect) for effect in performer.asked] == [Announce]
            journal.database.execute("PRAGMA query_only = OFF")
            await trio.sleep(5)
            assert shell.state.jobs[ORDER_HASH].phase is client.Phase.SETTLED
            assert {type(effect) for effect in performer.asked[1:]} == {KeepReceipt, EraseSecrets}
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("record", ["event", "effect", "snapshot"])
def test_a_history_of_another_version_is_named_as_such(tmp_path: Path, record: str) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        strange = pack(["Strange", {"at": 1}])
        if record == "snapshot":
            journal.compact("client", strange)
        else:
            event = market_journal.encode(placed()) if record == "effect" else strange
            journal.append("client", event, [strange] if record == "effect" else [])
        with pytest.raises(JournalFormatError, match="PM-JRN-002"):
            shell_on(journal)


async def test_an_event_that_changes_nothing_is_not_kept(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.sqlite") as journal:
        shell = shell_on(journal)
        shell.feed(CancelAsked(NOW * SECOND, ORDER_HASH))
        assert list(journal.events("client")) == [] and shell.unexpected == 1


async def test_a_deadline_is_met_when_the_clock_of_the_chain_leaps(tmp_path: Path, autojump_clock: MockClock) -> None:
    clock = Clock()
    with Journal(tmp_path / "j") as journal:
        shell = RoleShell("client", client.State(), client.transition, client.next_deadline, journal, clock)
        async with trio.open_nursery() as nursery:
            await nursery.start(shell.run, Performer().perform)
            shell.feed(replace(placed(), window=1_000 * SECOND))
            await trio.sleep(60)
            assert shell.state.jobs[ORDER_HASH].phase is client.Phase.COLLECTING
            clock.at = an_order().final_by + 1_000
            await trio.sleep(10)
            assert shell.state.jobs[ORDER_HASH].phase is client.Phase.FAILED
            nursery.cancel_scope.cancel()
