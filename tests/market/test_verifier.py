# SPDX-License-Identifier: GPL-3.0-or-later
"""The verifier: its normal path, every reason to refuse at its boundary, and what the chain tells it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from market_phases import run, verifier_in
from market_samples import (
    AT,
    FEE,
    GAS_PRICE,
    NOW,
    ORDER,
    ORDER_HASH,
    OTHER,
    PROOF,
    PROVER,
    TX,
    VERIFIER,
    a_bid,
    a_verifier,
    an_order,
    locked,
    proof_received,
    settled,
)

from market import refusals, verifier
from market.effects import CheckProof, Effect, Report, SendNotice, SendRefusal, SubmitBatch, SubmitSettlement
from market.events import (
    ChainExpired,
    FundsChanged,
    ProofChecked,
    ProofReceived,
    SettlementFailed,
    Tick,
)
from market.instants import SECOND, end_of
from market.verifier import Phase, State

NEEDED = 10**13 + FEE


def codes(effects: list[Effect]) -> list[str]:
    return [effect.code for effect in effects if isinstance(effect, SendRefusal)]


def asked(request: ProofReceived, state: State | None = None) -> list[str]:
    _, effects = run(verifier, a_verifier() if state is None else state, [request])
    return codes(effects)


def test_the_normal_path_checks_settles_and_tells() -> None:
    state, effects = run(
        verifier, a_verifier(), [proof_received(), ProofChecked(AT, ORDER_HASH, True), settled()]
    )
    acts = [effect for effect in effects if not isinstance(effect, Report)]
    assert [type(effect) for effect in acts] == [CheckProof, SubmitSettlement, SendNotice]
    submitted, notice = acts[1], acts[2]
    assert isinstance(submitted, SubmitSettlement) and isinstance(notice, SendNotice)
    assert (submitted.proof, submitted.settler) == (PROOF, VERIFIER)
    assert (notice.peer, notice.transaction_hash) == ("prover", TX)
    assert notice.award_hash == proof_received().award_hash
    assert state.jobs[ORDER_HASH].phase is Phase.DONE
    assert Report(ORDER_HASH, "settled", PROVER, FEE) in effects


def test_a_fee_that_somebody_else_earned_is_not_reported_as_ours() -> None:
    _, effects = run(verifier, verifier_in(Phase.SETTLING), [settled(settler=OTHER)])
    assert Report(ORDER_HASH, "settled", PROVER, 0) in effects


def test_an_invalid_proof_costs_a_refusal_and_no_transaction() -> None:
    state, effects = run(verifier, verifier_in(Phase.CHECKING), [ProofChecked(AT, ORDER_HASH, False)])
    assert codes(effects) == [refusals.PROOF_INVALID]
    assert not [effect for effect in effects if isinstance(effect, SubmitSettlement)]
    _, effects = run(verifier, state, [proof_received()])
    assert [type(effect) for effect in effects] == [CheckProof]  # a good one may follow


def test_a_proof_that_names_another_settler_is_refused() -> None:
    assert asked(replace(proof_received(), settler=OTHER)) == [refusals.WRONG_SETTLER]


def test_the_fee_must_cover_gas_and_the_operators_least() -> None:
    gas = 420_000 * GAS_PRICE
    assert asked(proof_received(order=an_order(verifier_fee=gas))) == []
    assert asked(proof_received(order=an_order(verifier_fee=gas - 1))) == [refusals.FEE_TOO_LOW]
    strict = a_verifier(least_fee=FEE + 1)
    assert asked(proof_received(), strict) == [refusals.FEE_TOO_LOW]
    assert asked(proof_received(), a_verifier(least_fee=FEE)) == []
    dear, _ = run(verifier, a_verifier(), [FundsChanged(AT, 0, 10 * GAS_PRICE)])
    assert asked(proof_received(), dear) == [refusals.FEE_TOO_LOW]


@pytest.mark.parametrize(("second", "late"), [(29, False), (30, True), (31, True)])
def test_a_direct_settlement_must_begin_before_the_promise(second: int, late: bool) -> None:
    expected = [refusals.TOO_LATE] if late else []
    assert asked(proof_received(at=(NOW + second) * SECOND)) == expected


@pytest.mark.parametrize(("second", "expected"), [(179, []), (180, [refusals.TOO_LATE])])
def test_the_locking_award_settles_until_the_end_of_the_order(second: int, expected: list[str]) -> None:
    own = replace(locked(), award_hash=proof_received().award_hash)
    state, _ = run(verifier, a_verifier(), [own])
    assert asked(proof_received(at=(NOW + second) * SECOND), state) == expected
    other, _ = run(verifier, a_verifier(), [locked()])
    assert asked(proof_received(at=(NOW + second) * SECOND), other) == [refusals.TOO_LATE]


def test_an_award_outside_the_order_is_refused() -> None:
    over = a_bid(price=ORDER.price_cap + 1)
    assert asked(proof_received(bid=over)) == [refusals.AWARD_MISMATCH]
    late = a_bid(promise_at=ORDER.promise_by + 1)
    assert asked(proof_received(bid=late)) == [refusals.AWARD_MISMATCH]
    assert asked(proof_received(bid=a_bid(price=ORDER.price_cap))) == []


def test_the_client_must_be_able_to_pay_unless_a_lock_holds_it() -> None:
    assert asked(replace(proof_received(), client_balance=NEEDED)) == []
    poor = replace(proof_received(), client_balance=NEEDED - 1)
    assert asked(poor) == [refusals.UNFUNDED]
    state, _ = run(verifier, a_verifier(), [locked()])
    assert asked(poor, state) == []


def test_what_is_settled_or_refunded_is_refused_and_remembered_for_an_hour() -> None:
    for event in (settled(), ChainExpired(AT, ORDER_HASH, TX)):
        state, effects = run(verifier, a_verifier(), [locked(), event])
        assert not effects and state.locks == {}
        assert asked(proof_received(), state) == [refusals.ALREADY_SETTLED]
        forgotten, _ = run(verifier, state, [Tick(AT + verifier.SETTLED_MEMORY)])
        assert forgotten.settled == {}
    assert codes(run(verifier, verifier_in(Phase.DONE), [proof_received()])[1]) == [refusals.ALREADY_SETTLED]


def test_a_long_statement_pays_for_its_gas() -> None:
    """Each output is a multiplication on-chain: of many the verifier would pay most by itself."""
    for outputs in (0, verifier.INCLUDED_OUTPUTS, 64):
        gas = a_verifier().settle_gas + verifier.OUTPUT_GAS * max(0, outputs - verifier.INCLUDED_OUTPUTS)
        for fee, expected in ((gas * GAS_PRICE, []), (gas * GAS_PRICE - 1, [refusals.FEE_TOO_LOW])):
            request = proof_received(order=an_order(verifier_fee=fee))
            assert asked(replace(request, outputs=(1,) * outputs)) == expected


def test_jobs_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verifier, "MAX_JOBS", 1)
    state = verifier_in(Phase.CHECKING)
    other = replace(proof_received(), order_hash=b"\x01" * 32)
    assert asked(other, state) == [refusals.AT_CAPACITY]


@pytest.mark.parametrize("phase", [Phase.CHECKING, Phase.SETTLING])
def test_a_resend_of_what_is_in_work_changes_nothing(phase: Phase) -> None:
    state = verifier_in(phase)
    assert run(verifier, state, [proof_received()]) == (state, [])


def test_a_refused_settlement_is_told_to_the_prover() -> None:
    state, effects = run(
        verifier, verifier_in(Phase.SETTLING), [SettlementFailed(AT, ORDER_HASH, "InsufficientBalance")]
    )
    assert codes(effects) == [refusals.SETTLEMENT_FAILED]
    assert state.jobs[ORDER_HASH].outcome == "InsufficientBalance"


@pytest.mark.parametrize("phase", [Phase.CHECKING, Phase.SETTLING])
def test_after_the_promise_a_job_is_dropped_and_then_forgotten(phase: Phase) -> None:
    state = verifier_in(phase)
    assert verifier.next_deadline(state) == end_of(NOW + 30)
    state, _ = run(verifier, state, [Tick(end_of(NOW + 30))])
    assert state.jobs[ORDER_HASH].phase is Phase.DROPPED
    state, _ = run(verifier, state, [Tick(end_of(ORDER.final_by) + SECOND)])
    assert state.jobs == {} and verifier.next_deadline(state) is None


def test_an_expired_order_ends_the_job() -> None:
    state, effects = run(verifier, verifier_in(Phase.SETTLING), [ChainExpired(AT, ORDER_HASH, TX)])
    assert state.jobs[ORDER_HASH].phase is Phase.DROPPED and not effects


def checked_at(at: int, salts: range, state: State) -> tuple[State, list[Effect]]:
    """Several jobs, each checked at once."""
    done: list[Effect] = []
    for salt in salts:
        request = replace(proof_received(at), order_hash=salt.to_bytes(32, "big"))
        state, effects = run(verifier, state, [request, ProofChecked(at, request.order_hash, True)])
        done += [effect for effect in effects if isinstance(effect, SubmitBatch | SubmitSettlement)]
    return state, done


def test_what_is_ready_within_the_wait_settles_in_one_transaction() -> None:
    state, effects = checked_at(AT, range(3), a_verifier(batch_wait=SECOND))
    assert effects == [] and verifier.next_deadline(state) == AT + SECOND
    state, effects = run(verifier, state, [Tick(AT + SECOND)])
    (batch,) = effects
    assert isinstance(batch, SubmitBatch) and len(batch.settlements) == 3
    assert {job.phase for job in state.jobs.values()} == {Phase.SETTLING}


def test_a_job_that_waited_in_vain_settles_alone() -> None:
    state, _ = checked_at(AT, range(1), a_verifier(batch_wait=SECOND))
    _, effects = run(verifier, state, [Tick(AT + SECOND)])
    assert [type(effect) for effect in effects] == [SubmitSettlement]


def test_a_full_batch_does_not_wait() -> None:
    state, effects = checked_at(AT, range(5), a_verifier(batch_wait=SECOND, batch_size=2))
    assert [len(effect.settlements) for effect in effects if isinstance(effect, SubmitBatch)] == [2, 2]
    assert [job.phase for job in state.jobs.values()].count(Phase.READY) == 1


def test_the_wait_ends_before_the_promise() -> None:
    state, _ = checked_at(AT, range(1), a_verifier(batch_wait=3_600 * SECOND))
    assert verifier.next_deadline(state) == end_of(NOW + 30) - verifier.SPARE
    _, effects = checked_at((NOW + 25) * SECOND, range(1), a_verifier(batch_wait=3_600 * SECOND))
    assert [type(effect) for effect in effects] == [SubmitSettlement]
