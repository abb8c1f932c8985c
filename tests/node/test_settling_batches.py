# SPDX-License-Identifier: GPL-3.0-or-later
"""A verifier's transaction settles what it can, on a real chain, and says what it could not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from escrow_market import ETHER, Market, account, market
from simulated_programs import SimulatedProgram

from contracts import bindings
from contracts.events import Settled
from contracts.packing import BatchJob
from contracts.records import Settlement
from market import refusals
from market.effects import SubmitBatch, SubmitSettlement
from market.events import SettlementFailed
from node import batch_gas
from node.chain_view import open_chain
from node.journal import Journal
from node.settlement import Transactions

CLIENT, SECOND, PROVER, VERIFIER = map(account, ("client", "second client", "prover", "verifier"))
PROGRAMS = tuple(SimulatedProgram(name) for name in "pqr")
SALTS = count(1)


@pytest.fixture(scope="module")
def chain() -> Iterator[Market]:
    with market(("client", "second client", "prover", "verifier")) as running:
        for each in (CLIENT, SECOND, PROVER):
            running.send(each, bindings.deposit(), ETHER)
        for program in PROGRAMS:
            running.register_program(program)
        yield running


def job(chain: Market, which: int, shift: int = 0) -> Settlement:
    client, program = (CLIENT, SECOND)[which % 2], PROGRAMS[which % 3]
    order = chain.order(client.address, next(SALTS), program_id=program.program_id)
    return chain.simulated(
        program, client, order, chain.award(order, PROVER.address), VERIFIER.address, shift
    )


async def perform(chain: Market, folder: Path, jobs: list[Settlement]) -> list[SettlementFailed]:
    """What the verifier's shell does with the effect, and the events that come back."""
    parts = tuple(
        SubmitSettlement(
            s.award.order_hash, s.order, s.award, s.signature, s.outputs, s.proof, s.settler
        )
        for s in jobs
    )
    settings = chain.settings(folder)
    async with open_chain(settings, VERIFIER, Journal(folder / "journal")) as view:
        events = await Transactions(view).settle_batch(SubmitBatch(parts[0].order_hash, parts))
    assert all(isinstance(event, SettlementFailed) for event in events)
    return [event for event in events if isinstance(event, SettlementFailed)]


def paid(chain: Market) -> set[bytes]:
    return {event.order_hash for event in chain.events() if isinstance(event, Settled)}


async def test_64_jobs_of_3_programs_with_2_bad_proofs_end_with_62_paid(chain: Market, tmp_path: Path) -> None:
    before = paid(chain)
    jobs = [job(chain, which, shift=which in (17, 50)) for which in range(64)]
    events = await perform(chain, tmp_path, jobs)
    bad = {jobs[17].award.order_hash, jobs[50].award.order_hash}
    assert {event.order_hash for event in events} == bad
    assert {event.code for event in events} == {refusals.SETTLEMENT_FAILED}
    assert paid(chain) - before == {s.award.order_hash for s in jobs} - bad


async def test_what_another_has_settled_is_no_failure(chain: Market, tmp_path: Path) -> None:
    jobs = [job(chain, which) for which in range(3)]
    chain.send(PROVER, bindings.settle(jobs[1]))
    assert await perform(chain, tmp_path, jobs) == []
    assert {s.award.order_hash for s in jobs} <= paid(chain)
    # Performed again after a restart, when all is done.
    assert await perform(chain, tmp_path, jobs) == []


async def test_a_batch_of_bad_proofs_sends_nothing(chain: Market, tmp_path: Path) -> None:
    before = chain.rpc.quantity("eth_getTransactionCount", "0x" + VERIFIER.address.hex(), "latest")
    events = await perform(chain, tmp_path, [job(chain, which, shift=1) for which in range(3)])
    assert len(events) == 3
    after = chain.rpc.quantity("eth_getTransactionCount", "0x" + VERIFIER.address.hex(), "latest")
    assert after == before


async def test_no_transaction_needs_more_gas_than_it_may(
    chain: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long statements of programs of their own would else keep every job of their batch from being settled."""
    long = tuple(SimulatedProgram(f"long {number}", 40) for number in range(4))
    for program in long:
        chain.register_program(program)
    jobs = []
    for which in range(6):
        order = chain.order(CLIENT.address, next(SALTS), program_id=long[which % 4].program_id)
        award = chain.award(order, PROVER.address)
        jobs += [chain.simulated(long[which % 4], CLIENT, order, award, VERIFIER.address), job(chain, which)]
    monkeypatch.setattr(batch_gas, "TRANSACTION_GAS", 1_500_000)
    before = int(chain.rpc.call("eth_blockNumber"), 16)
    assert await perform(chain, tmp_path, jobs) == [] and {s.award.order_hash for s in jobs} <= paid(chain)
    used = []
    for number in range(before + 1, int(chain.rpc.call("eth_blockNumber"), 16) + 1):
        for transaction in chain.rpc.call("eth_getBlockByNumber", hex(number), False)["transactions"]:
            used.append(int(chain.rpc.call("eth_getTransactionReceipt", transaction)["gasUsed"], 16))
    assert len(used) < len(jobs) / 2 and max(used) <= 1_500_000
    assert sum(used) > 1_500_000  # in one transaction they would not have fitted


def test_what_fits_goes_together_in_its_order(chain: Market) -> None:
    jobs = [BatchJob(job(chain, which)) for which in range(8)]
    many = tuple(jobs[which % 8] for which in range(128))
    assert batch_gas.transactions_of(many) == (many,)
    assert batch_gas.transactions_of(()) == ()
    three = batch_gas.transactions_of(many * 3)
    assert sum(three, ()) == many * 3 and len(three) == 3
    assert all(batch_gas.estimated_gas(batch) <= batch_gas.TRANSACTION_GAS for batch in three)
