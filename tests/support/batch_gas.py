# SPDX-License-Identifier: GPL-3.0-or-later
"""Gas of the Escrow in the scenario of docs/gas.md, from receipts of real transactions on anvil.

Three programs of one phase 1, eight clients, eight provers whose payouts are accounts of their own, one verifier that
sends and earns the fee; paid in an ERC-20, collateral in the same; a royalty of 2.5% on every job; every balance and
token slot was used before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

from escrow_market import ETHER, Market, account, market, model_record
from simulated_programs import SimulatedProgram
from token_contracts import deploy_token, token_call

from contracts import bindings, packing
from contracts.packing import BatchJob
from contracts.records import Settlement
from protocol.signing import Account
from protocol.structs import Order

SIZES = (1, 8, 32, 64, 128)
PROGRAMS = tuple(SimulatedProgram(f"gas {name}") for name in "pqr")
CLIENTS = tuple(account(f"gas client {n}") for n in range(8))
PROVERS = tuple(account(f"gas prover {n}") for n in range(8))
PAYOUTS = tuple(account(f"gas payout {n}") for n in range(8))
VERIFIER = account("gas verifier")
CALLER = account("gas deployer")
"""Somebody who has nothing to do with a job."""


@dataclass
class Scenario:
    """The running market; `job` numbers its orders."""

    chain: Market
    token: bytes
    models: tuple[bytes, ...]
    numbers: Any

    def order(self, which: int, **changes: object) -> Order:
        """An order of one of the clients, of one of the programs."""
        fields: dict[str, object] = {
            "program_id": PROGRAMS[which % 3].program_id,
            "model_id": self.models[which % 3],
            "royalty_bps": 250,
            "token": self.token,
            "collateral_token": self.token,
            "price_cap": ETHER // 100,
            "verifier_fee": 10**12 + 1,
            "collateral": 10**13 + 1,
            "promise_by": self.chain.now() + 3_000,
            "final_by": self.chain.now() + 6_000,
            "reply_key": account(f"reply {which}").secret(),
            "input_commitment": int.from_bytes(account(f"input {which}").secret(), "big") >> 3,
        }
        number = next(self.numbers)
        salt = int.from_bytes(account(f"salt {number}").secret(), "big")
        return self.chain.order(CLIENTS[which % 8].address, salt, **{**fields, **changes})

    def job(self, which: int) -> Settlement:
        order = self.order(which)
        prover, payout = PROVERS[which % 8], PAYOUTS[which % 8]
        bid_hash = account(f"bid {which}").secret()
        award = self.chain.award(
            order, prover.address, payout=payout.address, price=ETHER // 137, bid_hash=bid_hash
        )
        client = CLIENTS[which % 8]
        return self.chain.simulated(PROGRAMS[which % 3], client, order, award, VERIFIER.address)

    def lock(self, which: int, s: Settlement) -> int:
        """Lock a job; return the gas."""
        return gas(self.chain.send(PROVERS[which % 8], bindings.lock(s.order, s.award, s.signature)))

    def settle(self, jobs: Sequence[Settlement]) -> int:
        """Settle a batch; return the gas for each job."""
        data = packing.settle_batch([BatchJob(job) for job in jobs])
        receipt = self.chain.send(VERIFIER, data)
        assert len(receipt["logs"]) == len(jobs)
        return -(-gas(receipt) // len(jobs))


def measure_batches(sizes: Sequence[int] = SIZES) -> dict[str, Any]:
    """Return gas for each job by batch size, direct and locked; and of lock and expire."""
    people = [*CLIENTS, *PROVERS, *PAYOUTS, VERIFIER]
    senders = [*(f"gas prover {n}" for n in range(8)), "gas verifier", "gas deployer"]
    with market(senders) as chain:
        scenario = _open(chain, people)
        direct, locked, locks = {}, {}, []
        for size in sizes:
            direct[size] = scenario.settle([scenario.job(which) for which in range(size)])
            jobs = [scenario.job(which) for which in range(size)]
            locks = [scenario.lock(which, s) for which, s in enumerate(jobs)]
            # A lock needs no signature; who builds receipts has it from the lock's transaction.
            locked[size] = scenario.settle([_unsigned(s) for s in jobs])
        late = scenario.job(0)
        scenario.lock(0, late)
        chain.set_time(late.order.final_by + 1)
        expire = gas(chain.send(CALLER, bindings.expire(late.order, late.award)))
    return {
        "settle_per_job": locked,
        "direct_per_job": direct,
        "lock": max(locks),
        "expire": expire,
    }


def gas(receipt: dict[str, Any]) -> int:
    """What a transaction used."""
    return int(receipt["gasUsed"], 16)


def _open(chain: Market, people: Sequence[Account]) -> Scenario:
    token = deploy_token(chain, CALLER)
    publisher = account("publisher")
    models = []
    for program in PROGRAMS:
        chain.register_program(program)
        record = model_record(program.program_id)
        chain.register(publisher, bindings.publish_model(record))
        models.append(bindings.model_id(publisher.address, record))
    for each in (*people, publisher):
        _fund(chain, token, each.address, 100 * ETHER)
    # What is burned has been burned before.
    _fund(chain, token, bytes.fromhex("000000000000000000000000000000000000dead"), 1)
    return Scenario(chain, token, tuple(models), count())


def _fund(chain: Market, token: bytes, owner: bytes, amount: int) -> None:
    for name, arguments in (("mint", (CALLER.address, amount)), ("approve", (chain.deployment.escrow, amount))):
        chain.rpc.transact(CALLER, token, token_call(name, *arguments))
    chain.send(CALLER, bindings.deposit_token(token, owner, amount))


def _unsigned(s: Settlement) -> Settlement:
    return Settlement(s.order, s.award, b"", s.proof, s.outputs, s.settler)


def measure_single() -> dict[str, int]:
    """Return gas of one Groth16 verification alone, in a transaction of its own: the anchor."""
    with market(["gas deployer"]) as chain:
        program = PROGRAMS[0]
        proof = program.prove((1, 2, 3))
        data = bindings.verify(program.vk, (1, 2, 3), proof)
        return {"groth16_alone": gas(chain.rpc.transact(CALLER, chain.deployment.verifier, data))}
