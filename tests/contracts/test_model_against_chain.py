# SPDX-License-Identifier: GPL-3.0-or-later
"""Random calls give the same refusals and the same balances in Python and on the chain."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import pytest
from escrow_market import ETHER, WITHDRAWAL_DELAY, Market, account, market

from contracts import bindings
from contracts.model import BURNED, EscrowModel, Refused
from contracts.reverts import decode_revert
from protocol.eip712 import digest
from protocol.errors import ContractRefusal
from protocol.signing import Account
from protocol.structs import Award, Order

CALLS = 80
NAMES = ("client", "prover", "rival")
PEOPLE = tuple(account(name) for name in NAMES)
CLIENT = PEOPLE[0]


@dataclass(frozen=True)
class Call:
    """One call as the chain gets it and as the model gets it."""

    name: str
    sender: Account
    data: bytes
    value: int
    modelled: Callable[[EscrowModel], object]


@dataclass
class World:
    """A chain, its model, and the orders under way, each with two competing awards."""

    chain: Market
    model: EscrowModel
    jobs: list[tuple[Order, tuple[Award, Award]]]
    draw: random.Random

    def new_job(self) -> None:
        now, salt = self.chain.now(), len(self.jobs)
        royal = self.draw.random() < 0.5
        order = self.chain.order(
            CLIENT.address,
            salt,
            collateral=self.draw.randrange(10**6),
            promise_by=now + 400,
            final_by=now + self.draw.choice((300, 400, 900)),
            model_id=self.chain.model_id if royal else bytes(32),
            royalty_bps=250 if royal else 0,
        )
        first, second = (
            self.chain.award(
                order,
                prover.address,
                price=self.draw.randrange(ETHER // 4),
                promise_at=now + (90 if prover is PEOPLE[1] else 400),
                lock_by=now + 250,
            )
            for prover in PEOPLE[1:]
        )
        self.jobs.append((order, (first, second)))

    def next_call(self) -> Call:
        """Mostly one that is accepted: calls drawn blindly would nearly all be refused."""
        for _ in range(self.draw.choice((1, 20))):
            call = self.call()
            if _on_model(call, deepcopy(self.model)) == "done":
                break
        return call

    def call(self) -> Call:
        now, who = self.chain.now(), self.draw.choice(PEOPLE)
        order, awards = self.draw.choice(self.jobs[-5:])
        award, other = self.draw.sample(awards, 2)
        order_hash, settler = digest(self.chain.network, order), self.draw.choice(PEOPLE).address
        signed, proved = self.draw.random() < 0.9, self.draw.random() < 0.9
        amount = self.draw.randrange(ETHER)
        signer = CLIENT if signed else PEOPLE[1]
        settlement = self.chain.settlement(signer, order, award, settler)
        if not proved:
            settlement = replace(settlement, outputs=(settlement.outputs[0] + 1,))
        prover = next(each for each in PEOPLE if each.address == award.prover)
        sig = settlement.signature
        facts = {"signed": signed, "proved": proved}
        calls = {
            "deposit": lambda: Call(
                "deposit", who, bindings.deposit(), amount, lambda model: model.deposit(who.address, amount)
            ),
            "request_withdraw": lambda: Call(
                "request_withdraw", who, bindings.request_withdraw(amount), 0,
                lambda model: model.request_withdraw(now, who.address, amount),
            ),
            "withdraw": lambda: Call(
                "withdraw", who, bindings.withdraw(b"\x99" * 20), 0,
                lambda model: model.withdraw(now, who.address, b"\x99" * 20),
            ),
            "request_cancel": lambda: Call(
                "request_cancel", who, bindings.request_cancel(order), 0,
                lambda model: model.request_cancel(now, who.address, order_hash, order),
            ),
            "lock": lambda: Call(
                "lock", prover, bindings.lock(order, award, sig), 0,
                lambda model: model.lock(now, prover.address, order_hash, order, award, signed=signed),
            ),
            "settle": lambda: Call(
                "settle", who, bindings.settle(settlement), 0,
                lambda model: model.settle(now, who.address, order_hash, order, award, settler, **facts),
            ),
            "settle_voided": lambda: Call(
                "settle_voided", who, bindings.settle_voided(settlement, other), 0,
                lambda model: model.settle_voided(
                    now, who.address, order_hash, order, award, settler, other, **facts
                ),
            ),
            "expire": lambda: self.expire(order, award),
        }  # fmt: skip
        weights = (1, 1, 1, 1, 6, 2, 9, 6)  # most paths begin with a lock
        return calls[self.draw.choices(tuple(calls), weights)[0]]()


    def expire(self, order: Order, award: Award) -> Call:
        now, order_hash = self.chain.now(), digest(self.chain.network, order)
        return Call(
            "expire", CLIENT, bindings.expire(order, award), 0,
            lambda model: model.expire(now, order_hash, order, award),
        )  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_random_calls_agree(seed: int) -> None:
    with market(NAMES) as chain:
        world = World(chain, EscrowModel(WITHDRAWAL_DELAY), [], random.Random(seed))
        publisher = account("publisher").address
        world.model.publishers[chain.model_id] = (publisher, 250)
        for each in PEOPLE:
            chain.send(each, bindings.deposit(), 4 * ETHER)
            world.model.deposit(each.address, 4 * ETHER)
        seen: Counter[str] = Counter()
        for step in range(CALLS):
            if step % 7 == 0:
                world.new_job()
            seen[_compare(world, world.next_call())] += 1
            chain.set_time(chain.now() + world.draw.choice((0, 0, 0, 7, 40, 90)))
        chain.set_time(chain.now() + 1000)
        for order, awards in world.jobs:
            for award in awards:
                seen[_compare(world, world.expire(order, award))] += 1
        assert world.model.held == 0
        for owner in (*(each.address for each in PEOPLE), publisher, BURNED):
            assert chain.balance(owner) == world.model.balances[owner]
        assert chain.held() == world.model.total()
        assert {"lock: done", "settle: done", "settle_voided: done", "expire: done"} <= set(seen), seen


def _compare(world: World, call: Call) -> str:
    outcome = _on_model(call, world.model)
    assert _on_chain(world.chain, call) == outcome, call.name
    return f"{call.name}: {outcome}"


def _on_model(call: Call, model: EscrowModel) -> str:
    try:
        call.modelled(model)
    except Refused as refusal:
        return refusal.reason
    return "done"


def _on_chain(chain: Market, call: Call) -> str:
    try:
        chain.send(call.sender, call.data, call.value)
    except ContractRefusal as refusal:
        revert = decode_revert(refusal.data)
        assert revert is not None
        return revert.name
    return "done"
