# SPDX-License-Identifier: GPL-3.0-or-later
"""The verifier's hands: check off-chain, settle, tell the prover."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from market import refusals, verifier
from market.effects import CheckProof, Effect, SendNotice, SendRefusal, SubmitBatch, SubmitSettlement
from market.events import Event, ProofChecked, ProofReceived
from node.context import NodeContext
from node.endpoint import RefusedError
from node.role_shell import RoleShell
from protocol.binding import market_binding
from protocol.eip712 import digest
from protocol.errors import ProofmeshError
from protocol.messages import ProofMessage, SettlementNotice
from protocol.signing import require_signed_by
from protocol.structs import Notice
from proving.prover import verify

INVALID_PROOF_WEIGHT = 20.0
"""Score that a peer loses for a proof that does not verify."""

log = structlog.get_logger("proofmesh.verifier")


class VerifierRole:
    """Feeds the verifier's machine from the network, and performs its effects."""

    def __init__(self, context: NodeContext, shell: RoleShell[verifier.State]) -> None:
        self._node = context
        self.shell = shell
        context.endpoint.on(ProofMessage, self._proof)

    async def _proof(self, peer: str, message: ProofMessage) -> None:
        if self._node.storage.halted:
            raise RefusedError(refusals.DISK_FULL)
        require_signed_by(message.order.client, self._node.network, message.award, message.award_signature)
        order_hash = digest(self._node.network, message.order)
        if message.award.order_hash != order_hash:
            raise RefusedError(refusals.AWARD_MISMATCH)
        if self._node.ledger.is_done(order_hash):
            raise RefusedError(refusals.ALREADY_SETTLED)
        effects = self.shell.feed(
            ProofReceived(
                at=self._node.clock.now(),
                order_hash=order_hash,
                peer=peer,
                order=message.order,
                award=message.award,
                award_hash=digest(self._node.network, message.award),
                signature=message.award_signature,
                outputs=message.outputs,
                proof=message.proof,
                settler=message.settler,
                client_balance=self._node.ledger.balance(message.order.client),
            )
        )
        for effect in effects:
            if isinstance(effect, SendRefusal):
                raise RefusedError(effect.code)

    async def perform(self, effect: Effect) -> Sequence[Event]:
        """Perform one effect of the verifier's machine."""
        match effect:
            case CheckProof():
                return [await self._check(effect)]
            case SubmitSettlement():
                return await self._node.transactions.settle(effect)
            case SubmitBatch():
                return await self._node.transactions.settle_batch(effect)
            case SendNotice():
                await self._notice(effect)
            case SendRefusal():
                await self._node.send_refusal(effect)
        return []

    async def _check(self, effect: CheckProof) -> Event:
        binding = market_binding(effect.order_hash, effect.award.payout, effect.settler)
        inputs = (effect.order.input_commitment, *effect.outputs, binding)
        try:
            vk = await self._node.chain.verifying_key(effect.order.program_id)
            valid = verify(vk, effect.proof, inputs)
        except ProofmeshError as error:
            log.info("proof not checkable", order=effect.order_hash.hex()[:12], code=error.code)
            valid = False
        if not valid:
            job = self.shell.state.jobs.get(effect.order_hash)
            if job is not None:
                self._node.transport.penalise(job.request.peer, "invalid proof", INVALID_PROOF_WEIGHT)
        return ProofChecked(self._node.clock.now(), effect.order_hash, valid)

    async def _notice(self, effect: SendNotice) -> None:
        notice = Notice(
            order_hash=effect.order_hash,
            award_hash=effect.award_hash,
            transaction_hash=effect.transaction_hash,
            settler=self._node.account.address,
            issued_at=self._node.clock.now() // 10**9,
        )
        signature = self._node.account.sign(self._node.network, notice)
        try:
            await self._node.endpoint.send(
                effect.peer, SettlementNotice(network=self._node.network, notice=notice, signature=signature)
            )
        except ProofmeshError as error:
            log.info("notice not delivered", order=effect.order_hash.hex()[:12], code=error.code)
