# SPDX-License-Identifier: GPL-3.0-or-later
"""What a prover takes on: whether an award is its own, and the promise surely kept beside what is ahead."""

from __future__ import annotations

from market import refusals
from market.events import AwardReceived
from market.instants import to_seconds
from market.pricing import Tariff, can_keep
from market.prover_state import BUSY, WAITING, Job, Phase, State, exposure
from protocol.eip712 import digest
from protocol.structs import Award


def jobs_ahead(state: State) -> int:
    """Return how many jobs are taken and not proved."""
    return sum(1 for job in state.jobs.values() if job.phase in BUSY)


def backlog_ms(state: State, phases: frozenset[Phase] = BUSY) -> int:
    """Estimated time of all proofs that are not made yet, whatever their programs, in ms."""
    return sum(
        state.programs.get(job.order.program_id, 0) for job in state.jobs.values() if job.phase in phases
    )


def award_fault(state: State, job: Job, event: AwardReceived) -> str:
    """Return the code of the reason to refuse this award of a quoted job, or nothing."""
    award, bid, now = event.award, job.bid, to_seconds(event.at)
    if award.bid_hash != digest(state.network, bid):
        return refusals.BID_UNKNOWN
    if (award.prover, award.payout, award.price, award.promise_at) != (
        bid.prover,
        bid.payout,
        bid.price,
        bid.promise_at,
    ):
        return refusals.AWARD_MISMATCH
    if now > bid.expires_at or (bid.locks and now > award.lock_by):
        return refusals.BID_EXPIRED
    proving_ms = state.programs.get(job.order.program_id, 0)
    if bid.locks and not _may_lock_last(state.tariff, award, 0, proving_ms):
        return refusals.BID_EXPIRED
    kept = surely_kept(state, award, bid.locks, now, proving_ms)
    if jobs_ahead(state) >= 2 * state.tariff.capacity or not kept or _overtakes(state, proving_ms, now):
        return refusals.AT_CAPACITY  # other bids were awarded meanwhile
    unsecured = _unsecured(state, job)
    over = exposure(state, job.order.client) + unsecured > state.tariff.exposure_cap
    if not bid.locks and unsecured and over:
        return refusals.EXPOSURE_EXCEEDED
    return ""


def _unsecured(state: State, job: Job) -> int:
    """What the client's balance has to pay, in wei: all, or what a voided lock does not hold of a dearer price."""
    lock = state.locks.get(job.order_hash)
    return job.bid.price + job.order.verifier_fee if lock is None else max(0, job.bid.price - lock.price)


def surely_kept(
    state: State, award: Award, locks: bool, now: int, proving_ms: int, change_ms: int = 0
) -> bool:
    """Return whether a job that is not begun is proved in time, whatever its lock does.

    It is locked soon and waits for all that is ahead, or its lock is mined at the last instant, and then only
    what has not begun now can be ahead of it. `change_ms` is work that the state does not show (or shows too much).
    """
    ahead, waiting = backlog_ms(state) + change_ms, backlog_ms(state, WAITING) + change_ms
    soon = can_keep(state.tariff, now, award.promise_at, ahead, proving_ms, locks)
    return soon and (not locks or _may_lock_last(state.tariff, award, waiting, proving_ms))


def _may_lock_last(tariff: Tariff, award: Award, waiting_ms: int, proving_ms: int) -> bool:
    """Return whether a lock that is mined at the last instant leaves time for the promise: it cannot be taken back."""
    return can_keep(tariff, award.lock_by, award.promise_at, waiting_ms, proving_ms, True)


def _overtakes(state: State, proving_ms: int, now: int) -> bool:
    """Return whether a job could break an earlier promise, by being proved while that one is still being locked."""
    for job in state.jobs.values():
        if job.phase in WAITING and job.award is not None:
            own_ms = state.programs.get(job.order.program_id, 0)
            if not surely_kept(state, job.award, job.bid.locks, now, own_ms, proving_ms - own_ms):
                return True
    return False
