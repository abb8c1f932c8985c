# SPDX-License-Identifier: GPL-3.0-or-later
"""Random calls give the same refusals and the same balances in Python and on the chain."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace

from escrow_market import ETHER, WITHDRAWAL_DELAY, Market, account, market
from token_contracts import deploy_token, token_call

from contracts import bindings, packing
from contracts.events import all_changes
from contracts.model import BURNED, ETH, Claim, EscrowModel, Finished, Refused
from contracts.packing import BatchJob
from contracts.records import Settlement
from contracts.reverts import decode_revert
from protocol.eip712 import digest
from protocol.errors import ContractRefusal
from protocol.signing import Account
from protocol.structs import OPEN_ORDER, Award, Order

CALLS = 120
KINDS = ("open order", "in tokens")
SEEDS = 4
"""Sequences of calls, each a transaction of its own; `make differential` makes many more in less time."""
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
    answered: list[object] = field(default_factory=list)


@dataclass
class World:
    """A chain, its model, and the orders under way, each with two competing awards."""

    chain: Market
    model: EscrowModel
    jobs: list[tuple[Order, tuple[Award, Award]]]
    draw: random.Random
    token: bytes = ETH

    def new_job(self) -> None:
        now, salt = self.chain.now(), len(self.jobs)
        royal, kind = self.draw.random() < 0.5, int(self.draw.random() < 0.3)
        order = self.chain.order(
            CLIENT.address,
            salt,
            collateral=self.draw.randrange(10**6),
            promise_by=now + 400,
            final_by=now + self.draw.choice((300, 400, 900)),
            model_id=self.chain.model_id if royal else bytes(32),
            royalty_bps=250 if royal else 0,
            token=self.draw.choice((ETH, self.token)),
            collateral_token=self.draw.choice((ETH, self.token)),
            kind=kind,
            price_floor=ETHER // 100,
            price_cap=ETHER // 4,
            ramp_start=now + self.draw.choice((0, 0, 10)),
            ramp_end=now + 250,
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
        settlement = self.settlement(signer, order, award, settler)
        if not proved:
            settlement = replace(settlement, outputs=(settlement.outputs[0] + 1,))
        prover = next(each for each in PEOPLE if each.address == award.prover)
        sig = settlement.signature
        claim = Claim(order_hash, order, award, settler, signed=signed, proved=proved)
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
                lambda model: model.settle(now, who.address, claim),
            ),
            "settle_voided": lambda: Call(
                "settle_voided", who, bindings.settle_voided(settlement, other), 0,
                lambda model: model.settle(now, who.address, replace(claim, locking=other)),
            ),
            "settle_batch": lambda: self.batch(who, settlement, claim, other),
            "release": lambda: Call(
                "release", prover, bindings.release(order, award), 0,
                lambda model: model.release(now, prover.address, order_hash, order, award),
            ),
            "expire": lambda: self.expire(order, award),
        }  # fmt: skip
        weights = (1, 1, 1, 1, 9, 3, 6, 1, 1, 6)  # most paths begin with a lock
        return calls[self.draw.choices(tuple(calls), weights)[0]]()

    def batch(self, who: Account, first: Settlement, claim: Claim, other: Award) -> Call:
        """The same job directly and as a voided lock's; sometimes with a good one of another order."""
        now, jobs = self.chain.now(), [BatchJob(first), BatchJob(first, other)]
        claims = [claim, replace(claim, locking=other)]
        if self.draw.random() < 0.15:
            order, awards = self.draw.choice(self.jobs[-3:])
            award = self.draw.choice(awards)
            jobs.append(BatchJob(self.settlement(CLIENT, order, award, who.address)))
            claims.append(Claim(digest(self.chain.network, order), order, award, who.address))
        return Call(
            "settle_batch", who, packing.settle_batch(jobs), 0,
            lambda model: model.settle_batch(now, who.address, claims),
        )  # fmt: skip

    def lock(self, order: Order, awards: tuple[Award, Award]) -> Call:
        now, award, order_hash = self.chain.now(), awards[0], digest(self.chain.network, order)
        data = bindings.lock(order, award, self.signature(CLIENT, order, award))
        return Call(
            "lock", PEOPLE[1], data, 0,
            lambda model: model.lock(now, PEOPLE[1].address, order_hash, order, award),
        )  # fmt: skip

    def settle(self, order: Order, award: Award) -> Call:
        """By the locking prover itself, with a good proof."""
        now, sender, order_hash = self.chain.now(), PEOPLE[1], digest(self.chain.network, order)
        data = bindings.settle(self.settlement(CLIENT, order, award, sender.address))
        claim = Claim(order_hash, order, award, sender.address)
        return Call("settle", sender, data, 0, lambda model: model.settle(now, sender.address, claim))

    def signature(self, signer: Account, order: Order, award: Award) -> bytes:
        """Of an open order the client signs the order itself."""
        return signer.sign(self.chain.network, order if order.kind == OPEN_ORDER else award)

    def settlement(self, signer: Account, order: Order, award: Award, settler: bytes) -> Settlement:
        made = self.chain.settlement(signer, order, award, settler)
        return replace(made, signature=self.signature(signer, order, award))

    def expire(self, order: Order, award: Award) -> Call:
        now, order_hash = self.chain.now(), digest(self.chain.network, order)
        return Call(
            "expire", CLIENT, bindings.expire(order, award), 0,
            lambda model: model.expire(now, order_hash, order, award),
        )  # fmt: skip


def test_random_calls_agree() -> None:
    seen: Counter[str] = Counter()
    for seed in range(1, 1 + SEEDS):
        seen += _random_calls(seed)
    ends = ("lock", "settle", "settle_voided", "settle_batch", "release", "expire", *KINDS)
    reached = {f"{name}: done" for name in ends}
    assert reached <= set(seen), seen


def _random_calls(seed: int) -> Counter[str]:
    """One chain and its model, the same calls on both; return how often each came out how."""
    with market(NAMES) as chain:
        world = World(chain, EscrowModel(WITHDRAWAL_DELAY), [], random.Random(seed))
        publishing = account("publisher")
        publisher = publishing.address
        world.model.publishers[chain.model_id] = (publisher, 250)
        world.token = deploy_token(chain, publishing)
        for each in PEOPLE:
            chain.send(each, bindings.deposit(), 4 * ETHER)
            world.model.deposit(each.address, 4 * ETHER)
            for data in (
                token_call("mint", publishing.address, 4 * ETHER),
                token_call("approve", chain.deployment.escrow, 4 * ETHER),
            ):
                chain.rpc.transact(publishing, world.token, data)
            chain.send(publishing, bindings.deposit_token(world.token, each.address, 4 * ETHER))
            world.model.deposit(each.address, 4 * ETHER, world.token)
        seen: Counter[str] = Counter()
        for step in range(CALLS):
            if step % 7 == 0:
                world.new_job()
            seen[_compare(world, world.next_call())] += 1
            chain.set_time(chain.now() + world.draw.choice((0, 0, 0, 7, 40, 90)))
        # At the very instants: a promise kept in its last second, a refund asked for a second too early.
        for _ in range(2):
            world.new_job()
            order, awards = world.jobs[-1]
            seen[_compare(world, world.lock(order, awards))] += 1
            chain.set_time(awards[0].promise_at)
            seen[_compare(world, world.settle(order, awards[0]))] += 1
        world.new_job()
        order, awards = world.jobs[-1]
        seen[_compare(world, world.lock(order, awards))] += 1
        chain.set_time(order.final_by)
        seen[_compare(world, world.expire(order, awards[0]))] += 1
        chain.set_time(chain.now() + 1000)
        for order, awards in world.jobs:
            for award in awards:
                seen[_compare(world, world.expire(order, award))] += 1
        assert not any(world.model.held.values())
        for owner in (*(each.address for each in PEOPLE), publisher, BURNED):
            assert chain.balance(owner) == world.model.balance(owner)
            answer = chain.view(bindings.token_balance_of(world.token, owner))
            assert bindings.decode_number(answer) == world.model.balance(owner, world.token)
        assert chain.held() == world.model.total()
        owed = bindings.decode_number(chain.view(bindings.total_of(world.token)))
        assert owed == world.model.total(world.token)
        assert _ledger(chain) == _owned(world.model)
        for order, awards in world.jobs:
            if world.model.orders.get(awards[0].order_hash) == Finished("AlreadySettled"):
                seen["open order: done"] += order.kind == OPEN_ORDER
                seen["in tokens: done"] += order.token != ETH
        return seen


def test_voided_locks_agree_at_any_price_up_to_all_that_the_client_has() -> None:
    with market(NAMES) as chain:
        world = World(chain, EscrowModel(WITHDRAWAL_DELAY), [], random.Random(3))
        for each in PEOPLE:
            chain.send(each, bindings.deposit(), ETHER // 4)
            world.model.deposit(each.address, ETHER // 4)
        seen: Counter[str] = Counter()
        for salt in range(21):
            free = world.model.balance(CLIENT.address)
            locked = world.draw.randrange(free // 4)
            rest = free - locked - 1001
            more = (-locked, -1, 0, 1, world.draw.randrange(1, rest // 4), rest + 1, rest)[salt % 7]
            seen[_compare_voided(world, salt, locked, more)] += 1
            if more == rest:
                assert world.model.balance(CLIENT.address) == 0
                chain.send(CLIENT, bindings.deposit(), ETHER // 4)
                world.model.deposit(CLIENT.address, ETHER // 4)
        assert set(seen) == {"cheaper: done", "equal: done", "dearer: done", "dearer: InsufficientBalance"}
        assert _ledger(chain) == _owned(world.model)
        assert chain.held() == world.model.total()


def _compare_voided(world: World, salt: int, locked: int, more: int) -> str:
    """The rival settles for `more` wei above the price that the prover's voided lock holds."""
    chain, (_, prover, rival) = world.chain, PEOPLE
    order = chain.order(CLIENT.address, salt, collateral=world.draw.randrange(10**6))
    order_hash, now = digest(chain.network, order), chain.now()
    locking = chain.award(order, prover.address, price=locked, promise_at=now + 10)
    award = chain.award(order, rival.address, price=locked + more)
    chain.send(prover, bindings.lock(order, locking, CLIENT.sign(chain.network, locking)))
    world.model.lock(now, prover.address, order_hash, order, locking)
    chain.set_time(now + 11)
    call = Call(
        "dearer" if more > 0 else "cheaper" if more else "equal",
        rival,
        bindings.settle_voided(chain.settlement(CLIENT, order, award, rival.address), locking),
        0,
        lambda model: model.settle(
            now + 11, rival.address, Claim(order_hash, order, award, rival.address, locking)
        ),
    )
    outcome = _compare(world, call)
    for each in PEOPLE:
        assert chain.balance(each.address) == world.model.balance(each.address)
    if not outcome.endswith("done"):
        chain.set_time(order.final_by + 1)
        assert _compare(world, world.expire(order, locking)) == "expire: done"
    return outcome


def _ledger(chain: Market) -> dict[tuple[bytes, bytes], int]:
    """The balances that the events alone give."""
    ledger: Counter[tuple[bytes, bytes]] = Counter()
    for event in chain.events():
        for token, owner, change in all_changes(event):
            ledger[token, owner] += change
    return {key: amount for key, amount in ledger.items() if amount}


def _owned(model: EscrowModel) -> dict[tuple[bytes, bytes], int]:
    return {key: amount for key, amount in model.balances.items() if amount}


def _compare(world: World, call: Call) -> str:
    answered = _answer(world.chain, call)
    outcome = _on_model(call, world.model)
    assert _on_chain(world.chain, call) == outcome, call.name
    if call.name == "settle_batch" and outcome == "done":
        assert answered == call.answered[-1]
    return f"{call.name}: {outcome}"


def _answer(chain: Market, call: Call) -> object:
    """What a batch would answer, seen before it is sent."""
    if call.name != "settle_batch":
        return None
    try:
        return packing.refusals_of(chain.view(call.data, call.sender.address))
    except ContractRefusal:
        return None


def _on_model(call: Call, model: EscrowModel) -> str:
    try:
        call.answered.append(call.modelled(model))
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
