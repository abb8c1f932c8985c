# SPDX-License-Identifier: GPL-3.0-or-later
"""Bugs to plant into the simulated chain, the journal and the machines: one for each invariant, and old ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from market import admission, client, pricing, prover, refusals
from market.effects import Effect, KeepReceipt
from market.events import ChainLocked, ChainSettled, Event, LockFailed, OrderPlaced
from market.pricing import Tariff
from protocol.structs import Award, Order
from sims import chain, client_node, prover_node, verifier_node
from sims.blocks import Block
from sims.chain import BURNED, Escrow, Lock, Paid, Reverted, Settlement
from sims.disk import Disk
from sims.shell import Machine, Shell
from sims.tokens import hash_of

Patch = pytest.MonkeyPatch


class Forgetful(Escrow):
    """Pays as often as it is asked."""

    def settle(self, now: int, sender: bytes, s: Settlement) -> Paid:
        self.finished.pop(hash_of(s.order), None)
        return super().settle(now, sender, s)


class Credulous(Escrow):
    """Takes every proof."""

    def settle(self, now: int, sender: bytes, s: Settlement) -> Paid:
        with Patch.context() as patch:
            patch.setattr(chain, "proof_is_valid", lambda *_: True)
            return super().settle(now, sender, s)


class Leaky(Escrow):
    """Loses a wei with each settlement."""

    def settle(self, now: int, sender: bytes, s: Settlement) -> Paid:
        paid = super().settle(now, sender, s)
        self.balances[s.award.payout] -= 1
        return paid


class Robbing(Escrow):
    """Takes a wei of the client with each settlement, and says nothing of it."""

    def settle(self, now: int, sender: bytes, s: Settlement) -> Paid:
        paid = super().settle(now, sender, s)
        self._move(s.order.client, -1)
        self._move(BURNED, 1)
        return paid


class Generous(Escrow):
    """Pays more than was signed."""

    def _pay(self, paid: Paid) -> Paid:
        s = paid.settlement
        dearer = s.award.model_copy(update={"price": s.award.price + 1})
        self._move(s.order.client, -1)
        return super()._pay(replace(paid, settlement=replace(s, award=dearer)))


class Greedy(Escrow):
    """Slashes whoever locked, in time or not."""

    def settle(self, now: int, sender: bytes, s: Settlement) -> Paid:
        lock = self.locks.get(hash_of(s.order))
        if lock is not None and hash_of(s.award) == lock.award_hash:
            now = max(now, s.award.promise_at + 1)
        return super().settle(now, sender, s)


class Stuck(Escrow):
    """Never refunds."""

    def expire(self, now: int, order: Order) -> None:
        raise Reverted("Never")


class Dead(Escrow):
    """Locks and settles nothing."""

    def lock(self, now: int, sender: bytes, order: Order, award: Award, signature: bytes) -> Lock:
        raise Reverted("Never")

    def settle(self, now: int, sender: bytes, s: Settlement) -> Paid:
        raise Reverted("Never")


@dataclass(frozen=True, slots=True)
class Bug:
    """A planted bug: how it is planted, and the way in which a run must fail."""

    way: str
    escrow: type[Escrow] = Escrow
    plant: Callable[[Patch], None] = lambda patch: None
    nodes: int = 9
    jobs: int = 12
    liars_ppm: int | None = None


def _machine(patch: Patch, module: Any, before: Callable[[Any, Event], Event | None]) -> None:
    """Let a machine see other events than happened; None is not seen at all."""
    machine = module.MACHINE

    def transition(state: Any, event: Event) -> Any:
        seen = before(state, event)
        return (state, ()) if seen is None else machine.transition(state, seen)

    patch.setattr(module, "MACHINE", Machine(machine.role, transition, machine.next_deadline))


def deaf_to_payments(patch: Patch) -> None:
    """Clients do not hear that they paid."""
    _machine(patch, client_node, lambda _, event: None if isinstance(event, ChainSettled) else event)


def indiscreet(patch: Patch) -> None:
    """Clients forget whom they allow."""
    _machine(
        patch,
        client_node,
        lambda _, event: replace(event, allowed=None) if isinstance(event, OrderPlaced) else event,
    )


def reckless(patch: Patch) -> None:
    """Provers give every client all the credit of the world."""
    quote, fault = pricing.preflight, admission.award_fault

    def rich(tariff: Tariff) -> Tariff:
        return replace(tariff, exposure_cap=10**30)

    def faults(state: prover.State, job: Any, event: Any) -> str:
        return fault(replace(state, tariff=rich(state.tariff)), job, event)

    patch.setattr(prover, "preflight", lambda order, tariff, now: quote(order, rich(tariff), now))
    patch.setattr(prover, "award_fault", faults)


def forgetful_journal(patch: Patch) -> None:
    """The newest record of a journal is lost."""
    recover = Disk.recover

    def losing(disk: Disk) -> list[Event]:
        return recover(disk)[:-1]

    patch.setattr(Disk, "recover", losing)


def restless(patch: Patch) -> None:
    """A verifier with a job is due at every instant."""
    machine = verifier_node.MACHINE
    due = Machine(machine.role, machine.transition, lambda state: 0 if state.jobs else None)
    patch.setattr(verifier_node, "MACHINE", due)


def careless_of_receipts(patch: Patch) -> None:
    """Clients begin to keep a receipt and never end."""
    perform = client_node.ClientNode.perform

    def performing(
        node: client_node.ClientNode,
        effect: Effect,
        done: Callable[..., None],
        failed: Callable[[], None],
    ) -> None:
        if not isinstance(effect, KeepReceipt):
            perform(node, effect, done, failed)

    patch.setattr(client_node.ClientNode, "perform", performing)


def broken_code(patch: Patch) -> None:
    """A machine raises what nobody expects."""

    def failing(_: Any, event: Event) -> Event:
        if isinstance(event, ChainSettled):
            raise KeyError("planted")
        return event

    _machine(patch, prover_node, failing)


def drops_failed_locks(patch: Patch) -> None:
    """An old bug: a lock that was reported as failed is given up, though it may land."""

    def dropping(state: Any, job: Any, event: Event) -> Any:
        return prover._drop_and_tell(state, replace(job, lock_sent=False), refusals.LOCK_FAILED, event.at)

    table: Any = prover.TABLE
    patch.setitem(table, (prover.Phase.LOCKING, LockFailed), dropping)


def deaf_to_reorgs(patch: Patch) -> None:
    """An old bug: blocks that were acted on and are replaced are no news to the machines."""
    patch.setattr(Shell, "undo", lambda node, event: None)


def notes_blocks_too_late(patch: Patch) -> None:
    """An old bug of the simulator: a block is noted as read after its events are heard; a node may die among them."""
    hear = Shell._hear_block

    def hearing(node: Shell[Any], block: Block) -> None:
        newest = node.disk.read[-1] is block
        if newest:
            node.disk.read.pop()
        hear(node, block)
        if newest:
            node.disk.read.append(block)

    patch.setattr(Shell, "_hear_block", hearing)


def locks_too_late(patch: Patch) -> None:
    """An old bug: a lock is sent as long as its proof can be made before the promise, with no time to settle it."""

    def careless(tariff: Tariff, now: int, promise_at: int, backlog_ms: int, proving_ms: int, locks: bool) -> bool:
        return now + pricing.proving_seconds(tariff, backlog_ms, proving_ms) < promise_at

    patch.setattr(pricing, "BID_LIFE", 0)
    patch.setattr(admission, "can_keep", careless)
    trusts_the_mempool(patch)


def trusts_the_mempool(patch: Patch) -> None:
    """An old bug: nobody thinks of a lock that is mined at the last instant that its award allows."""

    def until_the_promise(now: int, promise_at: int, window: int) -> int:
        return min(now + window, promise_at)

    patch.setattr(pricing, "LOCK_WINDOW", 0)
    patch.setattr(client, "lock_by", until_the_promise)
    patch.setattr(admission, "_may_lock_last", lambda *_: True)


def yields_to_other_locks(patch: Patch) -> None:
    """An old bug: a prover whose lock was sent gives up when another one's is mined first."""

    def yielding(state: Any, job: Any, event: ChainLocked) -> Any:
        if event.prover != state.account:
            return prover._drop(state, replace(job, lock_sent=False), "locked by another prover", event.at)
        return prover._locked(state, job, event)

    table: Any = prover.TABLE
    patch.setitem(table, (prover.Phase.LOCKING, ChainLocked), yielding)


def takes_bids_from_anybody(patch: Patch) -> None:
    """An old bug: a bid is taken from whatever peer brings it, and answered there."""
    patch.setattr(client_node.ClientNode, "comes_from", lambda *_: True)


def stays_broken(patch: Patch) -> None:
    """An old bug: what a failed proof stopped is offered again after a restart alone."""
    patch.setattr(prover_node.ProverNode, "mend", lambda *_: None)


def erases_what_lost(patch: Patch) -> None:
    """An old bug: a job that somebody else settled needs its input no more, though its lock was sent."""

    def ending(state: Any, job: Any, event: ChainSettled) -> Any:
        return prover._settled(state, replace(job, lock_sent=False), event)

    table: Any = prover.TABLE
    patch.setitem(table, (prover.Phase.LOCKING, ChainSettled), ending)


def proves_out_of_turn(patch: Patch) -> None:
    """An old bug: a long job is taken while one promised sooner waits for its lock, and gets the worker first."""
    patch.setattr(admission, "_overtakes", lambda *_: False)
    trusts_the_mempool(patch)  # as it was then: promises of today leave time for either


BUGS: dict[str, Bug] = {
    "a chain that loses money": Bug("SIM-1", Leaky),
    "a chain that pays twice": Bug("SIM-2", Forgetful),
    "a chain that takes every proof": Bug("SIM-3", Credulous),
    "a chain that pays more than was signed": Bug("SIM-4", Generous),
    "a chain that slashes who was in time": Bug("SIM-5", Greedy),
    "a prover that gives up locks which land": Bug("SIM-5", plant=drops_failed_locks),
    "a chain that never refunds": Bug("SIM-6", Stuck, liars_ppm=600_000),
    "a chain that settles nothing": Bug("SIM-7", Dead),
    "a chain that robs in silence": Bug("SIM-8", Robbing),
    "a journal that loses its newest record": Bug("SIM-9", plant=forgetful_journal),
    "a prover that counts no debts": Bug("SIM-10", plant=reckless),
    "a client that forgets whom it allows": Bug("SIM-11", plant=indiscreet),
    "a verifier that is always due": Bug("SIM-12", plant=restless),
    "a client that does not hear of its payment": Bug("SIM-13", plant=deaf_to_payments),
    "a client that never ends an effect": Bug("SIM-14", plant=careless_of_receipts),
    "a machine that raises": Bug("KeyError", plant=broken_code),
}

OLD_BUGS: dict[str, Callable[[Patch], None]] = {
    "reorg-of-a-confirmed-settlement": deaf_to_reorgs,
    "lock-that-failed-and-landed": drops_failed_locks,
    "lock-too-late-for-its-promise": locks_too_late,
    "lock-that-waited-while-gas-was-dear": trusts_the_mempool,
    "death-among-the-events-of-a-replaced-block": notes_blocks_too_late,
    "lock-that-lost-and-was-mined-after-a-reorg": yields_to_other_locks,
    "bid-said-again-by-another-peer": takes_bids_from_anybody,
    "breaker-that-stayed-open": stays_broken,
    "long-job-before-one-promised-sooner": proves_out_of_turn,
    "lock-that-lost-to-a-settlement-and-was-mined-after-a-reorg": erases_what_lost,
}
"""Bugs that the swarm found, under the names of their files in tests/regressions."""
