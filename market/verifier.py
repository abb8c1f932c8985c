# SPDX-License-Identifier: GPL-3.0-or-later
"""The verifier's machine: check a proof off-chain, settle it with what else is ready, tell the prover.

| phase | waits for | at its deadline |
| --- | --- | --- |
| CHECKING | the off-chain check | dropped |
| READY | others to settle with | settled, with all that is ready |
| SETTLING | the chain's word | dropped: the promise is over |
| DONE, DROPPED | nothing | forgotten after the end of the order, or once it is final: a client's order may never end |

A proof that does not verify costs its sender a refusal and a lower score, and never a transaction. A checked
one waits at most `batch_wait`, and never into the last `SPARE` before its promise: a batch must not make a prover late.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from market import refusals
from market.effects import (
    CheckProof,
    Effect,
    Report,
    SendNotice,
    SendRefusal,
    SubmitBatch,
    SubmitSettlement,
    Unexpected,
)
from market.events import (
    CHAIN_EVENTS,
    VERIFIER_EVENTS,
    ChainExpired,
    ChainLocked,
    ChainReleased,
    ChainSettled,
    ChainUndone,
    Event,
    FundsChanged,
    JobEvent,
    ProofChecked,
    ProofReceived,
    SettlementFailed,
    Tick,
)
from market.instants import FINALITY, SECOND, end_of, to_seconds
from market.pricing import is_supported

MAX_JOBS = 1_024
"""Jobs that a verifier holds; those that ended make room for new ones, more than that are refused."""


INCLUDED_OUTPUTS = 12
"""Outputs of a statement that `settle_gas` covers; a client may order many more, of a program of its own."""
OUTPUT_GAS = 8_000
"""What a further output costs at most: a multiplication, an addition, its call data, its place in the event."""

SPARE = 10 * SECOND
"""What is left for a transaction before a deadline, in nanoseconds: the wait for a batch ends before."""


class Phase(StrEnum):
    """Where a verifier's job stands."""

    CHECKING = "checking"
    READY = "ready"
    SETTLING = "settling"
    DONE = "done"
    DROPPED = "dropped"


ENDED = frozenset({Phase.DONE, Phase.DROPPED})
"""Phases in which a job needs no settlement any more."""


@dataclass(frozen=True, slots=True)
class Job:
    """One proof to settle."""

    request: ProofReceived
    phase: Phase
    deadline: int
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """A verifier: its account, its least fee, its jobs, the locks that the chain told."""

    account: bytes
    least_fee: int = 0
    settle_gas: int = 420_000
    gas_price: int = 0
    batch_wait: int = 0
    """How long a checked proof waits for others, in nanoseconds; zero settles each alone."""
    batch_size: int = 64
    """Settlements in one transaction at most."""
    locks: Mapping[bytes, ChainLocked] = field(default_factory=dict)
    settled: Mapping[bytes, int] = field(default_factory=dict)
    """order hash -> instant at which it may be forgotten."""
    jobs: Mapping[bytes, Job] = field(default_factory=dict)


Effects = tuple[Effect, ...]
Step = tuple[State, Effects]

SETTLED_MEMORY = 3_600 * SECOND
"""How long a settled order is remembered, in nanoseconds; the chain remembers for ever."""


def transition(state: State, event: Event) -> Step:
    """Return the state after an event, and what is to be done. Total: never raises for any event."""
    if isinstance(event, Tick):
        return _tick(state, event)
    if isinstance(event, FundsChanged):
        return replace(state, gas_price=event.gas_price), ()
    if not isinstance(event, JobEvent):
        return state, (Unexpected(bytes(32), type(event).__name__, "any"),)
    state = _note_chain(state, event)
    job = state.jobs.get(event.order_hash)
    if job is not None:
        return TABLE.get((job.phase, type(event)), _unexpected)(state, job, event)
    if isinstance(event, ProofReceived):
        return _proof_received(state, event)
    if isinstance(event, CHAIN_EVENTS):
        return state, ()
    return state, (Unexpected(event.order_hash, type(event).__name__, "unknown"),)


def next_deadline(state: State) -> int | None:
    """Return the instant at which a `Tick` is due, None when nothing waits."""
    return min((job.deadline for job in state.jobs.values()), default=None)


def least_acceptable_fee(state: State, outputs: int = 0) -> int:
    """Return the fee below which settling a statement of so many outputs would lose money, in wei."""
    gas = state.settle_gas + OUTPUT_GAS * max(0, outputs - INCLUDED_OUTPUTS)
    return max(state.least_fee, gas * state.gas_price)


def _proof_received(state: State, event: ProofReceived) -> Step:
    code = _fault(state, event)
    if code:
        said = Report(event.order_hash, "refused", event.award.prover, 0, code)
        return state, (said, SendRefusal(event.order_hash, event.peer, code, 0))
    state = _make_room(state)
    job = Job(event, Phase.CHECKING, end_of(_last_second(state, event)))
    check = CheckProof(
        event.order_hash, event.order, event.award, event.outputs, event.proof, event.settler
    )
    return _put(state, job), (check,)


def _fault(state: State, event: ProofReceived) -> str:
    now = to_seconds(event.at)
    lock = state.locks.get(event.order_hash)
    total = event.award.price + event.order.verifier_fee
    if event.settler != state.account:
        return refusals.WRONG_SETTLER
    if not is_supported(event.order):
        return refusals.UNSUPPORTED_ORDER
    if event.order_hash in state.settled:
        return refusals.ALREADY_SETTLED
    if event.order.verifier_fee < least_acceptable_fee(state, len(event.outputs)):
        return refusals.FEE_TOO_LOW
    if now >= _last_second(state, event):
        return refusals.TOO_LATE
    if event.award.price > event.order.price_cap or event.award.promise_at > event.order.promise_by:
        return refusals.AWARD_MISMATCH
    if lock is None and event.client_balance < total:
        return refusals.UNFUNDED
    if len(state.jobs) >= MAX_JOBS and _most_forgettable(state) is None:
        return refusals.AT_CAPACITY
    return ""


def _make_room(state: State) -> State:
    forgotten = _most_forgettable(state) if len(state.jobs) >= MAX_JOBS else None
    return replace(state, jobs={key: job for key, job in state.jobs.items() if key != forgotten})


def _most_forgettable(state: State) -> bytes | None:
    """The job that ended and would be forgotten first; one that was paid for last, for its block may be taken back."""
    ended = [(job.phase is Phase.DONE, job.deadline, key) for key, job in state.jobs.items() if job.phase in ENDED]
    return min(ended)[2] if ended else None


def _last_second(state: State, event: ProofReceived) -> int:
    """A locking award settles until the order's end, every other one until its promise."""
    lock = state.locks.get(event.order_hash)
    if lock is not None and lock.award_hash == event.award_hash:
        return event.order.final_by
    return min(event.award.promise_at, event.order.final_by)


def _checked(state: State, job: Job, event: ProofChecked) -> Step:
    request = job.request
    if not event.valid:
        state = _end(state, job, Phase.DROPPED, "invalid proof", event.at)
        said = Report(job.request.order_hash, "invalid-proof", request.award.prover)
        return state, (said, SendRefusal(request.order_hash, request.peer, refusals.PROOF_INVALID, 0))
    said = Report(request.order_hash, "checked", request.award.prover)
    due = min(event.at + state.batch_wait, job.deadline - SPARE)
    state = _put(state, replace(job, phase=Phase.READY, deadline=due))
    ready = _ready(state)
    if due <= event.at or len(ready) >= state.batch_size:
        state, effects = _settle(state, ready)
        return state, (said, *effects)
    return state, (said,)


def _due(state: State, job: Job, event: Tick) -> Step:
    return _settle(state, _ready(state))


def _ready(state: State) -> tuple[Job, ...]:
    """What waits, the one that must go first in front."""
    ready = [job for job in state.jobs.values() if job.phase is Phase.READY]
    return tuple(sorted(ready, key=lambda job: job.deadline))


def _settle(state: State, ready: tuple[Job, ...]) -> Step:
    """Send a transaction for the first of what is ready, as many as fit."""
    batch = ready[: state.batch_size]
    for job in batch:
        end = end_of(_last_second(state, job.request))
        state = _put(state, replace(job, phase=Phase.SETTLING, deadline=end))
    settlements = tuple(_settlement(job.request) for job in batch)
    if len(settlements) == 1:
        return state, settlements
    return state, (SubmitBatch(settlements[0].order_hash, settlements),)


def _settlement(request: ProofReceived) -> SubmitSettlement:
    return SubmitSettlement(
        request.order_hash,
        request.order,
        request.award,
        request.signature,
        request.outputs,
        request.proof,
        request.settler,
    )


def _settlement_failed(state: State, job: Job, event: SettlementFailed) -> Step:
    request = job.request
    state = _end(state, job, Phase.DROPPED, event.code, event.at)
    said = Report(request.order_hash, "settlement-failed", request.award.prover, 0, event.code)
    return state, (said, SendRefusal(request.order_hash, request.peer, refusals.SETTLEMENT_FAILED, 0))


def _settled(state: State, job: Job, event: ChainSettled) -> Step:
    request = job.request
    earned = event.fee if event.settler == state.account else 0
    state = _end(state, job, Phase.DONE, "settled", event.at)
    said = Report(request.order_hash, "settled", request.award.prover, earned)
    notice = SendNotice(request.order_hash, request.peer, request.award_hash, event.transaction_hash)
    return state, (said, notice)


def _undone(state: State, job: Job, event: ChainUndone) -> Step:
    """The settlement is gone with its block: it is sent again, if it still can be in time."""
    return _settle(state, (job,))


def _expired(state: State, job: Job, event: ChainExpired) -> Step:
    return _end(state, job, Phase.DROPPED, "expired", event.at), ()


def _again(state: State, job: Job, event: ProofReceived) -> Step:
    """A resend of what is in work is fine; anything else about a done order is refused."""
    if job.phase is Phase.DONE:
        return state, (SendRefusal(event.order_hash, event.peer, refusals.ALREADY_SETTLED, 0),)
    return state, ()


def _another(state: State, job: Job, event: ProofReceived) -> Step:
    """A dropped proof does not stand in the way of a good one."""
    return _proof_received(state, event)


def _over(state: State, job: Job, event: Tick) -> Step:
    return _end(state, job, Phase.DROPPED, "too late", event.at), ()


def _forget(state: State, job: Job, event: Tick) -> Step:
    return replace(state, jobs={key: kept for key, kept in state.jobs.items() if kept is not job}), ()


def _tick(state: State, event: Tick) -> Step:
    effects: list[Effect] = []
    for order_hash in [key for key, job in state.jobs.items() if job.deadline <= event.at]:
        if state.jobs[order_hash].deadline > event.at:
            continue  # it went with the batch of another
        state, more = TABLE[state.jobs[order_hash].phase, Tick](state, state.jobs[order_hash], event)
        effects += more
    remembered = {key: until for key, until in state.settled.items() if until > event.at}
    return replace(state, settled=remembered), tuple(effects)


def _note_chain(state: State, event: JobEvent) -> State:
    if isinstance(event, ChainLocked):
        return replace(state, locks={**state.locks, event.order_hash: event})
    if isinstance(event, (ChainSettled, ChainExpired)):
        locks = {key: lock for key, lock in state.locks.items() if key != event.order_hash}
        settled = {**state.settled, event.order_hash: event.at + SETTLED_MEMORY}
        return replace(state, locks=locks, settled=settled)
    if isinstance(event, ChainReleased):
        return replace(state, locks={key: lock for key, lock in state.locks.items() if key != event.order_hash})
    if isinstance(event, ChainUndone):
        locks = {key: lock for key, lock in state.locks.items() if key != event.order_hash}
        settled = {key: until for key, until in state.settled.items() if key != event.order_hash}
        return replace(state, locks=locks, settled=settled)
    return state


def _end(state: State, job: Job, phase: Phase, outcome: str, at: int) -> State:
    deadline = min(end_of(job.request.order.final_by) + SECOND, at + FINALITY)
    return _put(state, replace(job, phase=phase, outcome=outcome, deadline=deadline))


def _put(state: State, job: Job) -> State:
    return replace(state, jobs={**state.jobs, job.request.order_hash: job})


def _nothing(state: State, job: Job, event: Event) -> Step:
    return state, ()


def _unexpected(state: State, job: Job, event: Event) -> Step:
    return state, (Unexpected(job.request.order_hash, type(event).__name__, job.phase),)


Handler = Callable[..., Step]
_WORKING: dict[type[Event], Handler] = {
    Tick: _over,
    ProofReceived: _again,
    ChainLocked: _nothing,
    ChainReleased: _nothing,
    ChainSettled: _settled,
    ChainExpired: _expired,
    ChainUndone: _nothing,
}
_EXPECTED: dict[Phase, dict[type[Event], Handler]] = {
    Phase.CHECKING: {**_WORKING, ProofChecked: _checked},
    Phase.READY: {**_WORKING, Tick: _due},
    Phase.SETTLING: {**_WORKING, SettlementFailed: _settlement_failed},
    Phase.DONE: {
        Tick: _forget,
        ProofReceived: _again,
        ChainLocked: _nothing,
        ChainReleased: _nothing,
        ChainSettled: _nothing,
        ChainExpired: _nothing,
        ChainUndone: _undone,
        SettlementFailed: _nothing,
    },
    Phase.DROPPED: {
        Tick: _forget,
        ProofReceived: _another,
        ChainLocked: _nothing,
        ChainReleased: _nothing,
        ChainSettled: _nothing,
        ChainExpired: _nothing,
        ChainUndone: _nothing,
        SettlementFailed: _nothing,
    },
}
TABLE: dict[tuple[Phase, type[Event]], Handler] = {
    (phase, kind): _EXPECTED[phase].get(kind, _unexpected)
    for phase in Phase
    for kind in VERIFIER_EVENTS
    if kind is not FundsChanged
}
