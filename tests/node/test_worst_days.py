# SPDX-License-Identifier: GPL-3.0-or-later
"""Worst days of a prover's operator (docs/WORST_DAYS.md): what is lost, fails or dies must not be promised again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
from market_phases import LOCKING
from market_samples import (
    NETWORK,
    NOW,
    ORDER_HASH,
    PROGRAM,
    PROOF,
    a_prover,
    an_award,
    an_order,
    award_received,
    locked,
    order_seen,
    settled,
)
from trio.testing import MockClock

from market import prover, refusals
from market.effects import Effect, SendRefusal, SubmitLock
from market.events import Event, InputOpened
from market.instants import SECOND
from market.prover import Phase
from node.context import NodeContext
from node.journal import Journal
from node.private_input import PrivateInput
from node.role_shell import RoleShell
from node.roles.prover import ProverRole
from node.vault import Vault
from protocol.errors import InputRangeError, KeyMaterialError, WorkerDiedError
from proving.backends.base import Proved
from proving.prover import WitnessResult
from proving.statement.commitment import Secrets

Work = Callable[..., Awaitable[Any]]


class Clock:
    """Chain time that stands still."""

    def now(self) -> int:
        return NOW * SECOND


class ProverAt:
    """A prover's shell and role over a real journal and vault, with workers that do what a test says."""

    def __init__(self, folder: Path, journal: Journal, work: Work, *, locks: bool = False) -> None:
        state = a_prover(programs={PROGRAM: LOCKING if locks else 1_000})
        self.shell = RoleShell("prover", state, prover.transition, prover.next_deadline, journal, Clock())
        self.refused: list[str] = []
        self.locks = 0
        self.vault = Vault(folder / "vault")
        self.vault.put(
            NodeContext.input_name(ORDER_HASH), PrivateInput((1,), Secrets(1, 2)).to_bytes()
        )
        context = SimpleNamespace(
            network=NETWORK,
            clock=Clock(),
            chain=None,
            vault=self.vault,
            input_name=NodeContext.input_name,
            erase_secrets=lambda order_hash: None,
            endpoint=SimpleNamespace(on=lambda kind, handler: None, send=self._nothing),
            transport=SimpleNamespace(addresses=()),
            account=SimpleNamespace(sign=lambda network, message: bytes(65)),
            bundles=SimpleNamespace(folder_of_program=lambda program: "bundle"),
            workers=SimpleNamespace(run=work),
            storage=SimpleNamespace(halted="", require_room=lambda: None),
            transactions=SimpleNamespace(lock=self._lock, settle=self._settle),
            send_refusal=self._refuse,
        )
        self.role = ProverRole(cast(NodeContext, context), self.shell)

    async def _nothing(self, peer: str, message: object) -> None:
        return None

    async def _refuse(self, effect: SendRefusal) -> None:
        self.refused.append(effect.code)

    async def _lock(self, effect: SubmitLock) -> bool:
        self.locks += 1
        return True

    async def _settle(self, effect: Effect) -> Sequence[Event]:
        return []

    async def start(self, nursery: trio.Nursery) -> None:
        await nursery.start(self.shell.run, self._perform)

    async def _perform(self, effect: Effect) -> Sequence[Event]:
        if type(effect).__name__ == "SendBid":
            return []
        return await self.role.perform(effect)

    def award(self) -> None:
        """Take an order up to the opened input."""
        self.shell.feed(order_seen())
        self.shell.feed(award_received(an_award(self.shell.state.jobs[ORDER_HASH].bid)))
        self.shell.feed(InputOpened(NOW * SECOND, ORDER_HASH))

    def phase(self) -> Phase:
        return self.shell.state.jobs[ORDER_HASH].phase

    def next_answer(self) -> list[str]:
        """What the next order of the program is told."""
        effects = self.shell.feed(order_seen(order=an_order(salt=b"\x31" * 32)))
        return [effect.code for effect in effects if isinstance(effect, SendRefusal)]


async def _witness(function: Callable[..., Any]) -> Any:
    return WitnessResult(an_order().input_commitment, 1.0) if function.__name__ == "witness" else None


@pytest.mark.parametrize("lost", [FileNotFoundError("proving.key"), KeyMaterialError("The key is damaged.")])
async def test_lost_artifacts_of_a_program_stop_its_bids_before_the_first_lock(
    tmp_path: Path, autojump_clock: MockClock, lost: Exception
) -> None:
    async def work(function: object, *arguments: object, key: str) -> Any:
        raise lost

    with Journal(tmp_path / "j") as journal:
        node = ProverAt(tmp_path, journal, work, locks=True)
        async with trio.open_nursery() as nursery:
            await node.start(nursery)
            node.award()
            await trio.sleep(5)
            assert node.phase() is Phase.DROPPED and node.refused == [refusals.PROVING_FAILED]
            assert node.locks == 0 and node.next_answer() == [refusals.PROGRAM_BROKEN]
            nursery.cancel_scope.cancel()


@pytest.mark.parametrize("failure", [FileNotFoundError("segment 7"), RuntimeError("a bug"), KeyMaterialError("lost")])
async def test_the_first_failed_proof_of_a_locked_order_stops_further_bids_and_is_tried_again(
    tmp_path: Path, autojump_clock: MockClock, failure: Exception
) -> None:
    tries = 0

    async def work(function: Callable[..., Any], *arguments: object, key: str) -> Any:
        nonlocal tries
        if function.__name__ == "witness":
            return await _witness(function)
        tries += 1
        raise failure

    with Journal(tmp_path / "j") as journal:
        node = ProverAt(tmp_path, journal, work, locks=True)
        async with trio.open_nursery() as nursery:
            await node.start(nursery)
            node.award()
            await trio.sleep(1)
            node.shell.feed(locked())
            await trio.sleep(1)
            assert (node.locks, tries, node.phase()) == (1, 1, Phase.PROVING)
            assert node.next_answer() == [refusals.PROGRAM_BROKEN]
            due = node.shell.state.jobs[ORDER_HASH].deadline
            assert NOW * SECOND < due < (NOW + 60) * SECOND  # tried again, and soon
            nursery.cancel_scope.cancel()


async def test_a_worker_that_dies_twice_over_one_job_stops_the_bids_of_its_program(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    deaths = 0

    async def work(function: Callable[..., Any], *arguments: object, key: str) -> Any:
        nonlocal deaths
        if function.__name__ == "witness":
            return await _witness(function)
        deaths += 1
        raise WorkerDiedError("The proving worker ended before it was done.")

    with Journal(tmp_path / "j") as journal:
        node = ProverAt(tmp_path, journal, work)
        async with trio.open_nursery() as nursery:
            await node.start(nursery)
            node.award()
            await trio.sleep(60)
            assert deaths == 2 and node.phase() is Phase.DROPPED
            assert node.next_answer() == [refusals.PROGRAM_BROKEN]
            nursery.cancel_scope.cancel()


async def test_a_bad_input_of_a_client_stops_no_bids(tmp_path: Path, autojump_clock: MockClock) -> None:
    async def work(function: object, *arguments: object, key: str) -> Any:
        raise InputRangeError("An input is out of range.")

    with Journal(tmp_path / "j") as journal:
        node = ProverAt(tmp_path, journal, work)
        async with trio.open_nursery() as nursery:
            await node.start(nursery)
            node.award()
            await trio.sleep(5)
            assert node.refused == [refusals.INPUT_INVALID] and node.next_answer() == []
            nursery.cancel_scope.cancel()


async def test_a_proof_of_an_order_that_somebody_else_settled_is_stopped(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    stopped = []

    async def work(function: Callable[..., Any], *arguments: object, key: str) -> Any:
        if function.__name__ == "witness":
            return await _witness(function)
        try:
            await trio.sleep_forever()
        finally:
            stopped.append(function.__name__)

    with Journal(tmp_path / "j") as journal:
        node = ProverAt(tmp_path, journal, work)
        async with trio.open_nursery() as nursery:
            await node.start(nursery)
            node.award()
            await trio.sleep(1)
            assert node.phase() is Phase.PROVING and not stopped
            node.shell.hear(settled(account=b"\x77" * 20))
            await trio.sleep(1)
            assert stopped == ["prove"] and node.phase() is Phase.DONE and journal.pending("prover") == []
            nursery.cancel_scope.cancel()


async def test_an_order_that_was_settled_while_the_node_was_down_is_not_proved(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async def never(function: Callable[..., Any], *arguments: object, key: str) -> Any:
        if function.__name__ == "witness":
            return await _witness(function)
        await trio.sleep_forever()

    proved: list[str] = []

    async def work(function: Callable[..., Any], *arguments: object, key: str) -> Any:
        proved.append(function.__name__)
        return Proved(PROOF, (1, 1, 1), 1.0, 1.0)

    with Journal(tmp_path / "j") as journal:
        node = ProverAt(tmp_path, journal, never)
        async with trio.open_nursery() as nursery:
            await node.start(nursery)
            node.award()
            await trio.sleep(1)
            assert node.phase() is Phase.PROVING
            nursery.cancel_scope.cancel()  # as a kill: the proof stays in the outbox
    with Journal(tmp_path / "j") as journal:
        again = ProverAt(tmp_path, journal, work)
        again.shell.hear(settled(account=b"\x77" * 20))  # what the follower tells before any effect is performed
        async with trio.open_nursery() as nursery:
            await again.start(nursery)
            await trio.sleep(5)
            assert proved == [] and journal.pending("prover") == []
            nursery.cancel_scope.cancel()


def test_the_sealing_key_of_a_bid_that_a_crash_kept_out_of_the_journal_is_erased(tmp_path: Path) -> None:
    known, unknown = f"seal-{ORDER_HASH.hex()}-1", f"seal-{'7' * 64}-1"
    for name in (known, unknown):
        Vault(tmp_path / "vault").put(name, bytes(32))
    with Journal(tmp_path / "j") as journal:
        first = ProverAt(tmp_path, journal, _idle)
        assert not {known, unknown} & set(first.vault.names())  # neither order is in the journal yet
        first.award()
    first.vault.put(known, bytes(32))
    with Journal(tmp_path / "j") as journal:
        assert known in ProverAt(tmp_path, journal, _idle).vault.names()


async def _idle(function: object, *arguments: object, key: str) -> Any:
    return None
