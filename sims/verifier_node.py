# SPDX-License-Identifier: GPL-3.0-or-later
"""A simulated verifier: checks proof tokens, settles alone or in batches, tells the prover."""

from __future__ import annotations

from collections.abc import Callable

from market import refusals, verifier
from market.effects import CheckProof, Effect, SendNotice, SendRefusal, SubmitBatch, SubmitSettlement
from market.events import FundsChanged, ProofChecked, ProofReceived, SettlementFailed
from protocol.messages import Message, ProofMessage, SettlementNotice
from protocol.structs import Notice
from sims.chain import Escrow, Settlement
from sims.scenario import VerifierSpec
from sims.sender import Sender, settlement_of
from sims.shell import Machine, Shell, Surroundings, refusal_in
from sims.tokens import NETWORK, account_of, hash_of, proof_is_valid, signature_token, statement_hash

MACHINE: Machine[verifier.State] = Machine("verifier", verifier.transition, verifier.next_deadline)
SECOND = 10**9
CHECK_TIME = 3_000_000
"""One off-chain verification, in nanoseconds."""
BATCH_WAIT = SECOND
"""How long a checked proof waits for others."""
DOWN_AT_LEAST, DOWN_AT_MOST = 5 * SECOND, 60 * SECOND


class VerifierNode(Shell[verifier.State]):
    """One verifier."""

    def __init__(self, index: int, around: Surroundings, spec: VerifierSpec) -> None:
        name = f"verifier {index}"
        state = verifier.State(account=account_of(name), least_fee=spec.least_fee, batch_wait=BATCH_WAIT, batch_size=16)
        super().__init__(index, name, around, MACHINE, state, spec.clock)
        self.sender = Sender(self)

    def funds(self, gas_price: int) -> None:
        """Learn the price of gas."""
        if self.alive:
            self.guarded(lambda: self._funds(gas_price))

    def _funds(self, gas_price: int) -> None:
        if self.state.gas_price != gas_price:
            self.feed(FundsChanged(self.now, 0, gas_price))

    def restarted(self) -> None:
        """Ask for the price of gas anew."""
        self._funds(self.around.chain.gas_price)

    def least_fee(self) -> int:
        """Return what it says that it settles for."""
        return verifier.least_acceptable_fee(self.state)

    def take(self, source: int, message: Message) -> str:
        """Take proofs to settle."""
        if not isinstance(message, ProofMessage):
            return ""
        award, award_hash, order_hash = message.award, hash_of(message.award), hash_of(message.order)
        if message.award_signature != signature_token(message.order.client, award_hash):
            return refusals.UNEXPECTED
        if award.order_hash != order_hash:
            return refusals.AWARD_MISMATCH
        if order_hash in self.around.chain.escrow.finished:
            return refusals.ALREADY_SETTLED
        event = ProofReceived(
            at=self.now,
            order_hash=order_hash,
            peer=str(source),
            order=message.order,
            award=award,
            award_hash=award_hash,
            signature=message.award_signature,
            outputs=message.outputs,
            proof=message.proof,
            settler=message.settler,
            client_balance=self.around.chain.escrow.dependable(message.order.client),
        )
        return refusal_in(self.feed(event))

    # --- effects -------------------------------------------------------------------------

    def perform(self, effect: Effect, done: Callable[..., None], failed: Callable[[], None]) -> None:
        """Perform an effect of the verifier's machine."""
        match effect:
            case CheckProof():
                self.later(CHECK_TIME, lambda: self._check(effect, done))
            case SubmitSettlement():
                self.sender.settle(effect, self._settled(effect.order_hash, done, failed))
            case SubmitBatch():
                self._batch(effect, done, failed)
            case SendNotice():
                self._notice(effect)
                done()
            case SendRefusal():
                self.refuse(effect, done)
            case _:
                done()

    def _settled(
        self, order_hash: bytes, done: Callable[..., None], failed: Callable[[], None]
    ) -> Callable[[str | None], None]:
        def told(reason: str | None) -> None:
            if reason is None:
                failed()
            elif reason:
                done(SettlementFailed(self.now, order_hash, refusals.SETTLEMENT_FAILED))
            else:
                done()

        return told

    def _batch(self, effect: SubmitBatch, done: Callable[..., None], failed: Callable[[], None]) -> None:
        """Leave out what would not be settled now, as the daemon does by halving; tell of each that is refused."""
        if self.rpc_out:
            failed()
            return
        passing = self.passing([settlement_of(each) for each in effect.settlements])
        refused = [each.order_hash for each in effect.settlements if settlement_of(each) not in passing]
        if not passing:
            done(*self._refusals(refused))
            return

        def told(reason: str | None) -> None:
            if reason is None:
                failed()
                return
            rest = [s.award.order_hash for s in passing]
            done(*self._refusals([*refused, *rest]))

        self.sender.settle_batch(effect, passing, told)

    def passing(self, settlements: list[Settlement]) -> list[Settlement]:
        """Return those that the chain would take now."""
        chain, account = self.around.chain, self.account

        def call(settlement: Settlement) -> Callable[[Escrow, int], object]:
            return lambda escrow, now: escrow.settle(now, account, settlement)

        return [s for s in settlements if not chain.refusal(call(s))]

    def _refusals(self, orders: list[bytes]) -> list[SettlementFailed]:
        """Those that are settled need no word: their block is the news."""
        finished = self.around.chain.escrow.finished
        return [
            SettlementFailed(self.now, order_hash, refusals.SETTLEMENT_FAILED)
            for order_hash in orders
            if finished.get(order_hash) != "settled"
        ]

    def _check(self, effect: CheckProof, done: Callable[..., None]) -> None:
        if self.draw.chance(self.around.rates.verifier_death):
            self.around.world.fault("death while checking")
            self.die(self.draw.between(DOWN_AT_LEAST, DOWN_AT_MOST))
            return
        valid = proof_is_valid(effect.order, effect.award.payout, effect.settler, effect.outputs, effect.proof)
        done(ProofChecked(self.now, effect.order_hash, valid))

    def _notice(self, effect: SendNotice) -> None:
        notice = Notice(
            order_hash=effect.order_hash,
            award_hash=effect.award_hash,
            transaction_hash=effect.transaction_hash,
            settler=self.account,
            issued_at=self.now // SECOND,
        )
        signature = signature_token(self.account, statement_hash(notice))
        message = SettlementNotice(network=NETWORK, notice=notice, signature=signature)
        self.ask(effect.peer, message, lambda code: None)
