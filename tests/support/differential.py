# SPDX-License-Identifier: GPL-3.0-or-later
"""Random and hostile calls, drawn on the model, and the chain that must answer each of them alike.

Many calls go into one transaction: a driver makes them in the name of accounts, at whose addresses code stands that
obeys it. So what a call costs is what the contracts cost, and hundreds of thousands of them take minutes.
After each transaction every balance, the state of every order, what the Escrow holds and the sum of all events are
compared too.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from anvil import GENESIS_TIME
from escrow_market import (
    COMMITMENT,
    ETHER,
    OUTPUT,
    WITHDRAWAL_DELAY,
    Market,
    account,
    market,
    tiny_program,
)
from eth_abi.abi import decode, encode
from external_program import External, hash_proof, hash_verifier, register_external
from token_contracts import token_call

from contracts import bindings, packing
from contracts.abi import call_data
from contracts.compile import compile_sources
from contracts.events import EscrowEvent, all_changes, decode_event
from contracts.model import BURNED, ETH, Claim, EscrowModel, Finished, LockedBy, Refused
from contracts.packing import BatchJob
from contracts.records import Settlement, Status
from contracts.reverts import decode_revert
from contracts.toolchain import CHECKOUT
from protocol.binding import market_binding
from protocol.eip712 import digest
from protocol.hashing import keccak256
from protocol.signing import Account
from protocol.structs import OPEN_ORDER, Award, Order

NAMES = ("ann", "bob", "cleo", "dan", "eve")
PEOPLE = tuple(account(name) for name in NAMES)
BY_ADDRESS = {each.address: each for each in PEOPLE}
OUTSIDE = b"\x99" * 20
"""Where withdrawals go; nobody we know."""
OPEN_JOBS = 6
"""How many orders are under way at a time: calls on the same order are what finds bugs."""
CALLS_A_TRANSACTION = 12
_DRIVER_GAS = 0x20000000


@dataclass(frozen=True)
class Draft:
    """One call: how the model takes it, and (made only when it is chosen) what the chain gets."""

    name: str
    sender: Account
    modelled: Callable[[EscrowModel], object]
    encoded: Callable[[], bytes]
    value: int = 0


@dataclass(frozen=True)
class Job:
    """An order and the awards that compete for it."""

    order: Order
    hash: bytes
    awards: tuple[Award, ...]


class Drawer:
    """Draws calls on a model, at the instants that it is told."""

    def __init__(self, chain: Market, token: bytes, external: External, draw: random.Random, now: int) -> None:
        self.chain, self.token, self.external, self.draw, self.now = chain, token, external, draw, now
        self.model = EscrowModel(WITHDRAWAL_DELAY, external=frozenset((external.program_id,)))
        for model_id in (chain.model_id, external.model_id):
            self.model.publishers[model_id] = (account("publisher").address, 250)
        self.jobs: list[Job] = []
        """Those that calls are about."""
        self.all_jobs: list[Job] = []
        self._made = 0
        self._proofs: dict[int, bytes] = {}

    def next_call(self) -> Draft:
        """Mostly one that the model accepts: calls drawn blindly would nearly all be refused."""
        if self._open() < OPEN_JOBS or self.draw.random() < 0.05:
            self.jobs.append(self._job())
            self.all_jobs.append(self.jobs[-1])
            self.jobs = self.jobs[-2 * OPEN_JOBS :]
        drawn = self.draw.choices(_DRAWN, _WEIGHTS)[0]
        for _ in range(self.draw.choice((1, 12, 24))):
            draft = drawn(self)
            if outcome_of(draft, shallow(self.model))[0] == "done":
                break
        return draft

    def _open(self) -> int:
        return sum(not isinstance(self.model.orders.get(job.hash), Finished) for job in self.jobs)

    def expire_all(self) -> Iterator[Draft]:
        """What ends every lock, long after."""
        for job in self.all_jobs:
            for award in job.awards:
                yield self._expire(job, award)

    def _job(self) -> Job:
        draw, now = self.draw, self.now
        self._made += 1
        royal, kind = draw.random() < 0.5, int(draw.random() < 0.35)
        other = draw.random() < 0.2
        order = Order(
            client=draw.choice(PEOPLE).address,
            program_id=self.external.program_id if other else tiny_program().program_id,
            input_commitment=COMMITMENT,
            input_hash=draw.choice((bytes(32), b"\x05" * 32)),
            verifier_fee=draw.choice((0, 1001)),
            salt=self._made.to_bytes(16) + draw.randbytes(16),
            collateral=draw.choice((0, 1, 7, draw.randrange(10**6))),
            promise_by=now + 400,
            final_by=now + draw.choice((60, 300, 400, 900)),
            model_id=(self.external if other else self.chain).model_id if royal else bytes(32),
            royalty_bps=draw.choice((250,) * 9 + (0,)) if royal else draw.choice((0,) * 9 + (1,)),
            token=draw.choice((ETH, self.token)),
            collateral_token=draw.choice((ETH, self.token)),
            kind=kind,
            price_floor=ETHER // 100,
            price_cap=draw.choice((ETHER // 4, ETHER // 4, ETHER // 100, 1)),
            ramp_start=now + draw.choice((0, 0, 0, 10)),
            ramp_end=now + draw.choice((250, 250, 250, 10, 5)),
        )
        identity = digest(self.chain.network, order)
        provers = draw.sample(PEOPLE, 2)
        return Job(order, identity, tuple(self._award(order, identity, prover, i) for i, prover in enumerate(provers)))

    def _award(self, order: Order, identity: bytes, prover: Account, rank: int) -> Award:
        draw, now = self.draw, self.now
        elsewhere = draw.random() < 0.1
        return Award(
            order_hash=identity if draw.random() > 0.02 else b"\x01" * 32,
            bid_hash=draw.randbytes(32),
            prover=prover.address,
            payout=draw.choice(PEOPLE).address if elsewhere else prover.address if draw.random() > 0.02 else bytes(20),
            price=draw.randrange(order.price_cap + 1) if draw.random() > 0.02 else order.price_cap + 1,
            promise_at=now + (draw.choice((30, 90)) if rank == 0 else draw.choice((90, 400, 401))),
            lock_by=now + draw.choice((20, 250)),
        )

    # --- the calls -----------------------------------------------------------------------------

    def _any(self) -> Job:
        """Mostly an order that is not finished."""
        job = self.draw.choice(self.jobs)
        finished = isinstance(self.model.orders.get(job.hash), Finished)
        return self.draw.choice(self.jobs) if finished and self.draw.random() < 0.8 else job

    def _pick(self) -> tuple[Job, Award, Award]:
        job = self._any()
        award, other = self.draw.sample(job.awards, 2)
        return job, award, other

    def _locked(self) -> tuple[Job, Award, Award]:
        """Mostly an order that is locked, the award that locks it, and another one."""
        lives = ((job, self.model.orders.get(job.hash)) for job in self.jobs)
        found = [(job, life.award) for job, life in lives if isinstance(life, LockedBy)]
        if not found or self.draw.random() < 0.15:
            return self._pick()
        job, locking = self.draw.choice(found)
        return job, locking, next(each for each in job.awards if each != locking)

    def _caller(self, proper: bytes) -> Account:
        """Whoever has the right to call, or now and then somebody else."""
        return BY_ADDRESS[proper] if self.draw.random() < 0.95 else self.draw.choice(PEOPLE)

    def _deposit(self) -> Draft:
        who, amount = self.draw.choice(PEOPLE), self.draw.randrange(ETHER // 4)
        if self.draw.random() < 0.5:
            return Draft(
                "deposit", who, lambda model: model.deposit(who.address, amount), lambda: bindings.deposit(), amount
            )
        account_ = self.draw.choice((who.address, bytes(20), who.address, who.address))
        return Draft(
            "deposit_token", who,
            lambda model: model.deposit(account_, amount, self.token),
            lambda: bindings.deposit_token(self.token, account_, amount),
        )  # fmt: skip

    def _request_withdraw(self) -> Draft:
        now, who = self.now, self.draw.choice(PEOPLE)
        token, amount = self.draw.choice((ETH, self.token)), self.draw.choice((0, self.draw.randrange(ETHER)))
        return Draft(
            "request_withdraw", who,
            lambda model: model.request_withdraw(now, who.address, amount, token),
            lambda: bindings.request_withdraw_token(token, amount) if any(token) else bindings.request_withdraw(amount),
        )  # fmt: skip

    def _withdraw(self) -> Draft:
        now, who, token = self.now, self.draw.choice(PEOPLE), self.draw.choice((ETH, self.token))
        to = self.draw.choice((OUTSIDE, OUTSIDE, OUTSIDE, bytes(20)))

        def modelled(model: EscrowModel) -> None:
            model.withdraw(now, who.address, to, token)

        return Draft(
            "withdraw", who, modelled,
            lambda: bindings.withdraw_token(token, to) if any(token) else bindings.withdraw(to),
        )  # fmt: skip

    def _submit(self) -> Draft:
        job, now = self._any(), self.now
        who = self._caller(job.order.client)
        return Draft(
            "submit", who,
            lambda model: model.submit(now, who.address, job.hash, job.order),
            lambda: bindings.submit(job.order),
        )  # fmt: skip

    def _cancel(self) -> Draft:
        job, now = self._any(), self.now
        who = self._caller(job.order.client)
        return Draft(
            "request_cancel", who,
            lambda model: model.request_cancel(now, who.address, job.hash, job.order),
            lambda: bindings.request_cancel(job.order),
        )  # fmt: skip

    def _lock(self) -> Draft:
        (job, award, _), now, signed = self._pick(), self.now, self.draw.random() < 0.95
        who, how = self._caller(award.prover), self.draw.randrange(_FORGERIES)
        return Draft(
            "lock", who,
            lambda model: model.lock(now, who.address, job.hash, job.order, award, signed=signed),
            lambda: _lock_data(job, award, self._signature(job, award, signed, how)),
        )  # fmt: skip

    def _release(self) -> Draft:
        (job, award, _), now = self._locked(), self.now
        who = self._caller(award.prover)
        return Draft(
            "release", who,
            lambda model: model.release(now, who.address, job.hash, job.order, award),
            lambda: bindings.release(job.order, award),
        )  # fmt: skip

    def _expire_any(self) -> Draft:
        job, award, _ = self._locked()
        return self._expire(job, award)

    def _expire(self, job: Job, award: Award) -> Draft:
        now, who = self.now, self.draw.choice(PEOPLE)
        return Draft(
            "expire", who,
            lambda model: model.expire(now, job.hash, job.order, award),
            lambda: _expire_data(job, award),
        )  # fmt: skip

    def _settle(self) -> Draft:
        job, award, _ = self._pick()
        who, now, (claim, settlement) = self.draw.choice(PEOPLE), self.now, self._claim(job, award)
        return Draft(
            "settle", who,
            lambda model: model.settle(now, who.address, claim),
            lambda: bindings.settle(settlement()),
        )  # fmt: skip

    def _settle_voided(self) -> Draft:
        job, locking, award = self._locked()
        who, now, (claim, settlement) = self.draw.choice(PEOPLE), self.now, self._claim(job, award)
        claim = replace(claim, locking=locking)
        return Draft(
            "settle_voided", who,
            lambda model: model.settle(now, who.address, claim),
            lambda: bindings.settle_voided(settlement(), locking),
        )  # fmt: skip

    def _settle_external(self) -> Draft:
        job, award, other = self._locked()
        award = other if self.draw.random() < 0.1 else award
        who, now, how = self.draw.choice(PEOPLE), self.now, self.draw.choice((0, 0, 0, 0, 0, 0, 1, 2, 3))
        claim = Claim(job.hash, job.order, award, who.address, proved=how == 0)
        proof = (_hash_proof(OUTPUT), _hash_proof(OUTPUT + 1), _hash_proof(OUTPUT) + b"\0", b"")[how]
        return Draft(
            "settle_external", who,
            lambda model: model.settle_external(now, who.address, claim),
            lambda: bindings.settle_external(job.order, award, (OUTPUT,), proof),
        )  # fmt: skip

    def _settle_batch(self) -> Draft:
        who, now = self.draw.choice(PEOPLE), self.now
        parts: list[tuple[Claim, Callable[[], Settlement], Award | None]] = []
        good = self.draw.random() < 0.7
        for _ in range(self.draw.choice((1, 2, 2, 3, 6))):
            job, other, award = self._locked() if self.draw.random() < 0.3 else self._pick()
            award = award if award.order_hash == job.hash else replace_award(award, job.hash)
            claim, settlement = self._claim(job, award, honest=good)
            locking = replace_award(other, job.hash) if self.draw.random() < 0.4 else None
            parts.append((replace(claim, locking=locking), settlement, locking))
        return Draft(
            "settle_batch", who,
            lambda model: model.settle_batch(now, who.address, [claim for claim, _, _ in parts]),
            lambda: packing.settle_batch([BatchJob(made(), locking) for _, made, locking in parts]),
        )  # fmt: skip

    # --- what is signed and proved -------------------------------------------------------------

    def _claim(self, job: Job, award: Award, honest: bool = False) -> tuple[Claim, Callable[[], Settlement]]:
        signed, proved = self.draw.random() < 0.93, honest or self.draw.random() < 0.93
        settler, how = self.draw.choice(PEOPLE).address, self.draw.randrange(_FORGERIES)

        def settlement() -> Settlement:
            signature = self._signature(job, award, signed, how)
            proof = self._proof(market_binding(job.hash, award.payout, settler))
            made = Settlement(job.order, award, signature, proof, (OUTPUT,), settler)
            return made if proved else _spoilt(made, how)

        return Claim(job.hash, job.order, award, settler, signed=signed, proved=proved), settlement

    def _proof(self, binding: int) -> bytes:
        if binding not in self._proofs:
            if len(self._proofs) > 500:
                self._proofs.clear()
            self._proofs[binding] = tiny_program().prove(binding)
        return self._proofs[binding]

    def _signature(self, job: Job, award: Award, signed: bool, how: int) -> bytes:
        subject = job.order if job.order.kind == OPEN_ORDER else award
        client = BY_ADDRESS[job.order.client]
        good = client.sign(self.chain.network, subject)
        if signed:
            return good
        forger = next(each for each in PEOPLE if each is not client)
        elsewhere = replace_chain(self.chain)
        return (
            forger.sign(self.chain.network, subject),
            b"",
            _high_s(good),
            _compact(good),
            client.sign(elsewhere, subject),
            client.sign(self.chain.network, award if subject is job.order else job.order),
        )[how]


_FORGERIES = 6
_GROUP_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_DRAWN: tuple[Callable[[Drawer], Draft], ...] = (
    Drawer._deposit,
    Drawer._request_withdraw,
    Drawer._withdraw,
    Drawer._submit,
    Drawer._cancel,
    Drawer._lock,
    Drawer._settle,
    Drawer._settle_voided,
    Drawer._settle_external,
    Drawer._settle_batch,
    Drawer._release,
    Drawer._expire_any,
)
_WEIGHTS = (2, 1, 2, 2, 0.5, 10, 4, 4, 3, 4, 2, 3)


def _hash_proof(output: int) -> bytes:
    return hash_proof((COMMITMENT, output))


def _high_s(signature: bytes) -> bytes:
    """The other signature of the same key for the same message, which ECDSA allows and EIP-2 does not."""
    s = _GROUP_ORDER - int.from_bytes(signature[32:64])
    return signature[:32] + s.to_bytes(32) + bytes([55 - signature[64]])


def _compact(signature: bytes) -> bytes:
    """The same signature in 64 bytes (EIP-2098): a second form of it, which is not taken."""
    s = int.from_bytes(signature[32:64]) | (signature[64] - 27) << 255
    return signature[:32] + s.to_bytes(32)


def _spoilt(made: Settlement, how: int) -> Settlement:
    """A settlement whose proof does not hold: all zero, a point twice, of another settler, of another output."""
    if how == 0:
        return replace(made, proof=bytes(256))
    if how == 1:
        return replace(made, proof=made.proof[:64] + made.proof[:64] + made.proof[128:])
    if how == 2:
        return replace(made, settler=OUTSIDE)
    return replace(made, outputs=(OUTPUT + how,))


def replace_award(award: Award, order_hash: bytes) -> Award:
    """The award for this order: in a batch the order's hash is not sent."""
    return Award(**{**award.model_dump(), "order_hash": order_hash})


def replace_chain(chain: Market) -> Any:
    """The same Escrow on a fork with another chain id."""
    return type(chain.network)(chain_id=chain.network.chain_id + 1, escrow=chain.network.escrow)


def shallow(model: EscrowModel) -> EscrowModel:
    """A model on which a call can be tried: what it holds is never changed in place."""
    return EscrowModel(**{name: copy(value) for name, value in vars(model).items()})


def _lock_data(job: Job, award: Award, signature: bytes) -> bytes:
    if _is_packed(job, award):
        return bindings.lock(job.order, award, signature)
    return call_data("Escrow", "lock", bindings.order_tuple(job.order), bindings.award_tuple(award), signature)


def _expire_data(job: Job, award: Award) -> bytes:
    if _is_packed(job, award):
        return bindings.expire(job.order, award)
    return call_data("Escrow", "expire", bindings.order_tuple(job.order), bindings.award_tuple(award))


def _is_packed(job: Job, award: Award) -> bool:
    """Either form of a call for half of the orders; packed data cannot name the award of another order."""
    return award.order_hash == job.hash and job.hash[0] % 2 == 0


def outcome_of(draft: Draft, model: EscrowModel) -> tuple[str, object]:
    """Make the call on the model: ("done" or the error's name, what it gives)."""
    try:
        return "done", draft.modelled(model)
    except Refused as refusal:
        return refusal.reason, None


class Disagreement(AssertionError):
    """Model and chain differ."""


@dataclass
class Campaign:
    """One chain and its model; `seen` counts how often each call came out how."""

    chain: Market
    driver: bytes
    token: bytes
    drawer: Drawer
    seen: Counter[str] = field(default_factory=Counter)
    ledger: Counter[tuple[bytes, bytes]] = field(default_factory=Counter)

    def step(self, drafts: Sequence[Draft] | None = None) -> None:
        """Draw calls (or take these), make them on both sides at one instant, and compare all."""
        drawer = self.drawer
        chosen, outcomes = [], []
        for i in range(len(drafts) if drafts is not None else CALLS_A_TRANSACTION):
            draft = drafts[i] if drafts is not None else drawer.next_call()
            chosen.append(draft)
            outcomes.append(outcome_of(draft, drawer.model))
        questions = self._questions()
        done, answers = self._run(
            [(each.sender.address, self.chain.deployment.escrow, each.value, each.encoded()) for each in chosen]
            + [(PEOPLE[0].address, self.chain.deployment.escrow, 0, data) for data, _ in questions]
        )
        for draft, outcome, good, answer in zip(chosen, outcomes, done, answers, strict=False):
            self._compare(draft, outcome, good, answer)
        for (data, expected), answer in zip(questions, answers[len(chosen) :], strict=True):
            if bindings.decode_number(answer[:32]) != expected:
                raise Disagreement(f"after {[each.name for each in chosen]}: {data.hex()} gives {answer.hex()}")
        owned = {key: amount for key, amount in drawer.model.balances.items() if amount}
        if {key: amount for key, amount in self.ledger.items() if amount} != owned:
            raise Disagreement(f"after {[each.name for each in chosen]}: the events give other balances")

    def pass_time(self) -> None:
        """Let some time pass; every instant at which something ends is met exactly now and then."""
        draw, now = self.drawer.draw, self.drawer.now
        ends = [at for job in self.drawer.jobs for at in (job.order.final_by, *(a.promise_at for a in job.awards))]
        later = [at for at in ends if at >= now]
        jump = draw.choice((1, 1, 7, 20, 40, 90))
        target = draw.choice(later) if later and draw.random() < 0.2 else now + jump
        self.drawer.now = max(now + 1, min(target + draw.choice((0, 0, 1)), now + 400))

    def finish(self) -> None:
        """End all that is under way; then nothing may be left in flight."""
        self.drawer.now += 2_000
        self.step(list(self.drawer.expire_all()))
        if any(self.drawer.model.held.values()):
            raise Disagreement("after the end of every order something is still held")

    def _questions(self) -> list[tuple[bytes, int]]:
        model, token = self.drawer.model, self.token
        people = (*BY_ADDRESS, BURNED, account("publisher").address)
        asked = [(bindings.balance_of(each), model.balance(each)) for each in people]
        asked += [(bindings.token_balance_of(token, each), model.balance(each, token)) for each in people]
        asked += [(bindings.total(), model.total()), (bindings.total_of(token), model.total(token))]
        states = ((job.hash, model.orders.get(job.hash)) for job in self.drawer.jobs)
        return asked + [(bindings.state_of(identity), _status(life)) for identity, life in states]

    def _run(self, calls: Sequence[tuple[bytes, bytes, int, bytes]]) -> tuple[Sequence[bool], Sequence[bytes]]:
        packed = [target + value.to_bytes(32) + data for _, target, value, data in calls]
        data = _RUN + encode(["address[]", "bytes[]"], [[_hex(actor) for actor, *_ in calls], packed])
        rpc = self.chain.rpc
        rpc.call("evm_setNextBlockTimestamp", self.drawer.now)
        request = {"from": _hex(OPERATOR), "to": _hex(self.driver), "data": _hex(data), "gas": hex(_DRIVER_GAS)}
        receipt = rpc.call("eth_sendTransactionSync", request)
        if receipt["status"] != "0x1":
            raise Disagreement("the driver's transaction failed")
        for log in receipt["logs"]:
            if log["address"] == _hex(self.driver):
                found = decode(["bool[]", "bytes[]"], bytes.fromhex(log["data"][2:]))
            elif log["address"] == _hex(self.chain.deployment.escrow):
                self._count(log)
        return found[0], found[1]

    def _count(self, log: dict[str, Any]) -> None:
        topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
        event = decode_event(topics, bytes.fromhex(log["data"][2:]))
        if not isinstance(event, EscrowEvent):
            raise Disagreement("an event of the Escrow cannot be read")
        for token, owner, change in all_changes(event):
            self.ledger[token, owner] += change

    def _compare(self, draft: Draft, outcome: tuple[str, object], good: bool, answer: bytes) -> None:
        found = "done"
        if not good:
            revert = decode_revert(answer)
            found = revert.name if revert is not None else "0x" + answer.hex()
        if found != outcome[0]:
            raise Disagreement(f"{draft.name} at {self.drawer.now}: the chain says {found}, the model {outcome[0]}")
        if draft.name == "settle_batch" and good and packing.refusals_of(answer) != outcome[1]:
            raise Disagreement(f"settle_batch at {self.drawer.now}: {packing.refusals_of(answer)}, not {outcome[1]}")
        self.seen[f"{draft.name}: {found}"] += 1


_RUN = keccak256(b"run(address[],bytes[])")[:4]
OPERATOR = account("operator").address


def _status(life: object) -> int:
    if isinstance(life, LockedBy):
        return Status.LOCKED
    if isinstance(life, Finished):
        return Status.SETTLED if life.reason == "AlreadySettled" else Status.EXPIRED
    return Status.CANCEL_REQUESTED if life is not None and hasattr(life, "effective_at") else Status.NONE


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


@cache
def compiled() -> Any:
    """The driver and the tokens, compiled once a process (and what it forks)."""
    hash_verifier()
    names = ("test/Driver.sol", "test/Tokens.sol")
    sources = {name: (CHECKOUT / "contracts" / name).read_text(encoding="utf-8") for name in names}
    return compile_sources(sources)["contracts"]


@contextmanager
def campaigns(seed: int) -> Iterator[Callable[[], Campaign]]:
    """A chain with contracts, token and driver; each call gives a campaign on a fresh copy of it."""
    output = compiled()
    with market(NAMES) as chain:
        operator = account("operator")
        for each in (operator, *PEOPLE):
            chain.rpc.call("anvil_setBalance", _hex(each.address), hex(10**6 * ETHER))
        chain.rpc.call("evm_setBlockGasLimit", hex(2 * _DRIVER_GAS))
        chain.rpc.call("anvil_removeBlockTimestampInterval")
        driver, token = (
            bytes.fromhex(chain.rpc.transact(operator, None, _code(output, source, name))["contractAddress"][2:])
            for source, name in (("test/Driver.sol", "Driver"), ("test/Tokens.sol", "SignedToken"))
        )
        for each in PEOPLE:
            chain.rpc.transact(each, token, token_call("approve", chain.deployment.escrow, 2**255))
            chain.rpc.transact(operator, token, token_call("mint", each.address, 10**6 * ETHER))
        actor = output["test/Driver.sol"]["Actor"]["evm"]["deployedBytecode"]["object"]
        for each in PEOPLE:
            chain.rpc.call("anvil_setCode", _hex(each.address), "0x" + actor)
        external = register_external(chain)
        chain.rpc.call("anvil_impersonateAccount", _hex(OPERATOR))
        snapshot = chain.rpc.call("evm_snapshot")
        number = 0

        def fresh() -> Campaign:
            nonlocal snapshot, number
            if number:
                assert chain.rpc.call("evm_revert", snapshot)
                snapshot = chain.rpc.call("evm_snapshot")
            number += 1
            drawer = Drawer(chain, token, external, random.Random(f"{seed}/{number}"), GENESIS_TIME + 100_000)
            campaign = Campaign(chain, driver, token, drawer)
            campaign.step([_opening(each, token, which) for each in PEOPLE for which in (False, True)])
            drawer.now += 1
            return campaign

        yield fresh


def _opening(who: Account, token: bytes, in_token: bool) -> Draft:
    amount = 3 * ETHER
    if in_token:
        return Draft(
            "deposit_token", who, lambda model: model.deposit(who.address, amount, token),
            lambda: bindings.deposit_token(token, who.address, amount),
        )  # fmt: skip
    return Draft("deposit", who, lambda model: model.deposit(who.address, amount), lambda: bindings.deposit(), amount)


def _code(output: dict[str, Any], source: str, name: str) -> bytes:
    return bytes.fromhex(output[source][name]["evm"]["bytecode"]["object"])
