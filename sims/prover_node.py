# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated prover: bids, computes witnesses and proofs on a few workers, locks, settles, may die."""

from __future__ import annotations

from collections.abc import Callable

from market import prover, refusals
from market.effects import (
    ComputeWitness,
    Effect,
    EraseSecrets,
    SendBid,
    SendProof,
    SendRefusal,
    StartProof,
    SubmitLock,
    SubmitRelease,
    SubmitSettlement,
)
from market.events import (
    AwardReceived,
    ChainExpired,
    ChainLocked,
    ChainReleased,
    ChainSettled,
    Event,
    FundsChanged,
    InputOpened,
    InputRejected,
    LockFailed,
    OrderSeen,
    ProgramServed,
    ProofFailed,
    ProofReady,
    SettlementFailed,
    VerifierAnswered,
    VerifierGone,
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
from protocol.structs import Bid
from sims.client_node import GOOD_INPUT
from sims.proving import BY_ID, PROGRAMS, Program, draw_proving, draw_witness, estimate_ms
from sims.scenario import ProverSpec, Scenario
from sims.sender import Sender
from sims.shell import Machine, Shell, Surroundings, overlap, refusal_in
from sims.tokens import (
    NETWORK,
    account_of,
    announcement_is_signed,
    hash_of,
    proof_token,
    signature_token,
    statement_hash,
)
from sims.workers import Work, Workers

MACHINE: Machine[prover.State] = Machine("prover", prover.transition, prover.next_deadline)
OUTPUTS = (1,)
SECOND = 10**9
DOWN_AT_LEAST, DOWN_AT_MOST = 20 * SECOND, 120 * SECOND
MENDING = 60 * SECOND
"""From a failed proof until the bundle has been audited again and its program is offered again."""
WARMING = 2 * SECOND
"""After a start: until its bundles are in memory again and it bids."""
LONGEST_LIFE = 600
"""Seconds that an announcement may live."""
CLOCK_SKEW = 30
"""Seconds that an announcement may come from the future."""


def tariff_of(spec: ProverSpec, scenario: Scenario) -> Tariff:
    """Return the operator's figures: margins that fit the chain's block time and its reorganisations."""
    block, deep = scenario.block_seconds, scenario.confirmations
    margin = 3 + block * (3 + max((reorg.depth for reorg in scenario.reorgs), default=0))
    return Tariff(
        wei_per_ms=spec.wei_per_ms,
        margin_bps=spec.margin_bps,
        capacity=spec.capacity,
        exposure_cap=spec.exposure_cap,
        settle_margin=margin,
        promise_slack=margin + 8 + block * (2 + deep),
    )


class ProverNode(Shell[prover.State]):
    """One prover."""

    def __init__(self, index: int, around: Surroundings, spec: ProverSpec, tariff: Tariff) -> None:
        name = f"prover {index}"
        state = prover.State(
            network=NETWORK, account=account_of(name), payout=account_of(f"payout {index}"), tariff=tariff
        )
        super().__init__(index, name, around, MACHINE, state, spec.clock)
        self.spec = spec
        self.sender = Sender(self)
        self.proofs = 0
        self.failures: list[tuple[int, int]] = []
        """(from, to) of every proof that could not be made."""
        self._workers = Workers(self, spec.capacity)

    def serve(self) -> None:
        """Offer all programs: their bundles are audited and warm."""
        for program in PROGRAMS:
            self._offer(program)

    def _offer(self, program: Program) -> None:
        took = estimate_ms(program, self.spec.slowness_percent)
        self.feed(ProgramServed(self.now, program.program_id, took))

    def greeted(self, peer: int, account: bytes, least_fee: int) -> None:
        """A verifier introduced itself."""
        if self.alive:
            seen = VerifierSeen(self.now, str(peer), account, least_fee)
            self.guarded(lambda: self._feed(seen))

    def parted(self, account: bytes) -> None:
        """A verifier is connected no longer."""
        if self.alive:
            gone = VerifierGone(self.now, account)
            self.guarded(lambda: self._feed(gone))

    def _feed(self, event: Event) -> None:
        self.feed(event)

    def funds(self, gas_price: int) -> None:
        """Learn what gas costs and what the own balance is."""
        if self.alive:
            self.guarded(lambda: self._funds(gas_price))

    def _funds(self, gas_price: int) -> None:
        balance = self.around.chain.escrow.dependable(self.account)
        if (balance, gas_price) != (self.state.balance, self.state.gas_price):
            self.feed(FundsChanged(self.now, balance, gas_price))

    def restarted(self) -> None:
        """Begin with idle workers; bid when warm."""
        self._workers.clear()
        self._funds(self.around.chain.gas_price)
        self.later(WARMING, self.serve)

    def fed(self, event: Event) -> None:
        """Notice what the chain did to the own balance, and to the jobs that are being proved."""
        self._workers.stop_unwanted()
        if isinstance(event, (ChainLocked, ChainReleased, ChainSettled, ChainExpired)):
            self._funds(self.state.gas_price)
        elif isinstance(event, AwardReceived) and self.honest:
            self.around.awarded(self.index)
        elif isinstance(event, ProofFailed) and event.order_hash in self.state.jobs:
            self.mend(BY_ID[self.state.jobs[event.order_hash].order.program_id])

    def mend(self, program: Program) -> None:
        """Audit a program's bundle after a failed proof, and offer it again."""
        self.later(MENDING, lambda: self._offer(program))

    # --- from peers ----------------------------------------------------------------------

    def gossip(self, message: Message) -> None:
        """See an order that passes the gossip's validation."""
        if isinstance(message, OrderAnnouncement) and self._sound(message):
            self.guarded(lambda: self._see(message))

    def _sound(self, message: OrderAnnouncement) -> bool:
        now, order = self.now // SECOND, message.order
        fresh = message.issued_at <= now + CLOCK_SKEW
        fresh = fresh and now <= message.expires_at <= message.issued_at + LONGEST_LIFE
        if not (fresh and now <= order.promise_by <= order.final_by):
            return False
        return announcement_is_signed(message)

    def _see(self, message: OrderAnnouncement) -> None:
        order_hash = hash_of(message.order)
        job = self.state.jobs.get(order_hash)
        if job is not None and job.issued_at >= message.issued_at:
            return
        self.feed(
            OrderSeen(
                at=self.now,
                order_hash=order_hash,
                order=message.order,
                issued_at=message.issued_at,
                peer=message.addresses[0].rsplit("/", 1)[1],
                client_balance=self.around.chain.escrow.dependable(message.order.client),
                sealing_key=order_hash,
            )
        )

    def take(self, source: int, message: Message) -> str:
        """Take awards, inputs and a verifier's late refusals."""
        if isinstance(message, AwardMessage):
            return self._award(message)
        if isinstance(message, SealedInput):
            return self._input(source, message)
        if isinstance(message, Refusal):
            job = self.state.jobs.get(message.terms.order_hash)
            signed = message.signature == signature_token(message.terms.prover, statement_hash(message.terms))
            if job is not None and message.terms.prover == job.settler and signed:
                self.feed(VerifierAnswered(self.now, message.terms.order_hash, message.terms.code))
        return ""

    def _award(self, message: AwardMessage) -> str:
        award, award_hash = message.award, hash_of(message.award)
        job = self.state.jobs.get(award.order_hash)
        if job is None:
            return refusals.BID_UNKNOWN
        if message.signature != signature_token(job.order.client, award_hash):
            return refusals.UNEXPECTED
        event = AwardReceived(self.now, award.order_hash, job.peer, award, award_hash, message.signature)
        return refusal_in(self.feed(event))

    def _input(self, source: int, message: SealedInput) -> str:
        job = self.state.jobs.get(message.order_hash)
        if job is None or job.award is None:
            return refusals.BID_UNKNOWN
        if job.phase is not prover.Phase.AWARDED:
            return ""
        if message.award_hash != hash_of(job.award):
            return refusals.AWARD_MISMATCH
        if message.ciphertext != GOOD_INPUT:
            if job.peer == str(source):
                self.feed(InputRejected(self.now, message.order_hash))
            return refusals.INPUT_INVALID
        self.disk.secrets.add(message.order_hash)
        self.feed(InputOpened(self.now, message.order_hash))
        return ""

    # --- effects -------------------------------------------------------------------------

    def perform(self, effect: Effect, done: Callable[..., None], failed: Callable[[], None]) -> None:
        """Perform an effect of the prover's machine."""
        of = effect.order_hash
        match effect:
            case SendBid():
                self.ask(effect.peer, self.bid_message(effect.bid), lambda code: None)
                done()
            case SendRefusal():
                self.refuse(effect, done)
            case ComputeWitness():
                program = BY_ID[effect.order.program_id]
                took = draw_witness(self.draw, program, self.spec.slowness_percent)
                self.later(took, lambda: self._witnessed(of, done))
            case StartProof():
                self.prove(effect, done)
            case SubmitLock():
                self.sender.lock(effect, lambda reason: done(*([] if reason == "" else [self._unlocked(of)])))
            case SubmitRelease():
                self.sender.release(effect, lambda reason: failed() if reason is None else done())
            case SendProof():
                self.send_proof(effect, done)
            case SubmitSettlement():
                self.sender.settle(effect, lambda reason: self._settled(of, reason, done, failed))
            case EraseSecrets():
                self.disk.secrets.discard(of)
                done()
            case _:
                done()

    def bid_message(self, bid: Bid) -> BidMessage:
        """Return a signed bid."""
        signature = signature_token(self.account, hash_of(bid))
        return BidMessage(network=NETWORK, bid=bid, addresses=(f"/p2p/{self.peer}",), signature=signature)

    def _unlocked(self, of: bytes) -> LockFailed:
        return LockFailed(self.now, of)

    def _settled(self, of: bytes, reason: str | None, done: Callable[..., None], failed: Callable[[], None]) -> None:
        if reason is None:
            failed()
        elif reason:
            done(SettlementFailed(self.now, of, refusals.SETTLEMENT_FAILED))
        else:
            done()

    def _witnessed(self, of: bytes, done: Callable[..., None]) -> None:
        ready = of in self.disk.secrets
        done(WitnessReady(self.now, of) if ready else InputRejected(self.now, of))

    def prove(self, effect: StartProof, done: Callable[..., None]) -> None:
        """Prove on a worker; the process may die of it."""
        if self.draw.chance(self.around.rates.prover_death):
            self.around.world.fault("death while proving")
            self.die(self.draw.between(DOWN_AT_LEAST, DOWN_AT_MOST))
            return
        program = BY_ID[effect.order.program_id]
        took = draw_proving(self.draw, program, self.spec.slowness_percent)
        self._workers.begin(Work(effect, took, lambda: self._proved(effect, took, done), done))

    def _proved(self, effect: StartProof, took: int, done: Callable[..., None]) -> None:
        of = effect.order_hash
        broken = self.draw.chance(self.around.rates.proof_failure)
        if broken:
            self.around.world.fault("failed proof")
            self.failures.append((self.around.world.now - took, self.around.world.now))
        if broken or of not in self.disk.secrets:
            done(ProofFailed(self.now, of))
            return
        self.proofs += 1
        done(ProofReady(self.now, of, OUTPUTS, self.proof(effect), took // 10**6))

    def proof(self, effect: StartProof) -> bytes:
        """Return the proof of a statement."""
        return proof_token(effect.order, effect.binding, OUTPUTS)

    def send_proof(self, effect: SendProof, done: Callable[..., None]) -> None:
        """Give the proof to its settler."""
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
            code = refusals.UNREACHABLE if code is None else code
            done(VerifierAnswered(self.now, effect.order_hash, code))

        self.ask(effect.peer, message, answered)

    def hindered_for(self, since: int, until: int) -> int:
        """Count what its machine lost on proofs that failed as well."""
        return super().hindered_for(since, until) + overlap(self.failures, since, until)
