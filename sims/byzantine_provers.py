# SPDX-License-Identifier: GPL-3.0-or-later
"""Provers that cheat. Each is the honest node with one thing done otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from market.effects import Effect, SendBid, SendProof, StartProof, SubmitRelease, SubmitSettlement
from market.events import ProofReady
from protocol.messages import AwardMessage, Message, ProofMessage
from sims.babbling import Babbler
from sims.blocks import Transaction
from sims.chain import Escrow, Settlement
from sims.prover_node import OUTPUTS, ProverNode
from sims.tokens import INVALID_PROOF, hash_of, signature_token

SECOND = 10**9
CHEAP = 10
"""What a liar bids, as a divisor of the honest price: it wins every auction by price."""


class _Cheap(ProverNode):
    """Bids what nobody can prove for."""

    honest = False

    def perform(self, effect: Effect, done: Callable[..., None], failed: Callable[[], None]) -> None:
        """Undercut the own machine's bid: the machine will not know the award, and that does not matter."""
        if isinstance(effect, SendBid):
            bid = effect.bid.model_copy(update={"price": effect.bid.price // CHEAP})
            self.ask(effect.peer, self.bid_message(bid), lambda code: None)
            done()
            return
        super().perform(effect, done, failed)


class Vanishing(_Cheap):
    """Bids and vanishes: takes every award and does nothing."""

    def take(self, source: int, message: Message) -> str:
        """Acknowledge everything."""
        return ""


class Refusing(_Cheap):
    """Bids and refuses every award: costs each auction a round."""


class Stalling(ProverNode):
    """Wins, takes the input, locks, and never proves."""

    honest = False

    def prove(self, effect: StartProof, done: Callable[..., None]) -> None:
        """Keep the effect for ever."""

    def perform(self, effect: Effect, done: Callable[..., None], failed: Callable[[], None]) -> None:
        """Give no lock up, either."""
        if isinstance(effect, SubmitRelease):
            done()
            return
        super().perform(effect, done, failed)


class Releasing(ProverNode):
    """Wins, takes the input, locks, and gives the lock up at once: the order seems secured, and is not."""

    honest = False

    def prove(self, effect: StartProof, done: Callable[..., None]) -> None:
        """Give up what the machine has just locked."""
        job = self.state.jobs.get(effect.order_hash)
        if job is not None and job.award is not None:
            release = SubmitRelease(effect.order_hash, effect.order, job.award)
            self.sender.release(release, lambda reason: None)


class Wrong(ProverNode):
    """Sends proofs that do not verify."""

    honest = False

    def proof(self, effect: StartProof) -> bytes:
        """Return nonsense of the right size."""
        return INVALID_PROOF


class Late(ProverNode):
    """Proves in time and sends only when its promise is over."""

    honest = False

    def send_proof(self, effect: SendProof, done: Callable[..., None]) -> None:
        """Wait until the promise is over, then settle by itself."""
        over = (effect.award.promise_at + 2) * SECOND - self.now
        self.later(max(0, over), lambda: super(Late, self).send_proof(effect, done))

    def perform(self, effect: Effect, done: Callable[..., None], failed: Callable[[], None]) -> None:
        """Hold back the own settlement as well."""
        if isinstance(effect, SubmitSettlement) and self.now <= effect.award.promise_at * SECOND:
            over = (effect.award.promise_at + 2) * SECOND - self.now
            self.later(over, lambda: super(Late, self).perform(effect, done, failed))
            return
        super().perform(effect, done, failed)


class Copying(ProverNode):
    """Proves nothing: copies proofs that it hears of or sees in the mempool, under its own award or name."""

    honest = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.around.chain.watchers.append(self._copy_transaction)
        self.around.network.taps.append(self._copy_message)
        self._seen: dict[bytes, bytes] = {}

    def proof(self, effect: StartProof) -> bytes:
        """Return a proof of the same order that somebody else made."""
        return self._seen.get(effect.order_hash, INVALID_PROOF)

    def _copy_message(self, source: int, target: int, message: Message) -> None:
        if isinstance(message, ProofMessage):
            self._seen[message.award.order_hash] = message.proof

    def _copy_transaction(self, transaction: Transaction) -> None:
        """Send the same settlement first, with oneself as payout and as sender."""
        settlement, finished = transaction.settlement, self.around.chain.escrow.finished
        mine = transaction.node == self.index
        if mine or settlement is None or not self.alive or settlement.award.order_hash in finished:
            return
        stolen = settlement.award.model_copy(update={"prover": self.account, "payout": self.state.payout})
        self._send(settlement)
        self._send(replace(settlement, award=stolen))
        self._send(replace(settlement, award=stolen, signature=signature_token(self.account, hash_of(stolen))))

    def _send(self, copy: Settlement) -> None:
        chain = self.around.chain

        def call(escrow: Escrow, now: int) -> None:
            escrow.settle(now, self.account, copy)

        chain.broadcast(chain.sign(self.account, self.index, "copy", call, chain.gas_price * 4))


class Doubting(ProverNode):
    """Says that it takes an award and forgets it at once; bids honestly."""

    honest = False

    def take(self, source: int, message: Message) -> str:
        """Acknowledge awards without a thought."""
        if isinstance(message, AwardMessage):
            return ""
        return super().take(source, message)


class Flattering(ProverNode):
    """Tells its own machine that every proof is ready at once, and sends empty outputs."""

    honest = False

    def prove(self, effect: StartProof, done: Callable[..., None]) -> None:
        """Claim a proof of no time."""
        done(ProofReady(self.now, effect.order_hash, OUTPUTS, INVALID_PROOF, 0))


class RandomProver(Babbler, ProverNode):
    """Says at random times what somebody might have said."""

    honest = False
