# SPDX-License-Identifier: GPL-3.0-or-later
"""A start tells the roles what matters of the chain's history, and does not journal the history again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from market_samples import AT, NOW, ORDER_HASH, PROVER, TX, a_prover, locked, order_seen, settled

from market import prover
from market.events import ChainExpired, ChainReleased, ChainUndone, JobEvent
from market.instants import SECOND
from node.catch_up import CatchUp
from node.journal import Journal
from node.role_shell import RoleShell


class Clock:
    """Chain time that stands still."""

    def now(self) -> int:
        return NOW * SECOND


def stranger(number: int) -> bytes:
    return number.to_bytes(32, "big")


def history(orders: int) -> list[JobEvent]:
    """Locks of strangers: a third settled, a third expired, a third open."""
    found: list[JobEvent] = []
    for number in range(orders):
        found.append(replace(locked(account=b"\x66" * 20), order_hash=stranger(number)))
        if number % 3 == 0:
            found.append(replace(settled(), order_hash=stranger(number)))
        if number % 3 == 1:
            found.append(ChainExpired(AT, stranger(number), TX))
    return found


def test_only_open_orders_and_own_ones_are_kept() -> None:
    taken = CatchUp(lambda order_hash: order_hash == ORDER_HASH)
    for event in [*history(30), locked(), settled()]:
        taken.take(event)
    kept = taken.kept()
    assert {event.order_hash for event in kept} == {ORDER_HASH, *(stranger(n) for n in range(30) if n % 3 == 2)}
    assert [type(event).__name__ for event in kept if event.order_hash == ORDER_HASH] == ["ChainLocked", "ChainSettled"]


def test_an_order_that_is_undone_after_its_end_is_heard_of_again() -> None:
    taken = CatchUp(lambda order_hash: False)
    for event in [locked(), settled(), locked(AT + 1)]:
        taken.take(event)
    assert taken.kept() == [locked(AT + 1)]


@pytest.mark.parametrize("gone", [ChainReleased(AT, ORDER_HASH, PROVER), ChainUndone(AT, ORDER_HASH)])
def test_a_lock_that_is_gone_is_not_heard_of(gone: JobEvent) -> None:
    taken = CatchUp(lambda order_hash: False)
    for event in [locked(), gone]:
        taken.take(event)
    assert taken.kept() == []


def start(shell: RoleShell[prover.State], events: list[JobEvent]) -> None:
    """What a node does with the chain's history."""
    taken = CatchUp(lambda order_hash: order_hash in {**shell.state.jobs, **shell.state.locks})
    for event in events:
        taken.take(event)
    for event in taken.kept():
        shell.hear(event)


def shell_on(journal: Journal) -> RoleShell[prover.State]:
    return RoleShell("prover", a_prover(), prover.transition, prover.next_deadline, journal, Clock())


def test_a_start_journals_nothing_that_it_knew(tmp_path: Path) -> None:
    for number in range(3):
        with Journal(tmp_path / "j") as journal:
            shell = shell_on(journal)
            if number == 0:
                shell.feed(order_seen())
            before = journal.length("prover")
            start(shell, [*history(30), settled()])
            assert journal.length("prover") - before == (11 if number == 0 else 0)
            assert len(shell.state.locks) == 10 and shell.state.jobs[ORDER_HASH].phase is prover.Phase.DONE


def test_a_lock_that_ended_while_the_node_was_down_is_known_to_have_ended(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        start(shell_on(journal), [locked(account=b"\x66" * 20)])
    with Journal(tmp_path / "j") as journal:
        shell = shell_on(journal)
        assert ORDER_HASH in shell.state.locks
        start(shell, [locked(account=b"\x66" * 20), ChainExpired(AT, ORDER_HASH, TX)])
        assert shell.state.locks == {}
