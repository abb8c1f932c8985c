# SPDX-License-Identifier: GPL-3.0-or-later
"""Verifiers that cheat. Each is the honest node with one thing done otherwise; all say that they charge nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from market import refusals
from market.effects import CheckProof, Effect, SendNotice, SendRefusal, SubmitBatch, SubmitSettlement
from market.events import ProofChecked, SettlementFailed
from protocol.messages import Message, ProofMessage
from sims.babbling import Babbler
from sims.blocks import Call
from sims.chain import Escrow, Settlement
from sims.sender import settlement_of
from sims.tokens import INVALID_PROOF, account_of
from sims.verifier_node import VerifierNode

SECOND = 10**9


class _Free(VerifierNode):
    """Says that it settles for nothing, so that every proof comes to it."""

    honest = False

    def least_fee(self) -> int:
        """Charge nothing."""
        return 0


class Swallowing(_Free):
    """Takes proofs and settles none."""

    def take(self, source: int, message: Message) -> str:
        """Acknowledge everything."""
        return ""


class Late(_Free):
    """Settles when the promise is over."""

    def perform(self, effect: Effect, done: Callable[..., None], failed: Callable[[], None]) -> None:
        """Hold settlements back."""
        if isinstance(effect, (SubmitSettlement, SubmitBatch)):
            first = effect.settlements[0] if isinstance(effect, SubmitBatch) else effect
            over = (first.award.promise_at + 1) * SECOND - self.now
            self.later(max(0, over), lambda: super(Late, self).perform(effect, done, failed))
            return
        super().perform(effect, done, failed)


class Spoiling(_Free):
    """Puts a bad proof into each batch, so that all of it reverts."""

    def perform(self, effect: Effect, done: Callable[..., None], failed: Callable[[], None]) -> None:
        """Send good and bad together."""
        if not isinstance(effect, (SubmitSettlement, SubmitBatch)):
            super().perform(effect, done, failed)
            return
        every = effect.settlements if isinstance(effect, SubmitBatch) else (effect,)
        good = [settlement_of(each) for each in every]
        batch = [*(replace(each, proof=INVALID_PROOF) for each in good), *good]

        def call(escrow: Escrow, now: int) -> None:
            escrow.settle_batch(now, self.account, batch)

        chain = self.around.chain
        chain.broadcast(chain.sign(self.account, self.index, "spoilt batch", call, chain.gas_price * 2))
        done()


class Slandering(_Free):
    """Says of good proofs that they are bad, and of settlements that they failed."""

    def perform(self, effect: Effect, done: Callable[..., None], failed: Callable[[], None]) -> None:
        """Find fault with everything."""
        if isinstance(effect, CheckProof):
            done(ProofChecked(self.now, effect.order_hash, False))
        elif isinstance(effect, SubmitSettlement):
            done(SettlementFailed(self.now, effect.order_hash, refusals.SETTLEMENT_FAILED))
        else:
            super().perform(effect, done, failed)


class Boasting(_Free):
    """Says at once that it settled, and does not; refuses what it took before."""

    def take(self, source: int, message: Message) -> str:
        """Take a proof, then send a notice of no transaction and a refusal."""
        if isinstance(message, ProofMessage):
            of, peer = message.award.order_hash, str(source)
            self._notice(SendNotice(of, peer, of, bytes(32)))
            self.refuse(SendRefusal(of, peer, refusals.PROOF_INVALID, 0), lambda: None)
        return ""


class Thieving(_Free):
    """Settles what it is given with itself as payout, then with the true one but without its own name."""

    def perform(self, effect: Effect, done: Callable[..., None], failed: Callable[[], None]) -> None:
        """Try to be paid for others' proofs."""
        if not isinstance(effect, SubmitSettlement):
            super().perform(effect, done, failed)
            return
        chain = self.around.chain
        stolen = effect.award.model_copy(update={"payout": self.account})
        sender = account_of(f"sock puppet {self.index}")
        for award, by in ((stolen, self.account), (effect.award, sender)):
            call = _settling(replace(settlement_of(effect), award=award), by)
            chain.broadcast(chain.sign(by, self.index, "theft", call, chain.gas_price * 4))
        done()


def _settling(settlement: Settlement, sender: bytes) -> Call:
    return lambda escrow, now: escrow.settle(now, sender, settlement)


class RandomVerifier(Babbler, VerifierNode):
    """Says at random times what somebody might have said."""

    honest = False
