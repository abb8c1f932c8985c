# SPDX-License-Identifier: GPL-3.0-or-later
"""The prover's machine: preflight, bid, witness, (lock), prove, have it settled.

| phase | waits for | at its deadline |
| --- | --- | --- |
| QUOTED | the award of its bid | the bid is over, forgotten |
| AWARDED | the sealed input | dropped |
| WITNESSING | the worker's word that the input fits | dropped |
| LOCKING | the lock on-chain, also when it is said to have failed | dropped |
| PROVING | the proof | tries again after a failure; too late, dropped (a locked job at the order's end) |
| SENT | the verifier's settlement | settles by itself, a margin before the promise |
| SETTLING | its own settlement | tries again after a refusal; too late, dropped |
| DONE, DROPPED | nothing | forgotten after the end of the order, or once it is final: a client's order may never end |

The witness exists before anything is committed, so a bad input costs nobody a slash. Nothing is
settled twice: the chain's word ends every job, whoever sent the transaction. But blocks are replaced, and a lock that
lost to another one, or to a settlement, is mined in the next ones: once a lock is sent, its input is kept until its
promise, whatever became of the job, and the lock is served when it appears. The first failed proof of
a program, or the loss of what it is proved with, opens a circuit breaker: nothing more is bid, and what
is locked is tried for as long as it can be paid.

Gas that rises after the bid: an award is not taken up below the least margin; a finished proof whose gas has become
dearer than what it earns waits for a lower price, up to the last moment. A proof that was made without a lock and
never paid counts against its client for good: draining deposits, or locking the order for another one once the proof
is out, costs a prover its exposure cap once. So does what the reservation of a void lock does not cover.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from market import refusals
from market.admission import award_fault, backlog_ms, jobs_ahead, surely_kept
from market.effects import (
    ComputeWitness,
    Effect,
    EraseSecrets,
    Report,
    SendBid,
    SendProof,
    SendRefusal,
    StartProof,
    SubmitLock,
    SubmitRelease,
    SubmitSettlement,
    Unexpected,
)
from market.events import (
    CHAIN_EVENTS,
    PROVER_EVENTS,
    AwardReceived,
    ChainExpired,
    ChainLocked,
    ChainReleased,
    ChainSettled,
    ChainUndone,
    Event,
    FundsChanged,
    InputOpened,
    InputRejected,
    JobEvent,
    LockFailed,
    OrderSeen,
    ProgramServed,
    ProofFailed,
    ProofReady,
    SettlementFailed,
    Tick,
    VerifierAnswered,
    VerifierGone,
    VerifierSeen,
    WitnessReady,
)
from market.instants import FINALITY, SECOND, end_of, to_seconds
from market.pricing import (
    BID_LIFE,
    RELEASE_DIVISOR,
    Decline,
    Situation,
    late_earnings,
    preflight,
    worth_releasing,
    worth_settling,
    worth_starting,
)
from market.prover_state import Job, Phase, State, exposure, keeps_input, owes
from protocol.binding import market_binding
from protocol.structs import Bid

__all__ = ["TABLE", "Job", "Phase", "State", "exposure", "next_deadline", "transition"]

FIRST_RETRY = 1
"""Seconds before a failed proof of a locked job, or a refused settlement, is tried again; then twice as many."""
LONGEST_RETRY = 32
"""Most seconds between two tries. They go on as long as the job can be paid."""
GAS_PATIENCE = 12 * SECOND
"""How long a settlement that gas has made too dear waits until the price is looked at again."""
SETTLE_GRACE = 2 * SECOND
"""How long after the last instant a block is waited for that came in time."""


Effects = tuple[Effect, ...]
Step = tuple[State, Effects]


def transition(state: State, event: Event) -> Step:
    """Return the state after an event, and what is to be done. Total: never raises for any event."""
    general = _GENERAL.get(type(event))
    if general is not None:
        return general(state, event)
    if not isinstance(event, JobEvent):
        return state, (Unexpected(bytes(32), type(event).__name__, "any"),)
    state = _note_chain(state, event)
    job = state.jobs.get(event.order_hash)
    if job is not None:
        return TABLE.get((job.phase, type(event)), _unexpected)(state, job, event)
    if isinstance(event, AwardReceived):
        return state, (SendRefusal(event.order_hash, event.peer, refusals.BID_UNKNOWN, 0),)
    if isinstance(event, CHAIN_EVENTS):
        return state, ()
    return state, (Unexpected(event.order_hash, type(event).__name__, "unknown"),)


def next_deadline(state: State) -> int | None:
    """Return the instant at which a `Tick` is due, None when nothing waits."""
    return min((job.deadline for job in state.jobs.values()), default=None)


# --- what is true of the world -----------------------------------------------------------


def _program(state: State, event: ProgramServed) -> Step:
    programs = {**state.programs, event.program_id: event.proving_ms}
    return replace(state, programs=programs, broken=state.broken - {event.program_id}), ()


def _verifier(state: State, event: VerifierSeen) -> Step:
    return replace(state, verifiers={**state.verifiers, event.account: event}), ()


def _verifier_gone(state: State, event: VerifierGone) -> Step:
    rest = {key: known for key, known in state.verifiers.items() if key != event.account}
    return replace(state, verifiers=rest), ()


def _funds(state: State, event: FundsChanged) -> Step:
    return replace(state, balance=event.balance, gas_price=event.gas_price), ()


def _note_chain(state: State, event: JobEvent) -> State:
    if isinstance(event, ChainLocked):
        return replace(state, locks={**state.locks, event.order_hash: event})
    if isinstance(event, CHAIN_EVENTS) and event.order_hash in state.locks:
        return replace(state, locks={k: v for k, v in state.locks.items() if k != event.order_hash})
    return state


def _tick(state: State, event: Tick) -> Step:
    effects: list[Effect] = []
    for order_hash in [key for key, job in state.jobs.items() if job.deadline <= event.at]:
        state, more = TABLE[state.jobs[order_hash].phase, Tick](state, state.jobs[order_hash], event)
        effects += more
    return state, tuple(effects)


# --- bidding -----------------------------------------------------------------------------


def _order_seen(state: State, event: OrderSeen) -> Step:
    job = state.jobs.get(event.order_hash)
    if job is not None:
        committed = job.phase not in (Phase.QUOTED, Phase.DROPPED)
        if committed or _may_be_locked(state, job, event.at) or job.issued_at >= event.issued_at:
            return state, ()
    answer = preflight(event.order, state.tariff, _situation(state, event))
    if isinstance(answer, Decline):
        refusal = SendRefusal(event.order_hash, event.peer, answer.code, answer.quote)
        said = Report(event.order_hash, "declined", event.order.client, answer.quote, answer.code)
        return state, (said, refusal)
    bid = Bid(
        order_hash=event.order_hash,
        prover=state.account,
        payout=state.payout,
        price=answer.price,
        promise_at=answer.promise_at,
        expires_at=to_seconds(event.at) + BID_LIFE,
        locks=answer.locks,
        sealing_key=event.sealing_key,
    )
    quoted = Job(
        order=event.order,
        order_hash=event.order_hash,
        phase=Phase.QUOTED,
        peer=event.peer,
        bid=bid,
        issued_at=event.issued_at,
        deadline=end_of(bid.expires_at),
    )
    said = Report(event.order_hash, "bid", event.order.client, bid.price)
    return _put(state, quoted), (said, SendBid(event.order_hash, event.peer, bid))


def _situation(state: State, event: OrderSeen) -> Situation:
    lock = state.locks.get(event.order_hash)
    now = to_seconds(event.at)
    return Situation(
        now=event.at,
        proving_ms=state.programs.get(event.order.program_id),
        broken=event.order.program_id in state.broken,
        jobs_ahead=jobs_ahead(state),
        backlog_ms=backlog_ms(state),
        exposure=exposure(state, event.order.client),
        client_balance=event.client_balance,
        own_balance=state.balance,
        gas_price=state.gas_price,
        locked_by_other=lock is not None and lock.promise_at >= now,
        secured=lock is not None and lock.promise_at < now,
        reserved=lock.price if lock is not None else 0,
        verifier=event.verifier,
    )


# --- from the award to the proof ---------------------------------------------------------


def _award(state: State, job: Job, event: AwardReceived) -> Step:
    code = award_fault(state, job, event)
    if code:
        return state, (SendRefusal(job.order_hash, event.peer, code, 0),)
    job = replace(
        job,
        phase=Phase.AWARDED,
        peer=event.peer,
        award=event.award,
        signature=event.signature,
        deadline=event.at + state.tariff.input_patience * SECOND,
    )
    return _put(state, job), (Report(job.order_hash, "won", job.order.client, event.award.price),)


def _award_again(state: State, job: Job, event: AwardReceived) -> Step:
    """The same award twice is a resend; another one makes no sense."""
    if event.award == job.award:
        return state, ()
    return state, (SendRefusal(job.order_hash, event.peer, refusals.AWARD_MISMATCH, 0),)


def _award_over(state: State, job: Job, event: AwardReceived) -> Step:
    return state, (SendRefusal(job.order_hash, event.peer, refusals.BID_EXPIRED, 0),)


def _input_opened(state: State, job: Job, event: InputOpened) -> Step:
    job = replace(job, phase=Phase.WITNESSING, deadline=end_of(job.bid.promise_at))
    return _put(state, job), (ComputeWitness(job.order_hash, job.order),)


def _input_rejected(state: State, job: Job, event: InputRejected) -> Step:
    return _drop_and_tell(state, job, refusals.INPUT_INVALID, event.at)


def _witness(state: State, job: Job, event: WitnessReady) -> Step:
    proving_ms, gas_price = state.programs.get(job.order.program_id, 0), state.gas_price
    if not worth_starting(job.order, job.bid.price, state.tariff, gas_price, proving_ms, job.bid.locks):
        return _drop_and_tell(state, job, refusals.GAS_ROSE, event.at)
    if not job.bid.locks:
        return _prove(state, job, event.at)
    award = job.award
    assert award is not None
    now = to_seconds(event.at)
    kept = surely_kept(state, award, True, now, proving_ms, -proving_ms)
    if now > award.lock_by or not kept:  # a lock that cannot be served in time costs the collateral
        return _drop_and_tell(state, job, refusals.BID_EXPIRED, event.at)
    lock = SubmitLock(job.order_hash, job.order, award, job.signature)
    return _put(state, replace(job, phase=Phase.LOCKING, lock_sent=True)), (lock,)


def _lock_failed(state: State, job: Job, event: LockFailed) -> Step:
    """Whoever says so may be wrong: what can still be mined would cost the collateral. So the input is kept."""
    said = Report(job.order_hash, "lock-failed", job.order.client)
    tell = SendRefusal(job.order_hash, job.peer, refusals.LOCK_FAILED, 0)
    return _await_lock(state, job), (said, tell)


def _await_lock(state: State, job: Job) -> State:
    return _put(state, replace(job, deadline=_lock_known(state, job)))


def _lock_known(state: State, job: Job) -> int:
    """When a lock that was sent has been heard of, or is not mined any more."""
    assert job.award is not None
    return end_of(job.award.lock_by) + state.tariff.promise_slack * SECOND


def _may_be_locked(state: State, job: Job, at: int) -> bool:
    """Whether the collateral is at stake, whatever the last word on the lock was."""
    return job.locked or (job.lock_sent and at < _lock_known(state, job))


def _locked(state: State, job: Job, event: ChainLocked) -> Step:
    """Another prover's lock may be replaced with its block, and this one's, sent already, may be mined instead."""
    if event.prover != state.account:
        return _await_lock(state, job), (Report(job.order_hash, "locked-by-another", event.prover),)
    return _prove(state, replace(job, locked=True), event.at)


def _locked_elsewhere(state: State, job: Job, event: ChainLocked) -> Step:
    if event.prover == state.account:
        job = replace(job, locked=True)
        deadline = min(job.deadline, _proof_due(state, job, event.at)) if job.phase is Phase.PROVING else job.deadline
        return _put(state, replace(job, deadline=deadline)), ()
    if to_seconds(event.at) > event.promise_at:
        return state, ()  # a void one, told again: it hinders nobody
    if job.proof is not None and not job.bid.locks:  # shown to the verifier, who may be the client's
        state = owes(state, job.order.client, job.bid.price + job.order.verifier_fee)
    return _drop(state, replace(job, locked=False), "locked by another prover", event.at)


def _lock_undone(state: State, job: Job, event: ChainUndone) -> Step:
    """The lock mostly comes again in another block; the work goes on."""
    return _put(state, replace(job, locked=False)), ()


def _prove(state: State, job: Job, at: int) -> Step:
    settler = _settler(state, job)
    due = _proof_due(state, job, at)
    job = replace(job, phase=Phase.PROVING, settler=settler, resting=False, deadline=due)
    binding = market_binding(job.order_hash, job.bid.payout, settler)
    said = Report(job.order_hash, "proving", job.order.client)
    return _put(state, job), (said, StartProof(job.order_hash, job.order, binding))


def _settler(state: State, job: Job) -> bytes:
    """The verifier with the least fee that the order pays; this prover itself when there is none."""
    willing = [v for v in state.verifiers.values() if v.least_fee <= job.order.verifier_fee]
    if not willing:
        return state.account
    ordered = sorted(willing, key=lambda v: (v.least_fee, v.account))
    equal = [v for v in ordered if v.least_fee == ordered[0].least_fee]
    return equal[int.from_bytes(job.order_hash[:4], "big") % len(equal)].account


# --- from the proof to the payment -------------------------------------------------------


def _proof(state: State, job: Job, event: ProofReady) -> Step:
    award = job.award
    assert award is not None
    job = replace(job, proof=event)
    said = Report(job.order_hash, "proved", job.order.client, 0, f"{event.proving_ms} ms")
    verifier = state.verifiers.get(job.settler)
    if verifier is None:
        state, effects = _settle_if_worth(state, job, event.at)
        return state, (said, *effects)
    patience = event.at + state.tariff.verifier_patience * SECOND
    kept = to_seconds(event.at) <= award.promise_at
    last = ((award.promise_at if kept else job.order.final_by) - state.tariff.settle_margin) * SECOND
    job = replace(job, phase=Phase.SENT, deadline=min(patience, last))
    send = SendProof(
        job.order_hash,
        verifier.peer,
        job.order,
        award,
        job.signature,
        event.outputs,
        event.proof,
        job.settler,
    )
    return _put(state, job), (said, send)


def _proof_failed(state: State, job: Job, event: ProofFailed) -> Step:
    state = _break(state, job)
    if _may_be_locked(state, job, event.at):
        return _again_later(state, job, event.at), (Report(job.order_hash, "proof-failed", job.order.client),)
    return _drop_and_tell(state, job, refusals.PROVING_FAILED, event.at)


def _cannot_prove(state: State, job: Job, event: ProofFailed) -> Step:
    """What the program is proved with is lost: nothing is committed yet, and nothing will be."""
    return _drop_and_tell(_break(state, job), job, refusals.PROVING_FAILED, event.at)


def _break(state: State, job: Job) -> State:
    return replace(state, broken=state.broken | {job.order.program_id})


def _again_later(state: State, job: Job, at: int) -> State:
    """The next try, after twice the wait of the one before."""
    wait = min(LONGEST_RETRY, FIRST_RETRY << min(job.attempts, 16)) * SECOND
    last = _proof_due(state, job, at) if job.phase is Phase.PROVING else _last_instant(job)
    job = replace(job, attempts=job.attempts + 1, resting=True, deadline=min(at + wait, last))
    return _put(state, job)


def _proof_overdue(state: State, job: Job, event: Tick) -> Step:
    """A proof that failed is tried again; a lock without a proof is given up while that still costs less."""
    if event.at >= _last_instant(job):
        return _too_late(state, job, event)
    hopeless = job.locked and _release_at(state, job) <= event.at < end_of(job.bid.promise_at)
    if hopeless and _saves_by_release(state, job):
        return _release(state, replace(job, deadline=end_of(job.bid.promise_at)))
    if job.resting:
        return _prove(state, job, event.at)
    return _put(state, replace(job, deadline=_last_instant(job))), ()


def _release(state: State, job: Job) -> Step:
    """The chain's word ends the job: until then a proof may still come, and be settled."""
    assert job.award is not None
    said = Report(job.order_hash, "releasing", job.order.client, job.order.collateral // RELEASE_DIVISOR)
    return _put(state, job), (said, SubmitRelease(job.order_hash, job.order, job.award))


def _release_at(state: State, job: Job) -> int:
    """From when on a proof would come too late to be settled before its promise, in nanoseconds."""
    return (job.bid.promise_at - state.tariff.settle_margin) * SECOND


def _proof_due(state: State, job: Job, at: int) -> int:
    release = _release_at(state, job)
    return release if job.locked and at < release and _saves_by_release(state, job) else _last_instant(job)


def _saves_by_release(state: State, job: Job) -> bool:
    return worth_releasing(job.order, state.tariff, state.gas_price, late_earnings(job.order, job.bid.price))


def _last_instant(job: Job) -> int:
    """A job under a lock is paid until the end of its order, every other one until its promise."""
    return end_of(job.order.final_by if job.bid.locks else job.bid.promise_at)


def _verifier_answered(state: State, job: Job, event: VerifierAnswered) -> Step:
    if not event.code:
        return state, (Report(job.order_hash, "verifier-accepted", job.settler),)
    said = Report(job.order_hash, "verifier-refused", job.settler, 0, event.code)
    state, effects = _settle_if_worth(state, job, event.at)
    return state, (said, *effects)


def _verifier_silent(state: State, job: Job, event: Tick) -> Step:
    said = Report(job.order_hash, "verifier-silent", job.settler)
    state, effects = _settle_if_worth(state, job, event.at)
    return state, (said, *effects)


def _settle_if_worth(state: State, job: Job, at: int) -> Step:
    """Settle by itself, or wait for cheaper gas while there is time; a kept promise saves the collateral, too."""
    kept = _may_be_locked(state, job, at) and to_seconds(at) <= job.bid.promise_at
    at_stake = job.order.collateral if kept else 0
    if worth_settling(job.order, job.bid.price, state.tariff, state.gas_price, at_stake):
        return _settle(state, job)
    last = _last_instant(job)
    latest = last - state.tariff.settle_margin * SECOND
    due = min(at + GAS_PATIENCE, latest) if at < latest else last
    said = Report(job.order_hash, "gas-too-high", job.order.client, state.tariff.settle_gas * state.gas_price)
    return _put(state, replace(job, phase=Phase.SETTLING, deadline=due)), (said,)


def _settle(state: State, job: Job) -> Step:
    award, proof = job.award, job.proof
    assert award is not None and proof is not None
    job = replace(job, phase=Phase.SETTLING, deadline=_last_instant(job) + SETTLE_GRACE)
    effect = SubmitSettlement(
        job.order_hash, job.order, award, job.signature, proof.outputs, proof.proof, job.settler
    )
    return _put(state, job), (effect,)


def _settlement_failed(state: State, job: Job, event: SettlementFailed) -> Step:
    """The chain refused, and may not for ever; if somebody else settled, its own event ends the job."""
    said = Report(job.order_hash, "settlement-failed", job.order.client, 0, event.code)
    return _again_later(state, job, event.at), (said,)


def _settle_again(state: State, job: Job, event: Tick) -> Step:
    """A try at the very last instant is too late; its block may still come."""
    last = _last_instant(job)
    if event.at >= last + SETTLE_GRACE:
        return _too_late(state, job, event)
    if event.at >= last:
        return _put(state, replace(job, deadline=last + SETTLE_GRACE)), ()
    return _settle_if_worth(state, job, event.at)


def _settlement_over(state: State, job: Job, event: SettlementFailed) -> Step:
    return state, (Report(job.order_hash, "settlement-failed", job.order.client, 0, event.code),)


def _settled(state: State, job: Job, event: ChainSettled) -> Step:
    earned = event.price if event.payout == state.payout and event.prover == state.account else 0
    outcome = "paid" if earned else "settled by another prover"
    state = owes(state, job.order.client, -earned)
    said = Report(job.order_hash, "paid" if earned else "lost", job.order.client, earned)
    state, effects = _rest(state, replace(job, phase=Phase.DONE, outcome=outcome, earned=earned), event.at)
    return state, (said, *effects)


def _payment_undone(state: State, job: Job, event: ChainUndone) -> Step:
    """The payment is gone with its block: it is asked for again with the same proof; without one a lock may come."""
    job = replace(job, locked=False, earned=0, outcome="", attempts=0)
    if job.proof is None:
        return _drop(state, job, "undone", event.at)
    said = Report(job.order_hash, "payment-undone", job.order.client)
    state, effects = _settle_if_worth(state, job, event.at)
    return state, (said, *effects)


def _locked_after_all(state: State, job: Job, event: ChainLocked) -> Step:
    """A lock of a job that was given up: what is proved is settled, else it is proved while the input is there."""
    if event.prover != state.account:
        return state, ()
    job = replace(job, locked=True, attempts=0)
    if job.proof is not None:
        return _settle_if_worth(state, job, event.at)
    if keeps_input(job):
        return _prove(state, job, event.at)
    released = job.award is not None and event.at < end_of(job.bid.promise_at)
    if released and worth_releasing(job.order, state.tariff, state.gas_price, 0):
        return _release(state, job)
    return _put(state, job), ()


def _released(state: State, job: Job, event: ChainReleased) -> Step:
    """Without a lock a proof that is made already is paid directly; one that is not made will not be."""
    if event.prover != state.account or not job.locked:
        return state, ()
    job = replace(job, locked=False, lock_sent=False)
    if job.phase is Phase.PROVING:
        return _drop(state, job, "lock released", event.at)
    return _put(state, job), ()


def _expired(state: State, job: Job, event: ChainExpired) -> Step:
    return _drop(state, job, "expired on-chain", event.at)


# --- ends --------------------------------------------------------------------------------


def _too_late(state: State, job: Job, event: Tick) -> Step:
    if job.phase is Phase.SETTLING and not job.locked:
        state = owes(state, job.order.client, job.bid.price + job.order.verifier_fee)
    return _drop(state, job, "too late", event.at)


def _forget(state: State, job: Job, event: Tick) -> Step:
    if keeps_input(job):
        return _rest(state, job, event.at)
    jobs = {key: kept for key, kept in state.jobs.items() if kept is not job}
    return replace(state, jobs=jobs), (EraseSecrets(job.order_hash),)


def _drop_and_tell(state: State, job: Job, code: str, at: int) -> Step:
    state, effects = _drop(state, job, code, at)
    return state, (SendRefusal(job.order_hash, job.peer, code, 0), *effects)


def _drop(state: State, job: Job, outcome: str, at: int) -> Step:
    said = Report(job.order_hash, "dropped", job.order.client, 0, outcome)
    state, effects = _rest(state, replace(job, phase=Phase.DROPPED, outcome=outcome), at)
    return state, (said, *effects)


def _rest(state: State, job: Job, at: int) -> Step:
    """Erase the input of a job that ended; at its promise, if until then a lock of it may have to be served."""
    promise = end_of(job.bid.promise_at)
    if keeps_input(job) and at < promise:
        return _put(state, replace(job, deadline=promise)), ()
    final = max(at, promise) + FINALITY
    end = final if job.phase is Phase.DONE else min(final, end_of(job.order.final_by) + SECOND)
    job = replace(job, lock_sent=job.lock_sent and job.proof is not None, deadline=end)
    return _put(state, job), (EraseSecrets(job.order_hash),)


def _put(state: State, job: Job) -> State:
    return replace(state, jobs={**state.jobs, job.order_hash: job})


def _nothing(state: State, job: Job, event: Event) -> Step:
    return state, ()


def _unexpected(state: State, job: Job, event: Event) -> Step:
    return state, (Unexpected(job.order_hash, type(event).__name__, job.phase),)


Handler = Callable[..., Step]
_GENERAL: dict[type[Event], Handler] = {
    Tick: _tick,
    ProgramServed: _program,
    VerifierSeen: _verifier,
    VerifierGone: _verifier_gone,
    FundsChanged: _funds,
    OrderSeen: _order_seen,
}
_WORKING: dict[type[Event], Handler] = {
    Tick: _too_late,
    AwardReceived: _award_again,
    ChainLocked: _locked_elsewhere,
    ChainSettled: _settled,
    ChainReleased: _released,
    ChainExpired: _expired,
    ChainUndone: _lock_undone,
}
_ENDED: dict[type[Event], Handler] = {
    Tick: _forget,
    AwardReceived: _award_over,
    ChainLocked: _nothing,
    ChainReleased: _released,
    ChainExpired: _nothing,
    ChainUndone: _nothing,
    LockFailed: _nothing,
    SettlementFailed: _settlement_over,
    VerifierAnswered: _nothing,
}
_EXPECTED: dict[Phase, dict[type[Event], Handler]] = {
    Phase.QUOTED: {**_WORKING, Tick: _forget, AwardReceived: _award},
    Phase.AWARDED: {**_WORKING, InputOpened: _input_opened, InputRejected: _input_rejected},
    Phase.WITNESSING: {
        **_WORKING,
        WitnessReady: _witness,
        InputRejected: _input_rejected,
        ProofFailed: _cannot_prove,
    },
    Phase.LOCKING: {**_WORKING, ChainLocked: _locked, LockFailed: _lock_failed},
    Phase.PROVING: {
        **_WORKING,
        LockFailed: _nothing,
        Tick: _proof_overdue,
        ProofReady: _proof,
        ProofFailed: _proof_failed,
    },
    Phase.SENT: {
        **_WORKING,
        LockFailed: _nothing,
        Tick: _verifier_silent,
        VerifierAnswered: _verifier_answered,
    },
    Phase.SETTLING: {
        **_WORKING,
        LockFailed: _nothing,
        Tick: _settle_again,
        SettlementFailed: _settlement_failed,
        VerifierAnswered: _nothing,
    },
    Phase.DONE: {**_ENDED, ChainSettled: _nothing, ChainUndone: _payment_undone},
    Phase.DROPPED: {**_ENDED, ChainSettled: _settled, ChainLocked: _locked_after_all},
}
TABLE: dict[tuple[Phase, type[Event]], Handler] = {
    (phase, kind): _EXPECTED[phase].get(kind, _unexpected)
    for phase in Phase
    for kind in PROVER_EVENTS
    if kind is Tick or kind not in _GENERAL
}
