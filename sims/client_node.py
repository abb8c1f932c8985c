# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated client: places planned orders, awards, sends inputs, asks for refunds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from market import client, refusals
from market.effects import (
    Announce,
    Effect,
    EraseSecrets,
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
    Event,
    JobEvent,
    OrderPlaced,
    RefusalReceived,
)
from protocol.messages import AwardMessage, BidMessage, Message, OrderAnnouncement, Refusal, SealedInput
from protocol.structs import Award, Order
from sims.scenario import ClientSpec
from sims.sender import Sender
from sims.shell import Machine, Shell, Surroundings, refusal_in
from sims.tokens import NETWORK, announced, hash_of, signature_token, statement_hash

MACHINE: Machine[client.State] = Machine("client", client.transition, client.next_deadline)
GOOD_INPUT = b"\x00" * 256
BAD_INPUT = b"\xff" * 256
"""A sealed input that does not fit the commitment."""
REPEAT = 2 * 10**9
"""How often an announcement is published again, in nanoseconds."""


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


@dataclass(slots=True)
class Placed:
    """What became of an order."""

    plan: Plan
    outcome: client.Phase | None = None
    ended_at: int = 0
    paid: int = 0
    rounds: int = 1


class ClientNode(Shell[client.State]):
    """One client."""

    def __init__(self, index: int, around: Surroundings, spec: ClientSpec) -> None:
        super().__init__(index, f"client {index}", around, MACHINE, client.State(), spec.clock)
        self.placed: dict[bytes, Placed] = {}
        self.receipts = 0
        self.sender = Sender(self)

    def place(self, plan: Plan) -> None:
        """Place an order, and cancel it when the plan says so; a node that is down does so when it is back."""
        if not self.alive:
            self.around.world.after(self.downs[-1][1] - self.around.world.now + 1, lambda: self.place(plan))
            return
        order_hash = hash_of(plan.order)
        self.disk.secrets.add(order_hash)
        placed = OrderPlaced(self.now, order_hash, plan.order, plan.policy, plan.window, plan.allowed)
        self.placed.setdefault(order_hash, Placed(plan))
        self.guarded(lambda: self._place(placed))
        if order_hash not in self.state.jobs and not self.alive:
            self.place(plan)  # it died before the order was on disk: its user asks again
            return
        if plan.cancel_after is not None:
            self.later(plan.cancel_after, lambda: self._cancel(order_hash))

    def _place(self, event: OrderPlaced) -> None:
        if event.order_hash not in self.state.jobs:
            self.feed(event)

    def _cancel(self, order_hash: bytes) -> None:
        self.feed(CancelAsked(self.now, order_hash))

    def fed(self, event: Event) -> None:
        """Keep what the machine forgets: outcome and instant of every order."""
        self._look([event.order_hash] if isinstance(event, JobEvent) else list(self.state.jobs))

    def restarted(self) -> None:
        """See what was journalled in the instant of the death."""
        self._look(list(self.state.jobs))

    def _look(self, orders: list[bytes]) -> None:
        for order_hash in orders:
            job, placed = self.state.jobs.get(order_hash), self.placed.get(order_hash)
            if job is None or placed is None:
                continue
            placed.rounds, placed.paid = job.round, job.paid
            if job.phase not in client.FINAL:
                placed.outcome = None
            elif placed.outcome is not job.phase:
                placed.outcome, placed.ended_at = job.phase, self.around.world.now

    def hear(self, event: JobEvent) -> None:
        """Take the chain's word on own orders."""
        if event.order_hash in self.state.jobs:
            self.feed(event)

    def comes_from(self, source: int, prover: bytes) -> bool:
        """Return whether a peer introduced itself as this account: only it could sign that for its peer id."""
        return self.around.network.account(source) == prover

    def take(self, source: int, message: Message) -> str:
        """Take bids and refusals that are signed by whom they name."""
        if isinstance(message, BidMessage):
            bid, bid_hash = message.bid, hash_of(message.bid)
            if message.signature != signature_token(bid.prover, bid_hash):
                return refusals.UNEXPECTED
            if not self.comes_from(source, bid.prover):
                return refusals.NOT_INTRODUCED
            slashes = sum(1 for slash in self.around.chain.slashes if slash.prover == bid.prover)
            return refusal_in(self.feed(BidReceived(self.now, bid.order_hash, str(source), bid, bid_hash, slashes)))
        if isinstance(message, Refusal) and message.terms.order_hash in self.state.jobs:
            terms = message.terms
            if message.signature == signature_token(terms.prover, statement_hash(terms)):
                self.feed(RefusalReceived(self.now, terms.order_hash, terms.prover, terms.code, terms.quote))
        return ""

    # --- effects -------------------------------------------------------------------------

    def perform(self, effect: Effect, done: Callable[..., None], failed: Callable[[], None]) -> None:
        """Perform an effect of the client's machine."""
        match effect:
            case Announce():
                self._announce(effect, done, set())
            case SendAward():
                self.award(effect, done)
            case SendRefusal():
                self.refuse(effect, done)
            case SubmitExpire():
                if effect.order_hash not in self.around.chain.escrow.locks:
                    done()
                else:
                    self.sender.expire(effect, lambda reason: failed() if reason is None else done())
            case SubmitCancel():
                self.sender.cancel(effect, lambda reason: failed() if reason is None else done())
            case KeepReceipt():
                self.receipts += 1
                done()
            case EraseSecrets():
                self.disk.secrets.discard(effect.order_hash)
                done()
            case _:
                done()

    def _announce(self, effect: Announce, done: Callable[..., None], seen: set[int]) -> None:
        """Publish, and again for those that missed it, as long as bids are taken."""
        job = self.state.jobs.get(effect.order_hash)
        collecting = job is not None and job.phase is client.Phase.COLLECTING
        if not collecting or self.now >= effect.expires_at * 10**9:
            done()
            return
        self.around.network.publish(self.index, self.announcement(effect), seen)
        self.later(REPEAT, lambda: self._announce(effect, done, seen))

    def announcement(self, effect: Announce) -> OrderAnnouncement:
        """Return the signed message that gossips an order."""
        addresses = (f"/p2p/{self.peer}",)
        signed = announced(effect.order_hash, addresses, effect.issued_at, effect.expires_at)
        return OrderAnnouncement(
            network=NETWORK,
            order=effect.order,
            addresses=addresses,
            issued_at=effect.issued_at,
            expires_at=effect.expires_at,
            signature=signature_token(self.account, statement_hash(signed)),
        )

    def award(self, effect: SendAward, done: Callable[..., None]) -> None:
        """Send the award, then the input; the first refusal is the answer."""
        target, prover = effect.peer, effect.award.prover
        if effect.order_hash not in self.disk.secrets:
            done(RefusalReceived(self.now, effect.order_hash, prover, refusals.UNREACHABLE, 0))
            return

        def refused(code: str | None) -> bool:
            if code == "":
                return False
            code = refusals.UNREACHABLE if code is None else code
            done(RefusalReceived(self.now, effect.order_hash, prover, code, 0))
            return True

        def awarded(code: str | None) -> None:
            if not refused(code):
                self.ask(target, self.sealed_input(effect.award), sent)

        def sent(code: str | None) -> None:
            if not refused(code):
                done(AwardAccepted(self.now, effect.order_hash, prover))

        self.ask(target, self.award_message(effect.award), awarded)

    def award_message(self, award: Award) -> AwardMessage:
        """Return a signed award."""
        signature = signature_token(self.account, hash_of(award))
        return AwardMessage(network=NETWORK, award=award, signature=signature)

    def sealed_input(self, award: Award) -> SealedInput:
        """Return the input of an order, for the prover of this award."""
        placed = self.placed.get(award.order_hash)
        bad = placed is not None and placed.plan.bad_input
        return SealedInput(
            network=NETWORK,
            order_hash=award.order_hash,
            award_hash=hash_of(award),
            ciphertext=BAD_INPUT if bad else GOOD_INPUT,
        )
