# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated verifier: checks proof tokens, settles, tells the prover; may die with a proof in hand."""

from __future__ import annotations

from market import verifier
from market.effects import CheckProof, Effect, SendNotice, SendRefusal, SubmitBatch, SubmitSettlement
from market.events import FundsChanged, ProofChecked, ProofReceived, SettlementFailed
from protocol.messages import Message, ProofMessage, SettlementNotice
from protocol.structs import Notice
from sims.actor import SIGNATURE, Actor, Machine, Surroundings
from sims.tokens import NETWORK, account_of, hash_of, proof_is_valid
from sims.world import Draw

MACHINE: Machine[verifier.State] = Machine("verifier", verifier.transition, verifier.next_deadline)
SECOND = 10**9
CHECK_TIME = 3_000_000
"""One off-chain verification, in nanoseconds."""
BATCH_WAIT = SECOND
"""How long a checked proof waits for others."""
DOWN_AT_LEAST, DOWN_AT_MOST = 5 * SECOND, 60 * SECOND


class VerifierNode(Actor[verifier.State]):
    """One verifier."""

    def __init__(self, index: int, around: Surroundings, least_fee: int) -> None:
        state = verifier.State(
            account=account_of(f"verifier {index}"), least_fee=least_fee, batch_wait=BATCH_WAIT
        )
        super().__init__(index, around, MACHINE, state)
        self._draw = Draw(around.world.seed, f"verifier {index}")

    def start(self, gas_price: int) -> None:
        """Learn the price of gas."""
        self.feed(FundsChanged(self.now, 0, gas_price))

    def receive(self, source: int, message: Message) -> str:
        """Take proofs to settle."""
        if not isinstance(message, ProofMessage):
            return ""
        event = ProofReceived(
            at=self.now,
            order_hash=hash_of(message.order),
            peer=str(source),
            order=message.order,
            award=message.award,
            award_hash=hash_of(message.award),
            signature=message.award_signature,
            outputs=message.outputs,
            proof=message.proof,
            settler=message.settler,
            client_balance=self.around.chain.escrow.balance(message.order.client),
        )
        return next((e.code for e in self.feed(event) if isinstance(e, SendRefusal)), "")

    def perform(self, effect: Effect) -> None:
        """Perform an effect of the verifier's machine."""
        match effect:
            case CheckProof():
                self.outbox[effect.order_hash] = effect
                if self._draw.chance(self.around.faults.verifier_death):
                    self.later(CHECK_TIME, lambda: self.die(self._draw.between(DOWN_AT_LEAST, DOWN_AT_MOST)))
                    return
                self.later(CHECK_TIME, lambda: self._check(effect))
            case SubmitSettlement():
                self._settle(effect)
            case SubmitBatch():
                # A batch skips what is not live: each job is judged alone.
                for settlement in effect.settlements:
                    self._settle(settlement)
            case SendNotice():
                self._notice(effect)
            case SendRefusal():
                self.refuse(effect)

    def _settle(self, effect: SubmitSettlement) -> None:
        of = effect.order_hash
        self.settle(effect, lambda reason: self._told(SettlementFailed(self.now, of, reason)))

    def _told(self, event: SettlementFailed) -> None:
        self.feed(event)

    def _check(self, effect: CheckProof) -> None:
        self.outbox.pop(effect.order_hash, None)
        valid = proof_is_valid(
            effect.order, effect.award.payout, effect.settler, effect.outputs, effect.proof
        )
        self.feed(ProofChecked(self.now, effect.order_hash, valid))

    def _notice(self, effect: SendNotice) -> None:
        notice = Notice(
            order_hash=effect.order_hash,
            award_hash=effect.award_hash,
            transaction_hash=effect.transaction_hash,
            settler=self.account,
            issued_at=self.now // SECOND,
        )
        message = SettlementNotice(network=NETWORK, notice=notice, signature=SIGNATURE)
        self.around.network.request(self.index, int(effect.peer), message)
