# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's machine: one auction after another until the order is settled or refunded.

| phase | waits for | at its deadline |
| --- | --- | --- |
| COLLECTING | bids and refusals | awards the best bid; with none, asks again with a longer window |
| AWARDED | settlement (or a lock) | strikes the prover and starts a new auction |
| LOCKED | settlement | the lock is void: strikes the prover and starts a new auction |
| WAITING | the end of the order; a late settlement is still possible | refund of a lock, or failure |
| REFUNDING | the chain's word that the refund happened | sends the refund again |
| SETTLED, REFUNDED, FAILED, CANCELLED | nothing | forgotten after the end of the order |

An auction never costs the client its claim: an award that was not used is void at its promise, and one
order is settled once, whoever does it. A lock that comes late, after the client gave up, is waited for
and refunded like any other, and a chain that takes back what it said is waited for as well. Events that make no
sense in a phase change nothing and give an `Unexpected` effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from market import refusals
from market.auction import MAX_BIDS, POLICIES, Decision, ReceivedBid, acceptable, rank
from market.effects import (
    Announce,
    Effect,
    EraseSecrets,
    KeepReceipt,
    Report,
    SendAward,
    SendRefusal,
    SubmitCancel,
    SubmitExpire,
    Unexpected,
)
from market.events import (
    CLIENT_EVENTS,
    AwardAccepted,
    BidReceived,
    CancelAsked,
    ChainExpired,
    ChainLocked,
    ChainReleased,
    ChainSettled,
    ChainUndone,
    Event,
    JobEvent,
    OrderPlaced,
    RefusalReceived,
    Tick,
)
from market.instants import FINALITY, SECOND, end_of, to_seconds
from market.pricing import LOCK_WINDOW, lock_by
from market.reputation import Reputation, delivered, failed
from protocol.structs import Award, Order


class Phase(StrEnum):
    """Where a client's job stands."""

    COLLECTING = "collecting"
    AWARDED = "awarded"
    LOCKED = "locked"
    WAITING = "waiting"
    REFUNDING = "refunding"
    SETTLED = "settled"
    REFUNDED = "refunded"
    FAILED = "failed"
    CANCELLED = "cancelled"


REFUND_RETRY = 30 * SECOND
"""How long the chain is given to show a refund before it is asked for again, in nanoseconds."""

LEAST_LIFE = 15 * SECOND
"""How long a bid must live for its end to close an auction, in nanoseconds."""

FINAL = frozenset({Phase.SETTLED, Phase.REFUNDED, Phase.FAILED, Phase.CANCELLED})


@dataclass(frozen=True, slots=True)
class Terms:
    """How a client runs its auctions."""

    max_rounds: int = 6
    lock_window: int = LOCK_WINDOW
    """Most seconds after the award in which a lock is allowed."""
    settle_grace: int = 2 * SECOND
    """How long after a promise the chain is given to show the settlement, in nanoseconds."""


@dataclass(frozen=True, slots=True)
class Job:
    """One order of this client."""

    order: Order
    order_hash: bytes
    phase: Phase
    policy: str
    window: int
    allowed: tuple[bytes, ...] | None
    deadline: int
    round: int = 1
    bids: tuple[ReceivedBid, ...] = ()
    refused: tuple[tuple[bytes, str, int], ...] = ()
    """(prover, code, quote) of every refusal, newest last."""
    excluded: tuple[bytes, ...] = ()
    decision: Decision | None = None
    award: Award | None = None
    lock: ChainLocked | None = None
    cancelled: bool = False
    outcome: str = ""
    transaction_hash: bytes | None = None
    paid: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """All jobs of a client and what it knows of provers."""

    terms: Terms = field(default_factory=Terms)
    jobs: Mapping[bytes, Job] = field(default_factory=dict)
    reputation: Reputation = field(default_factory=dict)


Effects = tuple[Effect, ...]
Step = tuple[State, Effects]


def transition(state: State, event: Event) -> Step:
    """Return the state after an event, and what is to be done. Total: never raises for any event."""
    if isinstance(event, OrderPlaced):
        return _order_placed(state, event)
    if isinstance(event, Tick):
        return _tick(state, event)
    if not isinstance(event, JobEvent):
        return state, (Unexpected(bytes(32), type(event).__name__, "any"),)
    job = state.jobs.get(event.order_hash)
    if job is not None:
        return TABLE.get((job.phase, type(event)), _unexpected)(state, job, event)
    if isinstance(event, (ChainLocked, ChainSettled, ChainExpired, ChainUndone)):
        return state, ()
    return state, (Unexpected(event.order_hash, type(event).__name__, "unknown"),)


def next_deadline(state: State) -> int | None:
    """Return the instant at which a `Tick` is due, None when nothing waits."""
    return min((job.deadline for job in state.jobs.values()), default=None)


# --- placing and collecting --------------------------------------------------------------


def _order_placed(state: State, event: OrderPlaced) -> Step:
    if event.order_hash in state.jobs:
        return state, (Unexpected(event.order_hash, "OrderPlaced", state.jobs[event.order_hash].phase),)
    if event.policy not in POLICIES:
        return state, (Unexpected(event.order_hash, "OrderPlaced", "unknown policy"),)
    job = Job(
        order=event.order,
        order_hash=event.order_hash,
        phase=Phase.COLLECTING,
        policy=event.policy,
        window=event.window,
        allowed=event.allowed,
        deadline=event.at + event.window,
    )
    return _put(state, job), (_announce(job, event.at),)


def _bid(state: State, job: Job, event: BidReceived) -> Step:
    bid = event.bid
    code = ""
    if job.allowed is not None and bid.prover not in job.allowed:
        code = refusals.NOT_ALLOWED
    elif not acceptable(job.order, bid, to_seconds(event.at)):
        code = refusals.BID_OVER_CAP
    elif bid.prover in job.excluded:
        code = refusals.AUCTION_CLOSED
    others = tuple(held for held in job.bids if held.bid.prover != bid.prover)
    if not code and len(others) >= MAX_BIDS:
        code = refusals.TOO_MANY_BIDS
    if code:
        return state, (SendRefusal(job.order_hash, event.peer, code, 0),)
    received = ReceivedBid(event.peer, bid, event.bid_hash, event.slashes)
    job = replace(job, bids=(*others, received), deadline=_closes(job, event))
    return _put(state, job), (Report(job.order_hash, "bid", bid.prover, bid.price),)


def _closes(job: Job, event: BidReceived) -> int:
    """A long window is for provers that are slow to answer: once one has, the others have the first window's time.

    No bid is waited for until it has expired, unless it hardly lives at all: nobody shall cut an auction short.
    """
    closes = min(job.deadline, event.at + job.window)
    last = end_of(event.bid.expires_at) - SECOND
    return min(closes, last) if last >= event.at + LEAST_LIFE else closes


def _bid_too_late(state: State, job: Job, event: BidReceived) -> Step:
    return state, (SendRefusal(job.order_hash, event.peer, refusals.AUCTION_CLOSED, 0),)


def _refusal(state: State, job: Job, event: RefusalReceived) -> Step:
    job = _note_refusal(job, event)
    return _put(state, job), (Report(job.order_hash, "refusal", event.prover, event.quote, event.code),)


def _award_refused(state: State, job: Job, event: RefusalReceived) -> Step:
    assert job.award is not None
    if event.prover != job.award.prover:
        return _refusal(state, job, event)
    job = replace(_note_refusal(job, event), award=None)
    if event.code not in refusals.PASSING:
        job = replace(job, excluded=(*job.excluded, event.prover))
    said = Report(job.order_hash, "award-refused", event.prover, 0, event.code)
    state, effects = _choose(_put(state, job), job, event.at)
    return state, (said, *effects)


def _note_refusal(job: Job, event: RefusalReceived) -> Job:
    known = tuple(entry for entry in job.refused if entry[0] != event.prover)[-MAX_BIDS:]
    return replace(job, refused=(*known, (event.prover, event.code, event.quote)))


def _choose(state: State, job: Job, at: int) -> Step:
    """Award the best live bid; without one, start the next round or give up."""
    now = to_seconds(at)
    live = [
        held
        for held in job.bids
        if acceptable(job.order, held.bid, now) and held.bid.prover not in job.excluded
    ]
    if job.cancelled:
        return _give_up(state, job, at)
    if not live:
        return _next_round(state, job, at)
    decision, ordered = rank(live, job.policy, state.reputation)
    best = ordered[0]
    award = Award(
        order_hash=job.order_hash,
        bid_hash=best.bid_hash,
        prover=best.bid.prover,
        payout=best.bid.payout,
        price=best.bid.price,
        promise_at=best.bid.promise_at,
        lock_by=lock_by(now, best.bid.promise_at, state.terms.lock_window),
    )
    job = replace(
        job,
        phase=Phase.AWARDED,
        award=award,
        decision=decision,
        bids=tuple(held for held in job.bids if held is not best),
        deadline=end_of(award.promise_at) + state.terms.settle_grace,
    )
    said = Report(job.order_hash, "award", award.prover, award.price, decision.policy)
    return _put(state, job), (said, SendAward(job.order_hash, best.peer, award, best.bid.sealing_key))


def _next_round(state: State, job: Job, at: int) -> Step:
    window = job.window << min(job.round, 4)
    if job.round >= state.terms.max_rounds or to_seconds(at + window) >= job.order.promise_by:
        return _give_up(state, job, at)
    job = replace(
        job, phase=Phase.COLLECTING, round=job.round + 1, bids=(), award=None, deadline=at + window
    )
    return _put(state, job), (_announce(job, at),)


def _give_up(state: State, job: Job, at: int) -> Step:
    """No further auction. A lock is waited for until the end of the order, anything else is over."""
    if job.lock is not None or job.award is not None:
        waiting = replace(job, phase=Phase.WAITING, deadline=end_of(job.order.final_by))
        return _put(state, waiting), ()
    if job.cancelled:
        return _finish(state, job, Phase.CANCELLED, "cancelled", at)
    reason = "no bids" if job.round == 1 or not job.decision else "no proof"
    return _finish(state, job, Phase.FAILED, reason, at)


# --- deadlines ---------------------------------------------------------------------------


def _tick(state: State, event: Tick) -> Step:
    effects: list[Effect] = []
    for order_hash in [key for key, job in state.jobs.items() if job.deadline <= event.at]:
        state, more = TABLE[state.jobs[order_hash].phase, Tick](state, state.jobs[order_hash], event)
        effects += more
    return state, tuple(effects)


def _window_over(state: State, job: Job, event: Tick) -> Step:
    return _choose(state, job, event.at)


def _promise_over(state: State, job: Job, event: Tick) -> Step:
    """Strike the one whose promise it was: a lock's prover need not be the last awarded one."""
    promised = job.lock if job.phase is Phase.LOCKED else job.award
    assert promised is not None
    return _strike(state, job, promised.prover, "promise-missed", event.at)


def _strike(state: State, job: Job, prover: bytes, topic: str, at: int) -> Step:
    """A prover has not kept its promise: it is remembered, and the order goes to another."""
    state = replace(state, reputation=failed(state.reputation, prover))
    job = replace(job, excluded=(*job.excluded, prover), award=None)
    state, effects = _choose(_put(state, job), job, at)
    return state, (Report(job.order_hash, topic, prover), *effects)


def _order_over(state: State, job: Job, event: Tick) -> Step:
    if job.lock is None:
        outcome = Phase.CANCELLED if job.cancelled else Phase.FAILED
        return _finish(state, job, outcome, "cancelled" if job.cancelled else "no proof", event.at)
    refund = SubmitExpire(job.order_hash, job.order, job.lock.award_hash)
    job = replace(job, phase=Phase.REFUNDING, deadline=event.at + REFUND_RETRY)
    return _put(state, job), (refund,)


def _forget(state: State, job: Job, event: Tick) -> Step:
    return replace(state, jobs={key: kept for key, kept in state.jobs.items() if kept is not job}), ()


# --- the prover's and the chain's word ---------------------------------------------------


def _award_accepted(state: State, job: Job, event: AwardAccepted) -> Step:
    return state, (Report(job.order_hash, "award-accepted", event.prover),)


def _locked(state: State, job: Job, event: ChainLocked) -> Step:
    deadline = end_of(event.promise_at) + state.terms.settle_grace
    job = replace(job, phase=Phase.LOCKED, lock=event, deadline=deadline)
    return _put(state, job), (Report(job.order_hash, "locked", event.prover),)


def _settled(state: State, job: Job, event: ChainSettled) -> Step:
    state = replace(state, reputation=delivered(state.reputation, event.prover))
    job = replace(job, transaction_hash=event.transaction_hash, paid=event.price + event.fee)
    state, effects = _finish(state, job, Phase.SETTLED, "settled", event.at)
    said = Report(job.order_hash, "settled", event.prover, event.price + event.fee)
    return state, (said, KeepReceipt(job.order_hash, job.order, event.transaction_hash), *effects)


def _expired(state: State, job: Job, event: ChainExpired) -> Step:
    job = replace(job, transaction_hash=event.transaction_hash)
    state, effects = _finish(state, job, Phase.REFUNDED, "refunded", event.at)
    return state, (Report(job.order_hash, "refunded"), *effects)


def _released(state: State, job: Job, event: ChainReleased) -> Step:
    """The prover gave its lock up: its reservation is back, and nothing is left to wait for."""
    return _strike(state, replace(job, lock=None), event.prover, "lock-released", event.at)


def _released_late(state: State, job: Job, event: ChainReleased) -> Step:
    """Heard of when the order is nearly or wholly over: there is nothing to refund."""
    deadline = event.at if job.phase is Phase.REFUNDING else job.deadline
    return _put(state, replace(job, phase=Phase.WAITING, lock=None, deadline=deadline)), ()


def _undone(state: State, job: Job, event: ChainUndone) -> Step:
    """The blocks are replaced: what was in them mostly comes again, and is waited for until the order's end."""
    said = Report(job.order_hash, "chain-undone", text=job.phase)
    job = replace(job, lock=None, transaction_hash=None, paid=0, outcome="")
    if job.phase is Phase.LOCKED and job.award is not None:
        deadline = end_of(job.award.promise_at) + state.terms.settle_grace
        return _put(state, replace(job, phase=Phase.AWARDED, deadline=deadline)), (said,)
    end = max(end_of(job.order.final_by), event.at + REFUND_RETRY)
    return _put(state, replace(job, phase=Phase.WAITING, deadline=end)), (said,)


def _lock_gone(state: State, job: Job, event: ChainUndone | ChainReleased) -> Step:
    return _put(state, replace(job, lock=None)), ()


# --- cancelling --------------------------------------------------------------------------


def _cancel_auction(state: State, job: Job, event: CancelAsked) -> Step:
    if job.lock is not None or job.decision is not None:
        return _cancel_award(state, job, event)
    return _finish(state, replace(job, cancelled=True), Phase.CANCELLED, "cancelled", event.at)


def _cancel_award(state: State, job: Job, event: CancelAsked) -> Step:
    """An award is out: it stays good until its promise; no further one is made."""
    if job.lock is not None:
        return _cancel_locked(state, job, event)
    job = replace(job, cancelled=True)
    return _put(state, job), (SubmitCancel(job.order_hash, job.order),)


def _cancel_locked(state: State, job: Job, event: CancelAsked) -> Step:
    return state, (Report(job.order_hash, "cancel-refused", text="the order is locked"),)


# --- common ------------------------------------------------------------------------------


def _announce(job: Job, at: int) -> Announce:
    return Announce(job.order_hash, job.order, to_seconds(at), to_seconds(job.deadline))


def _finish(state: State, job: Job, phase: Phase, outcome: str, at: int) -> Step:
    end = max(end_of(job.order.final_by) + SECOND, at + FINALITY)
    job = replace(job, phase=phase, outcome=outcome, bids=(), deadline=end)
    said = () if phase in (Phase.SETTLED, Phase.REFUNDED) else (Report(job.order_hash, phase),)
    return _put(state, job), (*said, EraseSecrets(job.order_hash))


def _nothing(state: State, job: Job, event: Event) -> Step:
    return state, ()


def _put(state: State, job: Job) -> State:
    return replace(state, jobs={**state.jobs, job.order_hash: job})


def _unexpected(state: State, job: Job, event: JobEvent | Tick) -> Step:
    return state, (Unexpected(job.order_hash, type(event).__name__, job.phase),)


Handler = Callable[..., Step]
_EXPECTED: dict[Phase, dict[type[Event], Handler]] = {
    Phase.COLLECTING: {
        Tick: _window_over,
        BidReceived: _bid,
        RefusalReceived: _refusal,
        CancelAsked: _cancel_auction,
        ChainLocked: _locked,
        ChainSettled: _settled,
        ChainExpired: _expired,
        ChainReleased: _lock_gone,
        ChainUndone: _lock_gone,
    },
    Phase.AWARDED: {
        Tick: _promise_over,
        BidReceived: _bid_too_late,
        RefusalReceived: _award_refused,
        AwardAccepted: _award_accepted,
        CancelAsked: _cancel_award,
        ChainLocked: _locked,
        ChainSettled: _settled,
        ChainExpired: _expired,
        ChainReleased: _lock_gone,
        ChainUndone: _lock_gone,
    },
    Phase.LOCKED: {
        Tick: _promise_over,
        BidReceived: _bid_too_late,
        RefusalReceived: _refusal,
        AwardAccepted: _award_accepted,
        CancelAsked: _cancel_locked,
        ChainSettled: _settled,
        ChainExpired: _expired,
        ChainReleased: _released,
        ChainUndone: _undone,
    },
    Phase.WAITING: {
        Tick: _order_over,
        BidReceived: _bid_too_late,
        RefusalReceived: _refusal,
        CancelAsked: _cancel_award,
        ChainLocked: _locked,
        ChainSettled: _settled,
        ChainExpired: _expired,
        ChainReleased: _released_late,
        ChainUndone: _undone,
    },
    Phase.REFUNDING: {
        Tick: _order_over,
        BidReceived: _bid_too_late,
        ChainSettled: _settled,
        ChainExpired: _expired,
        ChainReleased: _released_late,
        ChainUndone: _undone,
    },
    **{
        phase: {
            Tick: _forget,
            BidReceived: _bid_too_late,
            ChainLocked: _locked,
            ChainSettled: _settled,
            ChainExpired: _expired,
            ChainReleased: _lock_gone,
            ChainUndone: _lock_gone,
        }
        for phase in (Phase.FAILED, Phase.CANCELLED)
    },
    Phase.REFUNDED: {
        Tick: _forget,
        BidReceived: _bid_too_late,
        ChainSettled: _settled,
        ChainReleased: _nothing,
        ChainUndone: _undone,
    },
    Phase.SETTLED: {Tick: _forget, BidReceived: _bid_too_late, ChainReleased: _nothing, ChainUndone: _undone},
}
TABLE: dict[tuple[Phase, type[Event]], Handler] = {
    (phase, kind): _EXPECTED[phase].get(kind, _unexpected)
    for phase in Phase
    for kind in CLIENT_EVENTS
    if kind is not OrderPlaced
}
