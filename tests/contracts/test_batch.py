# SPDX-License-Identifier: GPL-3.0-or-later
"""Many jobs in one transaction, on a real chain: who is paid, who is skipped, and what fails all."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations, count

import pytest
from escrow_market import ETHER, Market, account, market, tiny_program
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_programs import SimulatedProgram

from contracts import bindings, packing
from contracts.abi import artifact, call_data
from contracts.bisection import find_good
from contracts.calldata import decode_settlements
from contracts.events import Settled, Skipped
from contracts.model import BURNED
from contracts.packing import BatchJob
from contracts.records import Settlement, Status
from protocol.eip712 import digest
from protocol.errors import ContractRefusal, FundsRefusal, ProofRefusal, StateRefusal, TermsRefusal
from protocol.hashing import keccak256
from protocol.scalars import BN254_SCALAR_ORDER
from protocol.structs import Award, Network, Order

NAMES = ("client", "second client", "prover", "rival", "verifier")
CLIENT, SECOND, PROVER, RIVAL, VERIFIER = map(account, NAMES)
PROGRAMS = tuple(SimulatedProgram(name, inputs) for name, inputs in (("p", 3), ("q", 4), ("r", 3)))
SALTS = count(1)


@pytest.fixture(scope="module")
def chain() -> Iterator[Market]:
    with market(NAMES) as running:
        for each in (CLIENT, SECOND, PROVER, RIVAL):
            running.send(each, bindings.deposit(), ETHER)
        for program in PROGRAMS:
            running.register_program(program)
        yield running


@pytest.fixture(autouse=True)
def unchanged(chain: Market) -> Iterator[None]:
    snapshot = chain.rpc.call("evm_snapshot")
    yield
    assert chain.rpc.call("evm_revert", snapshot)


def job(chain: Market, which: int = 0, *, shift: int = 0, **changes: object) -> Settlement:
    """A direct job of one of the programs, of either client."""
    client = (CLIENT, SECOND)[which % 2]
    program = PROGRAMS[which % 3]
    order = chain.order(client.address, next(SALTS), program_id=program.program_id, **changes)
    award = chain.award(order, PROVER.address)
    return chain.simulated(program, client, order, award, VERIFIER.address, shift)


def settle(chain: Market, jobs: Sequence[Settlement | BatchJob]) -> tuple[str | None, ...]:
    """Send the batch; what the call answered."""
    data = packing.settle_batch([each if isinstance(each, BatchJob) else BatchJob(each) for each in jobs])
    answer = packing.refusals_of(chain.view(data, VERIFIER.address))
    chain.send(VERIFIER, data)
    return answer


def lock(chain: Market, s: Settlement, award: Award | None = None) -> Award:
    client = next(each for each in (CLIENT, SECOND) if each.address == s.order.client)
    award = award or s.award
    chain.send(PROVER, bindings.lock(s.order, award, client.sign(chain.network, award)))
    return award


def test_direct_locked_late_and_voided_jobs_of_three_programs_settle_together(chain: Market) -> None:
    royal = chain.order(CLIENT.address, next(SALTS), model_id=chain.model_id, royalty_bps=250)
    royal_job = chain.settlement(CLIENT, royal, chain.award(royal, RIVAL.address), VERIFIER.address)
    direct, kept = job(chain, 0), job(chain, 1)
    late, voided = job(chain, 2), job(chain, 3)
    lock(chain, kept)
    late_award = chain.award(late.order, PROVER.address, promise_at=chain.now() + 20)
    lock(chain, late, award=late_award)
    late = chain.simulated(PROGRAMS[2], CLIENT, late.order, late_award, VERIFIER.address)
    locking = chain.award(voided.order, PROVER.address, promise_at=chain.now() + 20, price=11_000)
    lock(chain, voided, award=locking)
    by_rival = chain.award(voided.order, RIVAL.address, price=9_000)
    voided = chain.simulated(PROGRAMS[0], SECOND, voided.order, by_rival, VERIFIER.address)
    chain.set_time(chain.now() + 30)

    # A lock needs no signature.
    kept, late = replace(kept, signature=b""), replace(late, signature=b"")
    jobs: list[Settlement | BatchJob] = [direct, kept, late, BatchJob(voided, locking), royal_job]
    assert settle(chain, jobs) == (None,) * 5
    royalty = 10_007 * 250 // 10_000
    spent = [10_007 + 1001, 10_007 + 1001, 10_007 + 1001]
    assert chain.balance(CLIENT.address) == ETHER - sum(spent)
    assert chain.balance(SECOND.address) == ETHER - (10_007 + 1001) - (9_000 + 1001)
    assert chain.balance(PROVER.address) == ETHER + 3 * 10_007 - 2 * 4003 + 1000
    assert chain.balance(RIVAL.address) == ETHER + 9_000 + 1000 + 10_007 - royalty
    assert chain.balance(VERIFIER.address) == 5 * 1001
    assert chain.balance(BURNED) == 2 * 3003
    assert all(chain.state(s.order).status is Status.SETTLED for s in (direct, kept, late, voided, royal_job))


def test_what_is_not_live_is_skipped_and_hinders_nobody(chain: Market) -> None:
    settled, expired, unlocked, unsigned, poor = (job(chain, which) for which in range(5))
    held_by_another, late, dear, good = (job(chain, which) for which in range(4))
    chain.send(VERIFIER, bindings.settle(settled))
    short = chain.award(expired.order, PROVER.address)
    lock(chain, expired, award=short)
    other = chain.award(held_by_another.order, PROVER.address, price=5)
    lock(chain, held_by_another, award=other)
    poor_order = chain.order(RIVAL.address, next(SALTS), price_cap=3 * ETHER, program_id=PROGRAMS[0].program_id)
    rich = chain.award(poor_order, PROVER.address, price=2 * ETHER)
    poor = chain.simulated(PROGRAMS[0], RIVAL, poor_order, rich, VERIFIER.address)
    unsigned = replace(unsigned, signature=poor.signature)
    dear = chain.simulated(
        PROGRAMS[0], CLIENT, dear.order, chain.award(dear.order, PROVER.address, price=ETHER + 1), VERIFIER.address
    )
    fresh = job(chain, 0, promise_by=chain.now() + 10_000, final_by=chain.now() + 10_000)
    chain.set_time(expired.order.final_by + 1)
    chain.send(VERIFIER, bindings.expire(expired.order, short))
    jobs = [settled, expired, unlocked, unsigned, held_by_another, late, dear, poor, fresh, good]
    reasons = settle(chain, [*jobs, fresh, BatchJob(fresh, fresh.award)])
    assert reasons[:2] == ("AlreadySettled", "AlreadyExpired")
    assert reasons[2:4] == ("PromiseMissed", "PromiseMissed")
    assert reasons[4] == "LockedByAnotherAward"
    assert reasons[5:8] == ("PromiseMissed", "PriceAboveCap", "PromiseMissed")
    assert reasons[8:] == (None, "PromiseMissed", "AlreadySettled", "AlreadySettled")
    skipped = [event for event in chain.events() if isinstance(event, Skipped)]
    assert [event.reason for event in skipped] == [reason for reason in reasons if reason]
    assert chain.balance(VERIFIER.address) == 2 * 1001


def test_signatures_and_funds_are_judged_job_by_job(chain: Market) -> None:
    unsigned, good = job(chain, 0), job(chain, 1)
    unsigned = replace(unsigned, signature=good.signature)
    # Enough for either of two jobs, not for both: the first one takes it.
    thirds = [chain.order(CLIENT.address, next(SALTS), program_id=PROGRAMS[0].program_id) for _ in range(2)]
    awards = [chain.award(order, PROVER.address, price=ETHER * 2 // 3) for order in thirds]
    big = [
        chain.simulated(PROGRAMS[0], CLIENT, order, award, VERIFIER.address)
        for order, award in zip(thirds, awards, strict=True)
    ]
    assert settle(chain, [unsigned, *big, good]) == ("BadSignature", None, "InsufficientBalance", None)
    with pytest.raises(StateRefusal, match="NothingLive"):
        chain.send(VERIFIER, packing.settle_batch([BatchJob(unsigned), BatchJob(big[0])]))


def test_the_fee_goes_to_the_settler_only_if_it_sends(chain: Market) -> None:
    s = job(chain)
    chain.send(RIVAL, packing.settle_batch([BatchJob(s)]))
    assert chain.balance(VERIFIER.address) == 0
    assert chain.balance(PROVER.address) == ETHER + 10_007 + 1001
    event = next(event for event in chain.events() if isinstance(event, Settled))
    assert (event.payment.fee_to, event.payment.settler) == (PROVER.address, VERIFIER.address)
    assert event.outputs == s.outputs


def test_one_bad_proof_fails_all(chain: Market) -> None:
    jobs = [job(chain, which) for which in range(6)]
    jobs[4] = replace(jobs[4], proof=jobs[3].proof)
    with pytest.raises(ProofRefusal, match="ProofInvalid"):
        settle(chain, jobs)
    assert chain.balance(PROVER.address) == ETHER


def test_bad_proofs_that_cancel_without_challenges_do_not(chain: Market) -> None:
    """C shifted by G and by -G: a plain product of the equations would hold."""
    jobs = [job(chain, 0, shift=1), job(chain, 0, shift=BN254_SCALAR_ORDER - 1)]
    jobs[1] = chain.simulated(PROGRAMS[0], CLIENT, jobs[1].order, jobs[1].award, VERIFIER.address, -1)
    with pytest.raises(ProofRefusal, match="ProofInvalid"):
        settle(chain, jobs)


def test_choosing_afterwards_who_is_skipped_cannot_make_bad_proofs_cancel(chain: Market) -> None:
    """The subset-sum attack. Against challenges that are drawn over the whole submission and of a size that
    can be searched (here 16 bits) a subset of bad proofs that cancels is found, and passes; everything else
    is skipped. The Escrow draws 254 bits over exactly the jobs that it checks, so the same jobs fail."""
    bits, shifts = 16, (1, -1)
    jobs = [job(chain, 0, shift=shifts[n % 2]) for n in range(22)]
    jobs = [  # all of one client: `job` alternates
        chain.simulated(PROGRAMS[0], CLIENT, s.order, s.award, VERIFIER.address, shifts[n % 2])
        for n, s in enumerate(jobs)
    ]
    seed = keccak256(b"".join(s.proof for s in jobs))
    weights = [int.from_bytes(keccak256(seed + bytes([n]))[:2], "big") * shifts[n % 2] for n in range(22)]
    subset = next(
        chosen
        for size in range(2, 12)
        for chosen in combinations(range(22), size)
        if sum(weights[n] for n in chosen) == 0
    )
    assert sum(abs(weights[n]) < 2**bits for n in subset) == len(subset)  # the weak check would pass
    for n in set(range(22)) - set(subset):  # the others are settled already, by good proofs
        good = chain.simulated(PROGRAMS[0], CLIENT, jobs[n].order, jobs[n].award, VERIFIER.address)
        chain.send(VERIFIER, bindings.settle(good))
    with pytest.raises(ProofRefusal, match="ProofInvalid"):
        settle(chain, jobs)


def test_64_jobs_of_3_programs_with_2_bad_ones_end_with_62_paid(chain: Market) -> None:
    jobs = [BatchJob(job(chain, which, shift=which in (17, 50))) for which in range(64)]
    tried = 0

    def passes(batch: Sequence[BatchJob]) -> bool:
        nonlocal tried
        tried += 1
        try:
            chain.view(packing.settle_batch(batch), VERIFIER.address)
        except ContractRefusal:
            return False
        return True

    good = find_good(jobs, passes)
    assert len(good) == 62 and tried <= 1 + 2 * 2 * 6
    chain.send(VERIFIER, packing.settle_batch(good))
    paid = {event.order_hash for event in chain.events() if isinstance(event, Settled)}
    assert paid == {each.settlement.award.order_hash for n, each in enumerate(jobs) if n not in (17, 50)}


def test_128_jobs_fit_and_129_do_not(chain: Market) -> None:
    jobs = [job(chain, which) for which in range(128)]
    assert settle(chain, jobs) == (None,) * 128
    packed = bytearray(packing.pack([BatchJob(jobs[0])]))
    packed[_jobs_at(packed)] = 129
    with pytest.raises(TermsRefusal, match="BatchTooLarge"):
        chain.view(call_data("Escrow", "settleBatch", bytes(packed)), VERIFIER.address)


def test_proofs_of_the_real_engine_batch_with_others(chain: Market) -> None:
    order = chain.order(CLIENT.address, next(SALTS), program_id=tiny_program().program_id)
    award = chain.award(order, PROVER.address)
    real = chain.settlement(CLIENT, order, award, VERIFIER.address)
    assert settle(chain, [real, job(chain, 1), job(chain, 2)]) == (None, None, None)


def test_a_batch_is_read_back_from_its_transaction(chain: Market) -> None:
    jobs = [BatchJob(job(chain, which)) for which in range(5)]
    locking = chain.award(jobs[1].settlement.order, RIVAL.address, price=1)
    jobs[1] = replace(jobs[1], locking=locking)
    packed = packing.pack(jobs)
    assert packing.unpack(chain.network, packed) == tuple(jobs)
    found = decode_settlements(chain.network, packing.settle_batch(jobs))
    assert found == tuple(each.settlement for each in jobs)


def test_data_that_is_cut_or_goes_on_is_refused(chain: Market) -> None:
    packed = packing.pack([BatchJob(job(chain))])
    for changed in (packed[:-1], packed + b"\0", packed[:40], b""):
        with pytest.raises(ContractRefusal):
            chain.view(call_data("Escrow", "settleBatch", changed), VERIFIER.address)
        with pytest.raises(ValueError):
            packing.unpack(chain.network, changed)


def test_a_field_with_more_bits_than_its_type_is_skipped(chain: Market) -> None:
    """`client` (the first word) with a bit above its 20 bytes: no account can have signed that."""
    packed = bytearray(packing.pack([BatchJob(job(chain))]))
    client = packed[_jobs_at(packed) + 2]
    packed[2 + 32 * client] = 1
    with pytest.raises(StateRefusal, match="NothingLive"):
        chain.view(call_data("Escrow", "settleBatch", bytes(packed)), VERIFIER.address)


def _jobs_at(packed: bytes | bytearray) -> int:
    """Where the number of jobs stands: behind the pool."""
    return 2 + 32 * int.from_bytes(packed[:2], "big")


def test_a_single_order_is_packed_with_and_without_rare_fields(chain: Market) -> None:
    """`lock` and `expire` in both forms, and with a collateral of another token, find the same order."""
    for changes in ({}, {"context": b"\x01" * 32, "price_floor": 3}):
        order = chain.order(CLIENT.address, next(SALTS), **changes)
        award = chain.award(order, PROVER.address)
        chain.send(PROVER, bindings.lock(order, award, CLIENT.sign(chain.network, award)))
        assert chain.state(order).content == digest(chain.network, award)[:31]
        chain.set_time(order.final_by + 1)
        chain.send(VERIFIER, bindings.expire(order, award))
        assert chain.state(order).status is Status.EXPIRED
    other = chain.order(CLIENT.address, next(SALTS), collateral_token=b"\x77" * 20)
    award = chain.award(other, PROVER.address)
    with pytest.raises(FundsRefusal, match="InsufficientBalance"):
        chain.send(PROVER, bindings.lock(other, award, CLIENT.sign(chain.network, award)))
    with pytest.raises(ValueError, match="too large"):
        packing.pack_single(order, award.model_copy(update={"price": 2**128}))


NETWORK = Network(chain_id=1, escrow=b"\x01" * 20)


@given(st.binary(max_size=600))
def test_hostile_batches_are_read_or_refused(data: bytes) -> None:
    try:
        packing.unpack(NETWORK, data)
    except ValueError:
        return


@given(st.sampled_from(("settle", "settleVoided", "settleBatch")), st.binary(max_size=2_000))
def test_hostile_call_data_is_read_or_refused(function: str, body: bytes) -> None:
    try:
        decode_settlements(NETWORK, artifact("Escrow").functions[function].selector + body)
    except ValueError:
        return


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=6), st.integers(0, 2**128 - 1))
def test_packing_round_trips(salts: list[int], price: int) -> None:
    jobs = []
    for salt in salts:
        order = Order(
            client=b"\x01" * 20, program_id=b"\x02" * 32, input_commitment=salt, price_cap=price,
            promise_by=salt, final_by=salt, salt=salt.to_bytes(32, "big"),
        )  # fmt: skip
        award = Award(
            order_hash=digest(NETWORK, order), bid_hash=bytes(32), prover=b"\x03" * 20,
            payout=b"\x04" * 20, price=price, promise_at=salt, lock_by=0,
        )  # fmt: skip
        jobs.append(BatchJob(Settlement(order, award, b"s" * (salt % 70), bytes(256), (salt, 0), b"\x05" * 20)))
    packed = packing.pack(jobs)
    assert packing.unpack(NETWORK, packed) == tuple(jobs)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_bisection_finds_exactly_the_good_ones(good: list[bool]) -> None:
    jobs = list(enumerate(good))
    tried = []

    def passes(batch: Sequence[tuple[int, bool]]) -> bool:
        tried.append(len(batch))
        return all(fine for _, fine in batch)

    assert find_good(jobs, passes) == tuple(each for each in jobs if each[1])
    assert 0 not in tried and len(tried) <= 1 + 2 * good.count(False) * max(1, len(good).bit_length())


def test_bisection_of_nothing_asks_nothing() -> None:
    assert find_good((), lambda batch: random.choice([])) == ()
