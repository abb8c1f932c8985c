# SPDX-License-Identifier: GPL-3.0-or-later
"""A client, a prover and a verifier with their real shells and journals, over a network and a chain of a few lines.

Each role can be killed after any journal record or effect (node/crash_point.py): what its process had in memory is
gone, what was committed stays, and it comes back some seconds later and hears the chain's history, as a node does. What
a role was about to be told is lost with it; a transaction that was sent lands all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio
from market_samples import (
    CLIENT,
    NETWORK,
    NOW,
    ORDER,
    ORDER_HASH,
    PROGRAM,
    PROOF,
    SIGNATURE,
    TX,
    a_prover,
    a_verifier,
    placed,
)

from market import client, prover, refusals, verifier
from market.effects import (
    Announce,
    CheckProof,
    ComputeWitness,
    Effect,
    SendAward,
    SendBid,
    SendProof,
    SendRefusal,
    StartProof,
    SubmitExpire,
    SubmitLock,
    SubmitSettlement,
)
from market.events import (
    AwardAccepted,
    AwardReceived,
    BidReceived,
    ChainExpired,
    ChainLocked,
    ChainSettled,
    Event,
    InputOpened,
    OrderSeen,
    ProofChecked,
    ProofReady,
    ProofReceived,
    RefusalReceived,
    VerifierAnswered,
    WitnessReady,
)
from market.instants import SECOND
from node.journal import Journal
from node.role_shell import RoleShell
from protocol.eip712 import digest
from protocol.structs import Award

BLOCK, HOP, DOWN = 0.5, 0.05, 3.0
"""Seconds of a block, of a message, and until a killed process is back."""
ROLES = ("client", "prover", "verifier")
MACHINES: dict[str, Any] = {"client": client, "prover": prover, "verifier": verifier}


class Killed(BaseException):
    """The process is gone at this point."""


class DownError(Exception):
    """A peer does not answer."""


class Clock:
    """Chain time over trio's, from the start of a market."""

    def __init__(self) -> None:
        self._began = trio.current_time()

    def now(self) -> int:
        return NOW * SECOND + int((trio.current_time() - self._began) * SECOND)


@dataclass(slots=True)
class CrashMarket:
    """One order among three processes. `kills` has (point, how often it is passed before): each kills once."""

    folder: Path
    locks: bool
    kills: set[tuple[str, int]] = field(default_factory=set)
    passed: list[str] = field(default_factory=list)
    payments: list[tuple[bytes, int]] = field(default_factory=list)
    refunds: int = 0
    done: Counter[str] = field(default_factory=Counter)
    deaths: int = 0
    history: list[Event] = field(default_factory=list)
    roles: dict[str, Process] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    _counted: Counter[str] = field(default_factory=Counter)
    _nursery: Any = None
    _sent: set[str] = field(default_factory=set)

    def reached(self, name: str) -> None:
        """Stand in for node.crash_point.reached."""
        self.passed.append(name)
        point = (name, self._counted[name])
        self._counted[name] += 1
        if point in self.kills:
            self.kills.discard(point)
            self.deaths += 1
            raise Killed(name)

    async def run(self, seconds: float) -> None:
        """Let the market live for so long."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for role in ROLES:
                self.roles[role] = Process(self, role)
                nursery.start_soon(self.roles[role].live)
            nursery.start_soon(self._user)
            await trio.sleep(seconds)
            nursery.cancel_scope.cancel()

    async def _user(self) -> None:
        """Places the order, and places it again if the client died before it was kept."""
        buyer = self.roles["client"]
        while True:
            await trio.sleep(0.1)
            if buyer.alive and ORDER_HASH not in buyer.shell.state.jobs and not self.history:
                _try(buyer, placed(self.clock.now()))

    # --- the chain -----------------------------------------------------------------------

    def transact(self, key: str, event: Event) -> None:
        """Take a transaction, once by its key; its block comes, whatever becomes of its sender."""
        if key not in self._sent:
            self._sent.add(key)
            self._nursery.start_soon(self._mine, event)

    async def _mine(self, event: Event) -> None:
        await trio.sleep(BLOCK)
        over = any(isinstance(known, (ChainSettled, ChainExpired)) for known in self.history)
        if over or (isinstance(event, ChainLocked) and any(isinstance(e, ChainLocked) for e in self.history)):
            return
        if isinstance(event, ChainSettled):
            self.payments.append((event.prover, event.price + event.fee))
        self.refunds += isinstance(event, ChainExpired)
        self.history.append(event)
        for role in self.roles.values():
            role.hear(event)


class Process:
    """A role that lives, dies and comes back."""

    def __init__(self, market: CrashMarket, role: str) -> None:
        self.market = market
        self.role = role
        self.alive = False
        self.shell: RoleShell[Any]
        self._scope = trio.CancelScope()

    async def live(self) -> None:
        """Start, run until killed, and again."""
        while True:
            with Journal(self.market.folder / self.role) as journal:
                journal.database.execute("PRAGMA synchronous = OFF")  # no power cut here: a kill loses no write
                self._scope = trio.CancelScope()
                try:
                    self._start(journal)
                    with self._scope:
                        await self.shell.run(self._perform)
                except* Killed:
                    pass
                self.alive = False
            await trio.sleep(DOWN)

    def _start(self, journal: Journal) -> None:
        machine = MACHINES[self.role]
        proving_ms = 31_000 if self.market.locks else 1_000
        selling = a_prover(programs={PROGRAM: proving_ms})
        states = {"client": client.State(), "prover": selling, "verifier": a_verifier()}
        self.shell = RoleShell(
            self.role, states[self.role], machine.transition, machine.next_deadline, journal, self.market.clock
        )
        for event in self.market.history:
            self.shell.hear(event)
        self.alive = True

    def tell(self, event: Event) -> tuple[Effect, ...]:
        """Deliver what a peer or a user says; a process that dies of it, or is dead, does not answer."""
        if not self.alive:
            raise DownError(self.role)
        try:
            return self.shell.feed(event)
        except Killed:
            self._die()
            raise DownError(self.role) from None

    def hear(self, event: Event) -> None:
        """Deliver the chain's news, if somebody is there."""
        if self.alive:
            try:
                self.shell.hear(event)
            except Killed:
                self._die()

    def _die(self) -> None:
        self.alive = False
        self._scope.cancel()

    async def _perform(self, effect: Effect) -> Sequence[Event]:
        await trio.sleep(HOP)
        self.market.done[f"{self.role} {type(effect).__name__}"] += 1
        hands = {"client": _client, "prover": _prover, "verifier": _verifier}[self.role]
        return await hands(self.market, effect)


async def _client(market: CrashMarket, effect: Effect) -> Sequence[Event]:
    now, seller = market.clock.now, market.roles["prover"]
    match effect:
        case Announce():
            while now() < effect.expires_at * SECOND:
                if seller.alive:
                    _try(seller, OrderSeen(now(), ORDER_HASH, ORDER, effect.issued_at, "client", 10**18, bytes(32)))
                await trio.sleep(1)
        case SendAward():
            award = effect.award
            event = AwardReceived(now(), ORDER_HASH, "client", award, digest(NETWORK, award), SIGNATURE)
            try:
                answers = [e.code for e in seller.tell(event) if isinstance(e, SendRefusal)]
                if not answers:
                    seller.tell(InputOpened(now(), ORDER_HASH))
            except DownError:
                answers = [refusals.UNREACHABLE]
            if answers:
                return [RefusalReceived(now(), ORDER_HASH, award.prover, answers[0], 0)]
            return [AwardAccepted(now(), ORDER_HASH, award.prover)]
        case SubmitExpire():
            market.transact("expire", ChainExpired(now(), ORDER_HASH, TX))
    return []


async def _prover(market: CrashMarket, effect: Effect) -> Sequence[Event]:
    now = market.clock.now
    match effect:
        case SendBid():
            bid = effect.bid
            _try(market.roles["client"], BidReceived(now(), ORDER_HASH, "prover", bid, digest(NETWORK, bid)))
        case SendRefusal():
            event = RefusalReceived(now(), ORDER_HASH, market.roles["prover"].shell.state.account, effect.code, 0)
            _try(market.roles["client"], event)
        case ComputeWitness():
            return [WitnessReady(now(), ORDER_HASH)]
        case StartProof():
            await trio.sleep(1)
            return [ProofReady(now(), ORDER_HASH, (1,), PROOF, 1_000)]
        case SubmitLock():
            award = effect.award
            hash_ = digest(NETWORK, award)
            market.transact("lock", ChainLocked(now(), ORDER_HASH, hash_, award.prover, award.promise_at, award.price))
            await trio.sleep(BLOCK)
        case SendProof():
            return [VerifierAnswered(now(), ORDER_HASH, _ask_verifier(market, effect))]
        case SubmitSettlement():
            await _settle(market, effect.award, market.roles["prover"].shell.state.account)
    return []


def _ask_verifier(market: CrashMarket, effect: SendProof) -> str:
    event = ProofReceived(
        market.clock.now(),
        ORDER_HASH,
        "prover",
        effect.order,
        effect.award,
        digest(NETWORK, effect.award),
        effect.signature,
        effect.outputs,
        effect.proof,
        effect.settler,
        10**18,
    )
    try:
        return next((e.code for e in market.roles["verifier"].tell(event) if isinstance(e, SendRefusal)), "")
    except DownError:
        return refusals.UNREACHABLE


async def _verifier(market: CrashMarket, effect: Effect) -> Sequence[Event]:
    match effect:
        case CheckProof():
            return [ProofChecked(market.clock.now(), ORDER_HASH, True)]
        case SubmitSettlement():
            await _settle(market, effect.award, market.roles["verifier"].shell.state.account)
        case SendRefusal():
            _try(market.roles["prover"], VerifierAnswered(market.clock.now(), ORDER_HASH, effect.code))
    return []


async def _settle(market: CrashMarket, award: Award, sender: bytes) -> None:
    event = ChainSettled(
        market.clock.now(), ORDER_HASH, TX, award.prover, award.payout, sender, award.price, ORDER.verifier_fee
    )
    market.transact(f"settle by {sender.hex()}", event)
    await trio.sleep(BLOCK)


def _try(role: Process, event: Event) -> None:
    try:
        role.tell(event)
    except DownError:
        return


def owed(market: CrashMarket) -> int:
    """What the order may cost its client at most."""
    assert ORDER.client == CLIENT
    return ORDER.price_cap + ORDER.verifier_fee
