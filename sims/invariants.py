# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold after every event, and at the end. Written against the chain's log, not by its code.

| invariant | kind |
| --- | --- |
| SIM-1: balances and locks hold exactly what was deposited; no balance is negative | safety |
| SIM-2: an order is paid at most once, and never after a refund | safety |
| SIM-3: a payment has a valid proof token that names its payout and settler | safety |
| SIM-4: a payment keeps within the order's cap, the client's signature and the deadlines | safety |
| SIM-5: no honest prover is slashed that was up from its lock to its deadline | safety |
| SIM-6: every order ends, and a lock ends soon after the order's last second | liveness |
| SIM-7: a fair order that is placed after healing is settled; refunded if a liar locked it | liveness |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from market import client
from sims.actor import Actor
from sims.blocks import Chain
from sims.chain import SECOND, Paid
from sims.client_node import ClientNode
from sims.errors import LivenessViolationError, SafetyViolationError
from sims.tokens import hash_of, proof_is_valid, signature_token

REFUND_SLACK = 120 * SECOND
"""After an order's last second: how long its refund may take, in nanoseconds."""


class Invariants:
    """Watches one chain. Cheap when nothing changed."""

    def __init__(self, chain: Chain, actors: Mapping[bytes, Actor[object]]) -> None:
        self._chain = chain
        self._actors = actors
        self._version = -1
        self._payments = 0
        self._slashes = 0
        self._paid: set[bytes] = set()

    def check(self) -> None:
        """Raise SafetyViolationError if something that must hold does not."""
        escrow = self._chain.escrow
        if escrow.version == self._version:
            return
        self._version = escrow.version
        if escrow.held() != escrow.deposited:
            raise SafetyViolationError(f"SIM-1: {escrow.deposited} wei came in, {escrow.held()} are there.")
        if any(balance < 0 for balance in escrow.balances.values()):
            raise SafetyViolationError("SIM-1: a balance is negative.")
        for paid in escrow.payments[self._payments :]:
            self._payment(paid)
        for slash in self._chain.slashes[self._slashes :]:
            prover = self._actors.get(slash.prover)
            if prover is not None and prover.honest and not prover.was_down(slash.locked_at):
                raise SafetyViolationError(
                    f"SIM-5: prover {prover.index} lost collateral, order {slash.order_hash.hex()[:12]}."
                )
        self._payments, self._slashes = len(escrow.payments), len(self._chain.slashes)

    def _payment(self, paid: Paid) -> None:
        s, name = paid.settlement, paid.order_hash.hex()[:12]
        if paid.order_hash in self._paid or self._chain.escrow.finished.get(paid.order_hash) != "settled":
            raise SafetyViolationError(f"SIM-2: order {name} is paid twice.")
        self._paid.add(paid.order_hash)
        if not proof_is_valid(s.order, s.award.payout, s.settler, s.outputs, s.proof):
            raise SafetyViolationError(f"SIM-3: order {name} is paid without a proof.")
        signed = s.signature == signature_token(s.order.client, hash_of(s.award))
        kept = s.award.price <= s.order.price_cap and paid.at <= s.order.final_by
        if not (signed and kept and s.award.order_hash == hash_of(s.order)):
            raise SafetyViolationError(f"SIM-4: order {name} is paid against its terms.")


def check_end(chain: Chain, clients: Sequence[ClientNode], liars: Set[bytes]) -> None:
    """Raise LivenessViolationError if an order did not end as it must. Nothing is planned any more."""
    if chain.escrow.locks:
        order_hash = next(iter(chain.escrow.locks))
        raise LivenessViolationError(f"SIM-6: order {order_hash.hex()[:12]} is locked for ever.")
    for node in clients:
        for order_hash, placed in node.placed.items():
            order, name = placed.plan.order, order_hash.hex()[:12]
            if placed.outcome is None:
                raise LivenessViolationError(f"SIM-6: order {name} never ended.")
            if placed.ended_at > order.final_by * SECOND + REFUND_SLACK:
                raise LivenessViolationError(f"SIM-6: order {name} ended too late.")
            if placed.plan.must_settle and not _served(chain, liars, node, order_hash):
                raise LivenessViolationError(f"SIM-7: fair order {name} ended {placed.outcome}.")
            finished = chain.escrow.finished.get(order_hash, "")
            if (finished == "settled") != (placed.outcome is client.Phase.SETTLED):
                raise LivenessViolationError(f"SIM-6: client and chain disagree on order {name}.")


def _served(chain: Chain, liars: Set[bytes], node: ClientNode, order_hash: bytes) -> bool:
    """A liar's lock may hold too low a price for honest provers: then the refund is what the client gets."""
    outcome = node.placed[order_hash].outcome
    honest = chain.locked_by.get(order_hash) not in liars
    return outcome is client.Phase.SETTLED or (outcome is client.Phase.REFUNDED and not honest)
