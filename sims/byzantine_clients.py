# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that cheat. Each is the honest node with one thing done otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from market import client
from market.effects import Announce, SendAward
from market.events import AwardAccepted, Event, JobEvent, OrderPlaced
from protocol.messages import SealedInput
from protocol.structs import Award
from sims.babbling import Babbler
from sims.client_node import BAD_INPUT, ClientNode
from sims.tokens import NETWORK, hash_of

SECOND = 10**9


class Withholding(ClientNode):
    """Awards, and never sends the input."""

    honest = False

    def award(self, effect: SendAward, done: Callable[..., None]) -> None:
        """Send the award alone."""
        self.ask(effect.peer, self.award_message(effect.award), lambda code: None)
        done()


class Spoiling(ClientNode):
    """Sends inputs that do not fit their commitments."""

    honest = False

    def sealed_input(self, award: Award) -> SealedInput:
        """Return garbage."""
        return SealedInput(
            network=NETWORK,
            order_hash=award.order_hash,
            award_hash=hash_of(award),
            ciphertext=BAD_INPUT,
        )


class Draining(ClientNode):
    """Takes its deposit out as soon as it may: whoever proved for it without a lock is not paid."""

    honest = False

    def fed(self, event: Event) -> None:
        """Announce a withdrawal when work is promised, take it when it is ready."""
        super().fed(event)
        if isinstance(event, (OrderPlaced, AwardAccepted)):
            self._announce_leaving()

    def _announce_leaving(self) -> None:
        escrow, account = self.around.chain.escrow, self.account
        balance = escrow.balance(account)
        if account in escrow.withdrawals or not balance:
            return
        key = f"leave {self.around.world.now}"
        self.sender.send(key, lambda e, now: e.request_withdraw(now, account, balance), lambda _: None)
        self.later((escrow.cancel_delay + 5) * SECOND, self._leave)

    def _leave(self) -> None:
        key = f"take {self.around.world.now}"
        self.sender.send(key, lambda e, now: e.withdraw(now, self.account), lambda _: None)


class Doubling(ClientNode):
    """Awards one order to everyone who bid."""

    honest = False

    def award(self, effect: SendAward, done: Callable[..., None]) -> None:
        """Award the chosen bid, and every other one too."""
        job = self.state.jobs.get(effect.order_hash)
        for held in job.bids if job is not None else ():
            bid = held.bid
            award = Award(
                order_hash=effect.order_hash,
                bid_hash=held.bid_hash,
                prover=bid.prover,
                payout=bid.payout,
                price=bid.price,
                promise_at=bid.promise_at,
                lock_by=effect.award.lock_by,
            )
            self._send_both(held.peer, award)
        super().award(effect, done)

    def _send_both(self, peer: str, award: Award) -> None:
        def awarded(code: str | None) -> None:
            if code == "":
                self.ask(peer, self.sealed_input(award), lambda _: None)

        self.ask(peer, self.award_message(award), awarded)


class Replaying(ClientNode):
    """Announces orders again that are over."""

    honest = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._again: set[bytes] = set()

    def fed(self, event: Event) -> None:
        """Announce again whatever has ended."""
        super().fed(event)
        job = self.state.jobs.get(event.order_hash) if isinstance(event, JobEvent) else None
        if job is not None and job.phase in client.FINAL and job.order_hash not in self._again:
            self._again.add(job.order_hash)
            now = self.now // SECOND
            again = Announce(job.order_hash, job.order, now, now + 60)
            self.around.network.publish(self.index, self.announcement(again), set())


class Mute(ClientNode):
    """Asks for bids and never awards one."""

    honest = False

    def award(self, effect: SendAward, done: Callable[..., None]) -> None:
        """Say nothing."""
        done()


class RandomClient(Babbler, ClientNode):
    """Says at random times what somebody might have said."""

    honest = False
