# SPDX-License-Identifier: GPL-3.0-or-later
"""The model of the Escrow: each deadline rule of docs/adr/0001 at its second, and money conserved."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from protocol.binding import market_binding
from protocol.structs import Award, Order
from sims.chain import BURNED, Escrow, Reverted, Settlement
from sims.tokens import account_of, hash_of, proof_token, signature_token

CLIENT, PROVER, OTHER, VERIFIER = (account_of(name) for name in ("client", "prover", "other", "verifier"))
PAYOUT, OTHER_PAYOUT, PUBLISHER = account_of("payout"), account_of("other payout"), account_of("publisher")
NOW, PROMISE, PROMISE_BY, FINAL = 1_000, 1_100, 1_150, 1_200
MODEL = b"\x0f" * 32
ORDER = Order(
    client=CLIENT,
    program_id=b"\x11" * 32,
    model_id=MODEL,
    input_commitment=7,
    price_cap=1_000,
    verifier_fee=50,
    royalty_bps=1_000,
    collateral=400,
    promise_by=PROMISE_BY,
    final_by=FINAL,
    salt=b"\x22" * 32,
)


def award(prover: bytes = PROVER, price: int = 600, promise_at: int = PROMISE) -> Award:
    payout = PAYOUT if prover == PROVER else OTHER_PAYOUT
    return Award(
        order_hash=hash_of(ORDER),
        bid_hash=b"\x33" * 32,
        prover=prover,
        payout=payout,
        price=price,
        promise_at=promise_at,
        lock_by=NOW + 10,
    )


def signed(chosen: Award) -> bytes:
    return signature_token(CLIENT, hash_of(chosen))


def settlement(chosen: Award, settler: bytes = VERIFIER, payout: bytes | None = None) -> Settlement:
    binding = market_binding(hash_of(ORDER), payout or chosen.payout, settler)
    proof = proof_token(ORDER, binding, (1,))
    return Settlement(ORDER, chosen, signed(chosen), (1,), proof, settler)


@pytest.fixture
def escrow() -> Escrow:
    made = Escrow(royalties={MODEL: PUBLISHER})
    made.deposit(CLIENT, 10_000)
    for prover in (PROVER, OTHER):
        made.deposit(prover, 1_000)
    return made


def reverts(escrow: Escrow, reason: str, action: Callable[[], object]) -> None:
    before = (dict(escrow.balances), dict(escrow.locks), dict(escrow.finished))
    with pytest.raises(Reverted) as error:
        action()
    assert error.value.reason == reason
    assert (escrow.balances, escrow.locks, escrow.finished) == before


def conserved(escrow: Escrow) -> None:
    assert escrow.held() == escrow.deposited == 12_000


def test_a_direct_settlement_pays_prover_publisher_and_settler_once(escrow: Escrow) -> None:
    escrow.settle(PROMISE, VERIFIER, settlement(award()))
    paid = {name: escrow.balance(name) for name in (PAYOUT, PUBLISHER, VERIFIER)}
    assert paid == {PAYOUT: 540, PUBLISHER: 60, VERIFIER: 50} and escrow.balance(CLIENT) == 9_350
    conserved(escrow)
    reverts(escrow, "AlreadySettled", lambda: escrow.settle(NOW, VERIFIER, settlement(award())))


def test_the_fee_goes_to_the_payout_when_somebody_else_sends(escrow: Escrow) -> None:
    escrow.settle(NOW, PROVER, settlement(award()))
    assert escrow.balance(PAYOUT) == 590 and escrow.balance(VERIFIER) == 0
    conserved(escrow)


def test_a_direct_settlement_after_its_promise_is_void(escrow: Escrow) -> None:
    reverts(escrow, "PromiseMissed", lambda: escrow.settle(PROMISE + 1, PROVER, settlement(award())))


def test_a_copied_proof_pays_nobody(escrow: Escrow) -> None:
    copied = settlement(award(OTHER), payout=PAYOUT)
    reverts(escrow, "InvalidProof", lambda: escrow.settle(NOW, OTHER, copied))
    redirected = settlement(award(), payout=OTHER_PAYOUT)
    reverts(escrow, "InvalidProof", lambda: escrow.settle(NOW, OTHER, redirected))


def test_terms_and_signature_hold(escrow: Escrow) -> None:
    dear, late = award(price=1_001), award(promise_at=PROMISE_BY + 1)
    reverts(escrow, "PriceAboveCap", lambda: escrow.settle(NOW, PROVER, settlement(dear)))
    reverts(escrow, "PromiseTooLate", lambda: escrow.settle(NOW, PROVER, settlement(late)))
    s = settlement(award())
    forged = Settlement(s.order, s.award, bytes(65), s.outputs, s.proof, s.settler)
    reverts(escrow, "BadSignature", lambda: escrow.settle(NOW, PROVER, forged))


def test_a_client_without_funds_pays_nobody() -> None:
    poor = Escrow()
    poor.deposit(CLIENT, 649)
    reverts(poor, "InsufficientBalance", lambda: poor.settle(NOW, PROVER, settlement(award())))
    poor.deposit(CLIENT, 1)
    poor.settle(NOW, PROVER, settlement(award()))


def test_a_lock_is_taken_in_time_by_its_prover_once(escrow: Escrow) -> None:
    chosen = award()
    reverts(escrow, "NotProver", lambda: escrow.lock(NOW, OTHER, ORDER, chosen, signed(chosen)))
    reverts(escrow, "LockTooLate", lambda: escrow.lock(NOW + 11, PROVER, ORDER, chosen, signed(chosen)))
    reverts(escrow, "BadSignature", lambda: escrow.lock(NOW, PROVER, ORDER, chosen, bytes(65)))
    escrow.lock(NOW + 10, PROVER, ORDER, chosen, signed(chosen))
    assert escrow.balance(CLIENT) == 9_350 and escrow.balance(PROVER) == 600
    conserved(escrow)
    reverts(escrow, "AlreadyLocked", lambda: escrow.lock(NOW, PROVER, ORDER, chosen, signed(chosen)))
    other = settlement(award(OTHER))
    reverts(escrow, "LockedByAnotherAward", lambda: escrow.settle(PROMISE, OTHER, other))


def test_a_lock_settled_at_its_promise_gives_the_collateral_back(escrow: Escrow) -> None:
    chosen = award()
    escrow.lock(NOW, PROVER, ORDER, chosen, signed(chosen))
    escrow.settle(PROMISE, PROVER, settlement(chosen, PROVER))
    assert escrow.balance(PROVER) == 1_050 and escrow.balance(PAYOUT) == 540
    conserved(escrow)


def test_a_late_locker_keeps_a_quarter_and_the_rest_is_burned(escrow: Escrow) -> None:
    chosen = award()
    escrow.lock(NOW, PROVER, ORDER, chosen, signed(chosen))
    paid = escrow.settle(FINAL, VERIFIER, settlement(chosen))
    assert (paid.bounty, paid.burned, paid.slashed) == (100, 300, PROVER)
    assert escrow.balance(PAYOUT) == 640 and escrow.balance(BURNED) == 300
    conserved(escrow)


def test_a_void_lock_is_settled_by_another_award_and_the_client_tops_it_up(escrow: Escrow) -> None:
    chosen = award()
    fair = award(OTHER, price=500, promise_at=PROMISE_BY)
    escrow.lock(NOW, PROVER, ORDER, chosen, signed(chosen))
    reverts(escrow, "PromiseMissed", lambda: escrow.settle(PROMISE_BY + 1, OTHER, settlement(fair)))
    escrow.settle(PROMISE + 1, OTHER, settlement(fair, OTHER))
    assert escrow.balance(OTHER_PAYOUT) == 450 + 100 and escrow.balance(CLIENT) == 9_450
    assert escrow.balance(PROVER) == 600 and escrow.balance(BURNED) == 300
    conserved(escrow)


def test_expiry_refunds_the_client_after_final_and_burns_all_collateral(escrow: Escrow) -> None:
    chosen = award()
    reverts(escrow, "NotLocked", lambda: escrow.expire(FINAL + 1, ORDER))
    escrow.lock(NOW, PROVER, ORDER, chosen, signed(chosen))
    reverts(escrow, "NotYetExpired", lambda: escrow.expire(FINAL, ORDER))
    escrow.expire(FINAL + 1, ORDER)
    assert escrow.balance(CLIENT) == 10_000 and escrow.balance(BURNED) == 400
    conserved(escrow)
    reverts(escrow, "AlreadySettled", lambda: escrow.settle(FINAL, PROVER, settlement(chosen)))
    reverts(escrow, "NotLocked", lambda: escrow.expire(FINAL + 1, ORDER))


def test_a_cancel_works_after_its_delay_and_not_on_a_lock(escrow: Escrow) -> None:
    reverts(escrow, "NotClient", lambda: escrow.request_cancel(NOW, OTHER, ORDER))
    escrow.request_cancel(NOW, CLIENT, ORDER)
    reverts(escrow, "AlreadyCancelled", lambda: escrow.request_cancel(NOW, CLIENT, ORDER))
    late = NOW + escrow.cancel_delay
    reverts(escrow, "AlreadyCancelled", lambda: escrow.settle(late, PROVER, settlement(award())))
    escrow.settle(late - 1, PROVER, settlement(award()))
    reverts(escrow, "AlreadyCancelled", lambda: escrow.request_cancel(NOW, CLIENT, ORDER))
    locked = Escrow(balances={CLIENT: 1_000, PROVER: 400}, deposited=1_400)
    locked.lock(NOW, PROVER, ORDER, award(), signed(award()))
    reverts(locked, "AlreadyLocked", lambda: locked.request_cancel(NOW, CLIENT, ORDER))


def test_a_withdrawal_takes_its_delay_and_is_no_deposit_to_depend_on(escrow: Escrow) -> None:
    escrow.request_withdraw(NOW, CLIENT, 9_500)
    assert escrow.balance(CLIENT) == 10_000 and escrow.dependable(CLIENT) == 500
    late = NOW + escrow.cancel_delay
    reverts(escrow, "WithdrawalNotReady", lambda: escrow.withdraw(late - 1, CLIENT))
    escrow.settle(NOW, PROVER, settlement(award(price=950)))
    escrow.withdraw(late, CLIENT)
    assert escrow.balance(CLIENT) == 0 and escrow.held() == escrow.deposited == 12_000 - 9_000
    reverts(escrow, "NoWithdrawalRequested", lambda: escrow.withdraw(late, CLIENT))


def test_a_batch_skips_what_is_not_live_and_falls_with_a_bad_proof(escrow: Escrow) -> None:
    good = settlement(award())
    bad = Settlement(good.order, good.award, good.signature, good.outputs, bytes(256), good.settler)
    reverts(escrow, "InvalidProof", lambda: escrow.settle_batch(NOW, VERIFIER, [bad, good]))
    escrow.settle_batch(NOW, VERIFIER, [good, good])
    assert escrow.balance(PAYOUT) == 540
    reverts(escrow, "NothingLive", lambda: escrow.settle_batch(NOW, VERIFIER, [good]))


def test_a_restored_state_is_the_one_before_with_its_log(escrow: Escrow) -> None:
    before, log = escrow.snapshot(), list(escrow.log)
    escrow.lock(NOW, PROVER, ORDER, award(), signed(award()))
    escrow.settle(PROMISE, PROVER, settlement(award(), PROVER))
    escrow.restore(before)
    assert escrow.log == log and not escrow.locks and not escrow.finished
    conserved(escrow)
    escrow.settle(PROMISE, VERIFIER, settlement(award()))
    assert escrow.balance(PAYOUT) == 540
