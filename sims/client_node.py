# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated client: places planned orders, awards, sends inputs, asks for refunds."""

from __future__ import annotations

from dataclasses import dataclass

from market import client, refusals
from market.effects import (
    Announce,
    Effect,
    KeepReceipt,
    SendAward,
    SendRefusal,
    SubmitCancel,
    SubmitExpire,
)
from market.events import (
    AwardAccepted,
    BidReceived,
    CancelAsked,
    ChainSettled,
    Event,
    JobEvent,
    OrderPlaced,
    RefusalReceived,
)
from protocol.messages import AwardMessage, BidMessage, Message, OrderAnnouncement, Refusal, SealedInput
from protocol.structs import Order
from sims.actor import SIGNATURE, Actor, Machine, Surroundings
from sims.tokens import NETWORK, hash_of, signature_token

MACHINE: Machine[client.State] = Machine("client", client.transition, client.next_deadline)
GOOD_INPUT = b"\x00" * 256
BAD_INPUT = b"\xff" * 256
"""A sealed input that does not fit the commitment."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One order to be placed. Instants and durations in nanoseconds."""

    at: int
    order: Order
    policy: str
    window: int
    allowed: tuple[bytes, ...] | None = None
    cancel_after: int | None = None
    bad_input: bool = False
    must_settle: bool = False
    """Placed after healing, funded and fair: if it does not settle, liveness is broken."""


@dataclass(slots=True)
class Placed:
    """What became of an order."""

    plan: Plan
    outcome: client.Phase | None = None
    ended_at: int = 0
    paid: int = 0
    rounds: int = 1


class ClientNode(Actor[client.State]):
    """One client; it never dies, because nobody else would miss its orders."""

    def __init__(self, index: int, around: Surroundings) -> None:
        super().__init__(index, around, MACHINE, client.State())
        self.placed: dict[bytes, Placed] = {}
        self.receipts = 0

    def place(self, plan: Plan) -> None:
        """Place an order, and cancel it when the plan says so."""
        order_hash = hash_of(plan.order)
        self.placed[order_hash] = Placed(plan)
        self.feed(OrderPlaced(self.now, order_hash, plan.order, plan.policy, plan.window, plan.allowed))
        if plan.cancel_after is not None:
            self.later(plan.cancel_after, lambda: self._cancel(order_hash))

    def _cancel(self, order_hash: bytes) -> None:
        self.feed(CancelAsked(self.now, order_hash))

    def fed(self, event: Event) -> None:
        """Keep what the machine forgets: outcome and instant of every order."""
        touched = [event.order_hash] if isinstance(event, JobEvent) else list(self.state.jobs)
        for order_hash in touched:
            job, placed = self.state.jobs.get(order_hash), self.placed.get(order_hash)
            if job is None or placed is None:
                continue
            placed.rounds = job.round
            if job.phase in client.FINAL and placed.outcome is not job.phase:
                placed.outcome, placed.ended_at = job.phase, self.now
            if isinstance(event, ChainSettled):
                placed.paid = event.price + event.fee

    def receive(self, source: int, message: Message) -> str:
        """Take bids and refusals."""
        if isinstance(message, BidMessage):
            bid = message.bid
            event = BidReceived(self.now, bid.order_hash, str(source), bid, hash_of(bid))
            return next((e.code for e in self.feed(event) if isinstance(e, SendRefusal)), "")
        if isinstance(message, Refusal) and message.terms.order_hash in self.state.jobs:
            terms = message.terms
            self.feed(RefusalReceived(self.now, terms.order_hash, terms.prover, terms.code, terms.quote))
        return ""

    def perform(self, effect: Effect) -> None:
        """Perform an effect of the client's machine."""
        around = self.around
        match effect:
            case Announce():
                message = OrderAnnouncement(
                    network=NETWORK,
                    order=effect.order,
                    addresses=(f"/p2p/{self.peer}",),
                    issued_at=effect.issued_at,
                    expires_at=effect.expires_at,
                    signature=SIGNATURE,
                )
                around.network.publish(self.index, message)
            case SendAward():
                self._award(effect)
            case SendRefusal():
                self.refuse(effect)
            case SubmitExpire():
                around.chain.expire(self.account, effect)
            case SubmitCancel():
                around.chain.cancel(self.account, effect)
            case KeepReceipt():
                self.receipts += 1

    def _award(self, effect: SendAward) -> None:
        target, award, award_hash = int(effect.peer), effect.award, hash_of(effect.award)
        bad = self.placed[effect.order_hash].plan.bad_input
        sealed = SealedInput(
            network=NETWORK,
            order_hash=effect.order_hash,
            award_hash=award_hash,
            ciphertext=BAD_INPUT if bad else GOOD_INPUT,
        )
        signature = signature_token(self.account, award_hash)
        message = AwardMessage(network=NETWORK, award=award, signature=signature)

        def answered(code: str | None) -> None:
            if code is None or code:
                code = refusals.UNREACHABLE if code is None else code
                self.feed(RefusalReceived(self.now, effect.order_hash, award.prover, code, 0))
            else:
                self.around.network.request(self.index, target, sealed, input_answered)

        def input_answered(code: str | None) -> None:
            if code is None or code:
                code = refusals.UNREACHABLE if code is None else code
                self.feed(RefusalReceived(self.now, effect.order_hash, award.prover, code, 0))
            else:
                self.feed(AwardAccepted(self.now, effect.order_hash, award.prover))

        self.around.network.request(self.index, target, message, answered)
