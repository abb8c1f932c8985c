# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated prover: bids, computes witnesses and proofs on a few workers, locks, settles, may die."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from market import prover, refusals
from market.effects import (
    ComputeWitness,
    Effect,
    SendBid,
    SendProof,
    SendRefusal,
    StartProof,
    SubmitLock,
    SubmitSettlement,
)
from market.events import (
    AwardReceived,
    ChainExpired,
    ChainLocked,
    ChainSettled,
    Event,
    FundsChanged,
    InputOpened,
    InputRejected,
    LockFailed,
    OrderSeen,
    ProgramServed,
    ProofReady,
    SettlementFailed,
    VerifierAnswered,
    VerifierSeen,
    WitnessReady,
)
from market.pricing import Tariff
from protocol.messages import (
    AwardMessage,
    BidMessage,
    Message,
    OrderAnnouncement,
    ProofMessage,
    Refusal,
    SealedInput,
)
from sims.actor import SIGNATURE, Actor, Machine, Surroundings
from sims.client_node import GOOD_INPUT
from sims.proving import BY_ID, PROGRAMS, draw_proving, draw_witness, estimate_ms
from sims.tokens import INVALID_PROOF, NETWORK, account_of, hash_of, proof_token
from sims.world import Draw

MACHINE: Machine[prover.State] = Machine("prover", prover.transition, prover.next_deadline)
OUTPUTS = (1,)
SECOND = 10**9
DOWN_AT_LEAST, DOWN_AT_MOST = 20 * SECOND, 120 * SECOND


@dataclass(frozen=True, slots=True)
class Profile:
    """What a prover's machine and operator are like."""

    slowness_percent: int
    """Proving time relative to the reference machine."""
    tariff: Tariff
    lies: bool = False
    """It sends proofs that do not verify."""


class ProverNode(Actor[prover.State]):
    """One prover."""

    def __init__(self, index: int, around: Surroundings, profile: Profile) -> None:
        account = account_of(f"prover {index}")
        state = prover.State(
            network=NETWORK,
            account=account,
            payout=account_of(f"payout {index}"),
            tariff=profile.tariff,
        )
        super().__init__(index, around, MACHINE, state)
        self.profile = profile
        self.honest = not profile.lies
        self._draw = Draw(around.world.seed, f"prover {index}")
        self._free = profile.tariff.capacity
        self._queue: deque[tuple[int, Callable[[], None]]] = deque()

    def start(self, verifiers: list[tuple[int, bytes, int]], gas_price: int) -> None:
        """Serve all programs, know these verifiers (node, account, least fee)."""
        for program in PROGRAMS:
            took = estimate_ms(program, self.profile.slowness_percent)
            self.feed(ProgramServed(self.now, program.program_id, took))
        for node, account, least_fee in verifiers:
            self.feed(VerifierSeen(self.now, str(node), account, least_fee))
        self.feed(FundsChanged(self.now, self.around.chain.escrow.balance(self.account), gas_price))

    def revive(self) -> None:
        """Come back with idle workers."""
        if not self.alive:
            self._free = self.profile.tariff.capacity
            self._queue.clear()
        super().revive()

    def fed(self, event: Event) -> None:
        """Notice what the chain did to the own balance."""
        if isinstance(event, (ChainLocked, ChainSettled, ChainExpired)):
            balance = self.around.chain.escrow.balance(self.account)
            if balance != self.state.balance:
                self.feed(FundsChanged(self.now, balance, self.state.gas_price))

    # --- from peers ----------------------------------------------------------------------

    def gossip(self, message: Message) -> None:
        """See an order."""
        if not isinstance(message, OrderAnnouncement):
            return
        order_hash = hash_of(message.order)
        seen = OrderSeen(
            at=self.now,
            order_hash=order_hash,
            order=message.order,
            issued_at=message.issued_at,
            peer=message.addresses[0].rsplit("/", 1)[1],
            client_balance=self.around.chain.escrow.balance(message.order.client),
            sealing_key=order_hash,
        )
        self.feed(seen)

    def receive(self, source: int, message: Message) -> str:
        """Take awards, inputs and a verifier's late refusals."""
        if isinstance(message, AwardMessage):
            award = message.award
            event = AwardReceived(
                self.now, award.order_hash, str(source), award, hash_of(award), message.signature
            )
            return next((e.code for e in self.feed(event) if isinstance(e, SendRefusal)), "")
        if isinstance(message, SealedInput):
            return self._input(message)
        if isinstance(message, Refusal):
            job = self.state.jobs.get(message.terms.order_hash)
            if job is not None and message.terms.prover == job.settler:
                self.feed(VerifierAnswered(self.now, message.terms.order_hash, message.terms.code))
        return ""

    def _input(self, message: SealedInput) -> str:
        job = self.state.jobs.get(message.order_hash)
        if job is None or job.award is None:
            return refusals.BID_UNKNOWN
        if job.phase is not prover.Phase.AWARDED:
            return ""
        if message.award_hash != hash_of(job.award):
            return refusals.AWARD_MISMATCH
        if message.ciphertext != GOOD_INPUT:
            self.feed(InputRejected(self.now, message.order_hash))
            return refusals.INPUT_INVALID
        self.feed(InputOpened(self.now, message.order_hash))
        return ""

    # --- effects -------------------------------------------------------------------------

    def perform(self, effect: Effect) -> None:
        """Perform an effect of the prover's machine."""
        match effect:
            case SendBid():
                message = BidMessage(
                    network=NETWORK, bid=effect.bid, addresses=(f"/p2p/{self.peer}",), signature=SIGNATURE
                )
                self.around.network.request(self.index, int(effect.peer), message)
            case SendRefusal():
                self.refuse(effect)
            case ComputeWitness():
                self.outbox[effect.order_hash] = effect
                program = BY_ID[effect.order.program_id]
                took = draw_witness(self._draw, program, self.profile.slowness_percent)
                self.later(took, lambda: self._witnessed(effect.order_hash))
            case StartProof():
                self._prove(effect)
            case SubmitLock():
                of = effect.order_hash
                failed = self._unless_dead(lambda reason: self.feed(LockFailed(self.now, of)))
                self.around.chain.lock(self.account, effect, failed)
            case SendProof():
                self.outbox[effect.order_hash] = effect
                self._send_proof(effect)
            case SubmitSettlement():
                of = effect.order_hash
                self.settle(effect, lambda reason: self._told(SettlementFailed(self.now, of, reason)))

    def _told(self, event: SettlementFailed) -> None:
        self.feed(event)

    def _unless_dead(self, action: Callable[[str], object]) -> Callable[[str], None]:
        def told(reason: str) -> None:
            if self.alive:
                action(reason)

        return told

    def _witnessed(self, order_hash: bytes) -> None:
        self.outbox.pop(order_hash, None)
        self.feed(WitnessReady(self.now, order_hash))

    def _prove(self, effect: StartProof) -> None:
        self.outbox[effect.order_hash] = effect
        if self.honest and self._draw.chance(self.around.faults.prover_death):
            self.die(self._draw.between(DOWN_AT_LEAST, DOWN_AT_MOST))
            return
        program = BY_ID[effect.order.program_id]
        took = draw_proving(self._draw, program, self.profile.slowness_percent)
        self._work(took, lambda: self._proved(effect, took))

    def _proved(self, effect: StartProof, took: int) -> None:
        self.outbox.pop(effect.order_hash, None)
        honest = proof_token(effect.order, effect.binding, OUTPUTS)
        proof = INVALID_PROOF if self.profile.lies else honest
        self.feed(ProofReady(self.now, effect.order_hash, OUTPUTS, proof, took // 10**6))

    def _send_proof(self, effect: SendProof) -> None:
        message = ProofMessage(
            network=NETWORK,
            order=effect.order,
            award=effect.award,
            award_signature=effect.signature,
            outputs=effect.outputs,
            proof=effect.proof,
            settler=effect.settler,
        )

        def answered(code: str | None) -> None:
            self.outbox.pop(effect.order_hash, None)
            code = refusals.UNREACHABLE if code is None else code
            self.feed(VerifierAnswered(self.now, effect.order_hash, code))

        self.around.network.request(self.index, int(effect.peer), message, answered)

    # --- workers -------------------------------------------------------------------------

    def _work(self, took: int, done: Callable[[], None]) -> None:
        """Run on a free worker, or wait for one."""
        if self._free == 0:
            self._queue.append((took, done))
            return
        self._free -= 1
        self.later(took, lambda: self._worked(done))

    def _worked(self, done: Callable[[], None]) -> None:
        self._free += 1
        done()
        if self._queue and self._free:
            self._work(*self._queue.popleft())
