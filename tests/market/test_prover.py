# SPDX-License-Identifier: GPL-3.0-or-later
"""The prover: its normal path with and without a lock, what it refuses, and how it gets paid all the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from market_phases import LOCKING, prover_in, run
from market_samples import (
    AT,
    CLIENT,
    FEE,
    NOW,
    ORDER,
    ORDER_HASH,
    OTHER,
    PAYOUT,
    PROGRAM,
    PROOF,
    PROVER,
    SIGNATURE,
    TX,
    VERIFIER,
    a_prover,
    an_award,
    an_order,
    award_received,
    locked,
    order_seen,
    settled,
)

from market import prover, refusals
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
    SubmitSettlement,
)
from market.events import (
    ChainExpired,
    ChainUndone,
    FundsChanged,
    InputOpened,
    InputRejected,
    LockFailed,
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
from market.instants import SECOND, end_of
from market.pricing import Tariff, proving_seconds
from market.prover import Job, Phase, State
from protocol.binding import market_binding
from protocol.eip712 import digest
from protocol.structs import Award

READY = ProofReady(AT, ORDER_HASH, (1,), PROOF, 900)


def job_of(state: State) -> Job:
    return state.jobs[ORDER_HASH]


def codes(effects: list[Effect]) -> list[str]:
    return [effect.code for effect in effects if isinstance(effect, SendRefusal)]


def kinds(effects: list[Effect]) -> list[type[Effect]]:
    return [type(effect) for effect in effects if not isinstance(effect, Report)]


def own_award(state: State, **changes: object) -> Award:
    return an_award(job_of(state).bid, **changes)


def test_the_normal_path_proves_first_and_never_locks() -> None:
    state, effects = run(prover, a_prover(), [order_seen()])
    state, more = run(
        prover,
        state,
        [
            award_received(own_award(state)),
            InputOpened(AT, ORDER_HASH),
            WitnessReady(AT, ORDER_HASH),
            READY,
            VerifierAnswered(AT, ORDER_HASH, ""),
            settled(),
        ],
    )
    assert kinds([*effects, *more]) == [SendBid, ComputeWitness, StartProof, SendProof, EraseSecrets]
    assert job_of(state).phase is Phase.DONE and job_of(state).earned == 10**13
    start = next(effect for effect in more if isinstance(effect, StartProof))
    assert start.binding == market_binding(ORDER_HASH, PAYOUT, VERIFIER)
    send = next(effect for effect in more if isinstance(effect, SendProof))
    assert (send.settler, send.peer, send.proof) == (VERIFIER, "verifier", PROOF)


def test_a_long_job_locks_only_after_its_witness_and_proves_only_under_the_lock() -> None:
    state, effects = run(prover, prover_in(Phase.LOCKING), [locked()])
    assert kinds(effects) == [StartProof] and job_of(state).locked
    state = a_prover(programs={PROGRAM: LOCKING})
    state, _ = run(prover, state, [order_seen()])
    assert job_of(state).bid.locks
    events = [award_received(own_award(state)), InputOpened(AT, ORDER_HASH), WitnessReady(AT, ORDER_HASH)]
    state, effects = run(prover, state, events)
    assert kinds(effects) == [ComputeWitness, SubmitLock]


def test_a_witness_after_the_last_second_for_a_lock_commits_to_nothing() -> None:
    state = prover_in(Phase.LOCKING)
    lock_by = job_of(state).award
    assert lock_by is not None
    for late, expected in ((0, [SubmitLock]), (1, [SendRefusal, EraseSecrets])):
        state, _ = run(prover, a_prover(programs={PROGRAM: LOCKING}), [order_seen()])
        at = (lock_by.lock_by + late) * SECOND
        _, effects = run(
            prover,
            state,
            [award_received(own_award(state)), InputOpened(AT, ORDER_HASH), WitnessReady(at, ORDER_HASH)],
        )
        assert kinds(effects) == [ComputeWitness, *expected]


def test_a_declined_order_leaves_no_job_and_says_why() -> None:
    state, effects = run(prover, a_prover(), [order_seen(balance=0)])
    assert state.jobs == {} and codes(effects) == [refusals.UNFUNDED]


def test_the_same_announcement_is_answered_once_a_newer_one_again() -> None:
    state, _ = run(prover, a_prover(), [order_seen()])
    same, effects = run(prover, state, [order_seen()])
    assert same == state and not effects
    state, effects = run(prover, state, [order_seen(AT + SECOND)])
    assert kinds(effects) == [SendBid] and job_of(state).issued_at == NOW + 1


@pytest.mark.parametrize("phase", [p for p in Phase if p not in (Phase.QUOTED, Phase.DROPPED)])
def test_a_committed_prover_does_not_bid_again(phase: Phase) -> None:
    state = prover_in(phase)
    assert run(prover, state, [order_seen(AT + 5 * SECOND)]) == (state, [])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"bid_hash": b"\x01" * 32}, refusals.BID_UNKNOWN),
        ({"price": 1}, refusals.AWARD_MISMATCH),
        ({"payout": OTHER}, refusals.AWARD_MISMATCH),
        ({"prover": OTHER}, refusals.AWARD_MISMATCH),
        ({"promise_at": NOW + 1}, refusals.AWARD_MISMATCH),
    ],
)
def test_an_award_that_differs_from_the_bid_is_refused(changes: dict[str, object], code: str) -> None:
    state = prover_in(Phase.QUOTED)
    after, effects = run(prover, state, [award_received(own_award(state, **changes))])
    assert codes(effects) == [code] and after == state


def test_an_award_of_nothing_and_of_a_dead_bid_are_refused() -> None:
    quoted = prover_in(Phase.QUOTED)
    _, effects = run(prover, a_prover(), [award_received(own_award(quoted))])
    assert codes(effects) == [refusals.BID_UNKNOWN]
    bid = job_of(quoted).bid
    _, effects = run(prover, quoted, [award_received(own_award(quoted), end_of(bid.expires_at))])
    assert codes(effects) == [refusals.BID_EXPIRED]
    _, effects = run(prover, prover_in(Phase.DROPPED), [award_received(own_award(quoted))])
    assert codes(effects) == [refusals.BID_EXPIRED]


def test_a_lock_that_is_too_late_at_the_award_is_refused() -> None:
    state, _ = run(prover, a_prover(programs={PROGRAM: LOCKING}), [order_seen()])
    award = own_award(state, lock_by=NOW + 5)
    _, effects = run(prover, state, [award_received(award, (NOW + 5) * SECOND)])
    assert not codes(effects)
    _, effects = run(prover, state, [award_received(award, (NOW + 6) * SECOND)])
    assert codes(effects) == [refusals.BID_EXPIRED]


def test_the_same_award_again_is_a_resend_another_is_refused() -> None:
    state = prover_in(Phase.PROVING)
    assert run(prover, state, [award_received(own_award(state))]) == (state, [])
    _, effects = run(prover, state, [award_received(own_award(state, lock_by=NOW + 11))])
    assert codes(effects) == [refusals.AWARD_MISMATCH]


def with_busy(state: State, count: int, proving: bytes = PROGRAM) -> State:
    """Add jobs of other orders that are being proved."""
    model = job_of(prover_in(Phase.PROVING))
    others = {
        bytes([index + 1]) * 32: replace(
            model, order=an_order(program_id=proving), order_hash=bytes([index + 1]) * 32
        )
        for index in range(count)
    }
    return replace(state, jobs={**state.jobs, **others})


def test_awards_of_several_bids_at_once_stop_at_capacity() -> None:
    state, full = prover_in(Phase.QUOTED), 2 * Tariff().capacity
    _, effects = run(prover, with_busy(state, full - 1), [award_received(own_award(state))])
    assert not codes(effects)
    _, effects = run(prover, with_busy(state, full), [award_received(own_award(state))])
    assert codes(effects) == [refusals.AT_CAPACITY]


def test_an_award_whose_promise_cannot_be_kept_any_more_is_refused() -> None:
    state = prover_in(Phase.QUOTED)
    slow = b"\x22" * 32
    queue = with_busy(replace(state, programs={PROGRAM: 1_000, slow: 15_000}), 1, slow)
    _, effects = run(prover, queue, [award_received(own_award(state))])
    assert not codes(effects)
    queue = with_busy(replace(state, programs={PROGRAM: 1_000, slow: 16_000}), 1, slow)
    _, effects = run(prover, queue, [award_received(own_award(state))])
    assert codes(effects) == [refusals.AT_CAPACITY]


@pytest.mark.parametrize("phase", [Phase.AWARDED, Phase.WITNESSING, Phase.LOCKING])
@pytest.mark.parametrize(("proving_ms", "taken"), [(1_000, True), (20_000, False)])
def test_a_long_job_is_not_taken_while_it_could_be_proved_before_one_promised_sooner(
    phase: Phase, proving_ms: int, taken: bool
) -> None:
    other = b"\x22" * 32
    order = an_order(program_id=other)
    state, _ = run(prover, a_prover(programs={PROGRAM: 1_000, other: proving_ms}), [order_seen(order=order)])
    (quoted,) = state.jobs.values()
    earlier = replace(job_of(prover_in(Phase.AWARDED)), phase=phase)
    event = replace(award_received(an_award(quoted.bid)), order_hash=quoted.order_hash)
    for ahead, refused in ((earlier, not taken), (replace(earlier, phase=Phase.PROVING), False)):
        jobs = {**state.jobs, ORDER_HASH: ahead}
        _, effects = run(prover, replace(state, jobs=jobs), [event])
        assert codes(effects) == ([refusals.AT_CAPACITY] if refused else [])


def test_a_lock_that_could_not_be_served_in_time_is_not_sent() -> None:
    state = prover_in(Phase.WITNESSING)
    job = job_of(state)
    locking = replace(job, bid=job.bid.model_copy(update={"locks": True}))
    assert job.award is not None
    latest = job.award.promise_at - Tariff().settle_margin - 7 - 2  # 7 s for the lock, 2 s for the proof
    for late, expected in ((0, [SubmitLock]), (1, [SendRefusal, EraseSecrets])):
        award = job.award.model_copy(update={"lock_by": latest + late})  # where it may be mined at last
        state = replace(state, gas_price=0, jobs={ORDER_HASH: replace(locking, award=award)})
        for at in (NOW, latest):
            _, effects = run(prover, state, [WitnessReady(at * SECOND, ORDER_HASH)])
            assert kinds(effects) == expected


def test_an_award_whose_lock_may_be_mined_too_late_for_its_promise_is_refused() -> None:
    state, _ = run(prover, a_prover(programs={PROGRAM: LOCKING}), [order_seen()])
    bid = job_of(state).bid
    latest = bid.promise_at - Tariff().settle_margin - 7 - proving_seconds(Tariff(), 0, LOCKING)
    for late, expected in ((0, []), (1, [refusals.BID_EXPIRED])):
        _, effects = run(prover, state, [award_received(own_award(state, lock_by=latest + late))])
        assert codes(effects) == expected


@pytest.mark.parametrize(("lock_by", "taken"), [(10, True), (14, False)])
def test_a_job_that_may_be_locked_late_is_not_overtaken(lock_by: int, taken: bool) -> None:
    locking = prover_in(Phase.LOCKING)
    job = job_of(locking)
    assert job.award is not None
    award = job.award.model_copy(update={"promise_at": NOW + 30, "lock_by": NOW + lock_by})
    earlier = replace(job, award=award, bid=job.bid.model_copy(update={"locks": True}))
    other = b"\x22" * 32
    order = an_order(program_id=other)
    serving = a_prover(programs={PROGRAM: 1_000, other: 5_000}, gas_price=0)
    state, _ = run(prover, serving, [order_seen(order=order)])
    (quoted,) = state.jobs.values()
    event = replace(award_received(an_award(quoted.bid)), order_hash=quoted.order_hash)
    _, effects = run(prover, replace(state, jobs={**state.jobs, ORDER_HASH: earlier}), [event])
    assert codes(effects) == ([] if taken else [refusals.AT_CAPACITY])


def test_unsecured_exposure_is_checked_again_at_the_award() -> None:
    state = prover_in(Phase.QUOTED)
    owed = job_of(state).bid.price + FEE
    for cap, expected in ((2 * owed, []), (2 * owed - 1, [refusals.EXPOSURE_EXCEEDED])):
        tight = replace(state, tariff=Tariff(exposure_cap=cap))
        busy = with_busy(tight, 1)
        assert prover.exposure(busy, CLIENT) == owed
        _, effects = run(prover, busy, [award_received(own_award(state))])
        assert codes(effects) == expected


def test_locked_and_finished_jobs_are_no_exposure() -> None:
    proving = prover_in(Phase.PROVING)
    assert prover.exposure(proving, CLIENT) > 0 == prover.exposure(proving, OTHER)
    for phase in (Phase.QUOTED, Phase.DONE, Phase.DROPPED):
        assert prover.exposure(prover_in(phase), CLIENT) == 0
    state, _ = run(prover, prover_in(Phase.LOCKING), [locked()])
    assert prover.exposure(state, CLIENT) == 0


@pytest.mark.parametrize("phase", [Phase.AWARDED, Phase.WITNESSING])
def test_a_bad_input_costs_a_refusal_and_nothing_else(phase: Phase) -> None:
    state, effects = run(prover, prover_in(phase), [InputRejected(AT, ORDER_HASH)])
    assert codes(effects) == [refusals.INPUT_INVALID] and job_of(state).phase is Phase.DROPPED
    assert state.broken == frozenset()


def test_an_input_that_never_comes_frees_the_prover() -> None:
    state = prover_in(Phase.AWARDED)
    patience = AT + Tariff().input_patience * SECOND
    assert prover.next_deadline(state) == patience
    state, effects = run(prover, state, [Tick(patience)])
    assert job_of(state).phase is Phase.DROPPED and kinds(effects) == [EraseSecrets]


def test_a_failed_proof_opens_the_breaker_until_the_program_is_audited_again() -> None:
    state, effects = run(prover, prover_in(Phase.PROVING), [ProofFailed(AT, ORDER_HASH)])
    assert codes(effects) == [refusals.PROVING_FAILED] and state.broken == {PROGRAM}
    _, effects = run(prover, state, [order_seen(AT + SECOND)])
    assert codes(effects) == [refusals.PROGRAM_BROKEN]
    _, effects = run(prover, state, [ProgramServed(AT, PROGRAM, 900), order_seen(AT + SECOND)])
    assert kinds(effects) == [SendBid]


def test_a_failed_proof_of_a_locked_order_is_tried_again_for_as_long_as_it_can_be_paid() -> None:
    state, _ = run(prover, prover_in(Phase.LOCKING), [locked()])
    tries, at = [], AT
    while job_of(state).phase is Phase.PROVING:
        state, effects = run(prover, state, [ProofFailed(at, ORDER_HASH)])
        assert kinds(effects) == [] and state.broken == {PROGRAM}
        due = prover.next_deadline(state)
        assert due is not None and at < due <= at + prover.LONGEST_RETRY * SECOND
        at = due
        state, effects = run(prover, state, [Tick(at)])
        tries += kinds(effects)
        assert len(tries) < 50
    assert tries.count(StartProof) > 5 and tries[-1] is EraseSecrets
    assert at == end_of(ORDER.final_by) and job_of(state).outcome == "too late"


def test_a_locked_job_is_finished_after_the_breaker() -> None:
    state, _ = run(prover, prover_in(Phase.LOCKING), [locked()])
    state, _ = run(prover, state, [ProofFailed(AT, ORDER_HASH), Tick(AT + SECOND)])
    assert prover.next_deadline(state) == end_of(ORDER.final_by)
    _, effects = run(prover, state, [READY])
    assert kinds(effects) == [SendProof]


def test_what_a_program_is_proved_with_is_lost_and_the_first_order_opens_the_breaker() -> None:
    state, effects = run(prover, prover_in(Phase.WITNESSING), [ProofFailed(AT, ORDER_HASH)])
    assert codes(effects) == [refusals.PROVING_FAILED] and job_of(state).phase is Phase.DROPPED
    _, effects = run(prover, state, [order_seen(AT + SECOND)])
    assert codes(effects) == [refusals.PROGRAM_BROKEN]


def test_a_lock_of_somebody_else_ends_the_job_and_a_refused_lock_is_told() -> None:
    for phase in (Phase.QUOTED, Phase.AWARDED, Phase.WITNESSING, Phase.PROVING):
        state, effects = run(prover, prover_in(phase), [locked(account=OTHER)])
        assert job_of(state).phase is Phase.DROPPED and EraseSecrets(ORDER_HASH) in effects


def test_a_lock_that_lost_to_another_and_is_mined_when_that_one_is_replaced_is_served() -> None:
    state, effects = run(prover, prover_in(Phase.LOCKING), [locked(account=OTHER)])
    assert job_of(state).phase is Phase.LOCKING and EraseSecrets(ORDER_HASH) not in effects
    won, effects = run(prover, state, [ChainUndone(AT, ORDER_HASH), locked()])
    assert StartProof in kinds(effects) and job_of(won).locked
    deadline = prover.next_deadline(state)
    assert deadline is not None
    state, effects = run(prover, state, [Tick(deadline)])
    assert job_of(state).phase is Phase.DROPPED and EraseSecrets(ORDER_HASH) not in effects
    _, effects = run(prover, state, [locked()])
    assert StartProof in kinds(effects)
    _, effects = run(prover, state, [Tick(end_of(job_of(state).bid.promise_at))])
    assert kinds(effects) == [EraseSecrets]


def test_a_lock_that_is_said_to_have_failed_and_lands_all_the_same_is_served() -> None:
    state, effects = run(prover, prover_in(Phase.LOCKING), [LockFailed(AT, ORDER_HASH)])
    assert codes(effects) == [refusals.LOCK_FAILED] and job_of(state).phase is Phase.LOCKING
    assert EraseSecrets(ORDER_HASH) not in effects
    landed, effects = run(prover, state, [locked()])
    assert StartProof in kinds(effects) and job_of(landed).locked
    deadline = prover.next_deadline(state)
    assert deadline is not None
    state, effects = run(prover, state, [Tick(deadline)])
    assert job_of(state).phase is Phase.DROPPED and EraseSecrets(ORDER_HASH) not in effects
    _, effects = run(prover, state, [locked()])
    assert StartProof in kinds(effects)
    _, effects = run(prover, state, [Tick(end_of(job_of(state).bid.promise_at))])
    assert kinds(effects) == [EraseSecrets]


def test_a_locked_order_is_not_bid_on_until_its_lock_is_void() -> None:
    state, _ = run(prover, a_prover(), [locked(account=OTHER, promise_at=NOW + 30)])
    _, effects = run(prover, state, [order_seen((NOW + 30) * SECOND)])
    assert codes(effects) == [refusals.ORDER_TAKEN]
    _, effects = run(prover, state, [order_seen((NOW + 31) * SECOND, balance=0)])
    assert kinds(effects) == [SendBid]  # the lock holds the client's money
    ended, _ = run(prover, state, [ChainExpired(AT, ORDER_HASH, TX)])
    assert ended.locks == {}


def test_a_silent_verifier_is_replaced_after_patience() -> None:
    state = prover_in(Phase.SENT)
    patience = AT + Tariff().verifier_patience * SECOND
    assert prover.next_deadline(state) == patience
    state, effects = run(prover, state, [Tick(patience - 1)])
    assert not effects
    state, effects = run(prover, state, [Tick(patience)])
    award = job_of(state).award
    assert award is not None
    assert kinds(effects) == [SubmitSettlement] and job_of(state).phase is Phase.SETTLING
    assert effects[-1] == SubmitSettlement(ORDER_HASH, ORDER, award, SIGNATURE, (1,), PROOF, VERIFIER)


def test_a_prover_settles_by_itself_with_a_margin_before_its_promise() -> None:
    state = prover_in(Phase.PROVING)
    promise = job_of(state).bid.promise_at
    late = (promise - Tariff().settle_margin - 1) * SECOND
    state, _ = run(prover, state, [replace(READY, at=late)])
    assert prover.next_deadline(state) == late + SECOND


@pytest.mark.parametrize("code", [refusals.UNREACHABLE, refusals.FEE_TOO_LOW, refusals.PROOF_INVALID])
def test_a_refusing_verifier_is_replaced_at_once(code: str) -> None:
    state, effects = run(prover, prover_in(Phase.SENT), [VerifierAnswered(AT, ORDER_HASH, code)])
    assert kinds(effects) == [SubmitSettlement]
    again, effects = run(prover, state, [VerifierAnswered(AT, ORDER_HASH, code)])
    assert again == state and not effects


def test_without_a_willing_verifier_the_prover_settles_and_is_its_own_settler() -> None:
    dear = {VERIFIER: VerifierSeen(AT, "verifier", VERIFIER, FEE + 1)}
    for state in (a_prover(verifiers={}), a_prover(verifiers=dear)):
        state, _ = run(prover, state, [order_seen()])
        events = [award_received(own_award(state)), InputOpened(AT, ORDER_HASH), WitnessReady(AT, ORDER_HASH)]
        state, effects = run(prover, state, [*events, READY])
        assert kinds(effects) == [ComputeWitness, StartProof, SubmitSettlement]
        assert job_of(state).settler == PROVER


def test_a_verifier_that_left_while_proving_is_not_waited_for() -> None:
    _, effects = run(prover, prover_in(Phase.PROVING), [VerifierGone(AT, VERIFIER), READY])
    assert kinds(effects) == [SubmitSettlement]


def test_the_cheapest_verifier_settles_and_equal_ones_share_the_orders() -> None:
    seen = {
        account: VerifierSeen(AT, "v", account, fee)
        for account, fee in ((b"\x01" * 20, 9), (b"\x02" * 20, 5), (b"\x03" * 20, 5))
    }
    chosen = set()
    for salt in range(12):
        order = an_order(salt=bytes([salt]) * 32)
        of = digest(a_prover().network, order)
        state, _ = run(prover, a_prover(verifiers=seen), [order_seen(order=order)])
        award = an_award(state.jobs[of].bid)
        events = [award_received(award), InputOpened(AT, of), WitnessReady(AT, of)]
        state, _ = run(prover, state, events)
        chosen.add(state.jobs[of].settler)
    assert chosen == {b"\x02" * 20, b"\x03" * 20}


def test_a_late_locked_proof_is_still_settled_until_the_end_of_the_order() -> None:
    state, _ = run(prover, prover_in(Phase.LOCKING), [locked()])
    promise = end_of(job_of(state).bid.promise_at)
    state, effects = run(prover, state, [Tick(promise)])
    assert not effects and job_of(state).phase is Phase.PROVING
    state, effects = run(prover, state, [replace(READY, at=promise)])
    assert kinds(effects) == [SendProof]
    patience = promise + Tariff().verifier_patience * SECOND
    assert prover.next_deadline(state) == patience
    state, effects = run(prover, state, [Tick(patience)])
    assert kinds(effects) == [SubmitSettlement]
    assert prover.next_deadline(state) == end_of(ORDER.final_by) + 2 * SECOND


def test_an_unlocked_proof_after_its_promise_is_worth_nothing() -> None:
    state = prover_in(Phase.PROVING)
    state, _ = run(prover, state, [Tick(end_of(job_of(state).bid.promise_at))])
    assert job_of(state).phase is Phase.DROPPED


def test_a_refused_settlement_is_sent_again_until_the_chain_has_spoken() -> None:
    state = prover_in(Phase.SETTLING)
    last, at, sent = end_of(job_of(state).bid.promise_at), AT, 0
    while job_of(state).phase is Phase.SETTLING:
        state, effects = run(prover, state, [SettlementFailed(at, ORDER_HASH, "NotYet")])
        assert not kinds(effects)
        done, _ = run(prover, state, [settled()])
        assert job_of(done).phase is Phase.DONE
        while not kinds(effects):
            due = prover.next_deadline(state)
            assert due is not None and due > at
            at = due
            state, effects = run(prover, state, [Tick(at)])
        sent += kinds(effects) == [SubmitSettlement]
        assert at <= last + prover.SETTLE_GRACE
    assert sent > 3 and job_of(state).outcome == "too late"


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.DONE])
def test_the_chains_word_ends_every_job(phase: Phase) -> None:
    state, _ = run(prover, prover_in(phase), [settled(account=OTHER)])
    assert (job_of(state).phase, job_of(state).earned) == (Phase.DONE, 0)
    state, _ = run(prover, prover_in(phase), [settled()])
    assert job_of(state).earned == 10**13
    state, _ = run(prover, prover_in(phase), [ChainExpired(AT, ORDER_HASH, TX)])
    assert job_of(state).phase is Phase.DROPPED


def test_funds_are_taken_as_told() -> None:
    state, effects = run(prover, a_prover(), [FundsChanged(AT, 5, 6)])
    assert (state.balance, state.gas_price, effects) == (5, 6, [])


def test_a_quote_is_forgotten_when_its_bid_is_over() -> None:
    state = prover_in(Phase.QUOTED)
    deadline = end_of(job_of(state).bid.expires_at)
    assert prover.next_deadline(state) == deadline
    state, _ = run(prover, state, [Tick(deadline)])
    assert state.jobs == {}
