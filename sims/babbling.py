# SPDX-License-Identifier: GPL-3.0-or-later
"""Random liars: valid-looking messages at random times, to random nodes, made of what was overheard.

What others signed can only be said again as it is; what is signed by the liar itself can be anything. So some of
these messages pass every signature check and make no sense, and the rest look right and are signed by nobody.
"""

from __future__ import annotations

from typing import Any

from market import refusals
from protocol.messages import (
    AwardMessage,
    BidMessage,
    Message,
    OrderAnnouncement,
    ProofMessage,
    Refusal,
    SealedInput,
    SettlementNotice,
)
from protocol.structs import RefusalTerms
from sims.shell import Shell
from sims.tokens import NETWORK, hash_of, signature_token, statement_hash

SECOND = 10**9
LEAST_PAUSE, MOST_PAUSE = SECOND // 5, 8 * SECOND
LAST_SECOND = 300
"""After healing: when a liar falls silent, so that the world comes to rest."""
CODES = tuple(refusals.MEANINGS)


class Babbler(Shell[Any]):
    """Mixed into a node: it plays its role and babbles beside."""

    def babble(self, until: int) -> None:
        """Say something now and then until an instant."""
        if self.around.world.now > until:
            return
        if self.alive:
            self.guarded(self._say)
        pause = self.draw.between(LEAST_PAUSE, MOST_PAUSE)
        self.around.world.after(pause, lambda: self.babble(until))

    def _say(self) -> None:
        network = self.around.network
        if not network.overheard:
            return
        _, target, heard = network.overheard[self.draw.below(len(network.overheard))]
        if isinstance(heard, OrderAnnouncement):
            network.publish(self.index, self._variant(heard), set())
            return
        if self.draw.chance(100_000):
            target = self.draw.below(network.size)
        network.request(self.index, target, self._variant(heard))

    def _variant(self, message: Message) -> Message:
        """The message as it was, or changed and signed by oneself, or changed and signed by nobody."""
        if self.draw.chance(400_000):
            return message
        match message:
            case BidMessage():
                bid = message.bid.model_copy(update=self._bid_changes(message))
                return message.model_copy(update={"bid": bid, "signature": self._signed(hash_of(bid))})
            case AwardMessage():
                award = message.award.model_copy(update=self._award_changes(message))
                return message.model_copy(update={"award": award, "signature": self._signed(hash_of(award))})
            case ProofMessage():
                changes = ({"settler": self.account}, {"proof": bytes(256)}, {"outputs": (2,)})
                return message.model_copy(update=changes[self.draw.below(3)])
            case OrderAnnouncement():
                order = message.order.model_copy(update={"price_cap": message.order.price_cap * 2})
                return message.model_copy(update={"order": order, "signature": self._signed(hash_of(order))})
            case SealedInput():
                return message.model_copy(update={"ciphertext": bytes(256)})
            case Refusal():
                return self._refusal(message.terms.order_hash, message.terms.prover)
            case SettlementNotice():
                return message.model_copy(update={"signature": self._signed(statement_hash(message.notice))})
        return message

    def _bid_changes(self, message: BidMessage) -> dict[str, Any]:
        bid = message.bid
        return (
            {"prover": self.account, "payout": self.account},
            {"price": bid.price // 3, "prover": self.account},
            {"promise_at": bid.promise_at + 100, "prover": self.account},
            {"price": 1},
            {"locks": not bid.locks, "prover": self.account, "payout": self.account},
        )[self.draw.below(5)]

    def _award_changes(self, message: AwardMessage) -> dict[str, Any]:
        award = message.award
        return (
            {"price": award.price // 2},
            {"payout": self.account},
            {"promise_at": max(0, award.promise_at - 60)},
            {"bid_hash": bytes(32)},
        )[self.draw.below(4)]

    def _refusal(self, order_hash: bytes, prover: bytes) -> Refusal:
        account = self.account if self.draw.chance(500_000) else prover
        terms = RefusalTerms(
            order_hash=order_hash,
            prover=account,
            code=CODES[self.draw.below(len(CODES))],
            quote=self.draw.below(10**12),
            issued_at=self.now // SECOND,
        )
        return Refusal(network=NETWORK, terms=terms, signature=self._signed(statement_hash(terms)))

    def _signed(self, digest: bytes) -> bytes:
        return signature_token(self.account, digest)
