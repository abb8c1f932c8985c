# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's hands: announce, award and seal, refund, keep receipts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import structlog
import trio

from market import client, refusals
from market.effects import (
    Announce,
    Effect,
    EraseSecrets,
    KeepReceipt,
    SendAward,
    SendRefusal,
    SubmitCancel,
    SubmitExpire,
)
from market.events import AwardAccepted, BidReceived, Event, RefusalReceived
from node.context import NodeContext
from node.endpoint import RefusedError
from node.role_shell import RoleShell
from protocol import codec
from protocol.eip712 import addresses_hash, digest
from protocol.errors import ProofmeshError, SignatureError
from protocol.messages import AwardMessage, BidMessage, OrderAnnouncement, Refusal, SealedInput
from protocol.sealing import seal
from protocol.signing import require_signed_by
from protocol.structs import Announcement

REPEAT_SECONDS = 2.0
"""How often an announcement is published again for peers that joined late."""

log = structlog.get_logger("proofmesh.client")


class ClientRole:
    """Feeds the client's machine from the network, and performs its effects."""

    def __init__(
        self,
        context: NodeContext,
        shell: RoleShell[client.State],
        account_of: Callable[[str], Awaitable[bytes | None]],
    ) -> None:
        """`account_of` returns the account that signed for a peer in its introduction."""
        self._node = context
        self._account_of = account_of
        self.shell = shell
        context.endpoint.on(BidMessage, self._bid)
        context.endpoint.on(Refusal, self._refusal)

    # --- from peers ----------------------------------------------------------------------

    async def _bid(self, peer: str, message: BidMessage) -> None:
        """Take a bid from its prover alone: award and input go where it came from."""
        require_signed_by(message.bid.prover, self._node.network, message.bid, message.signature)
        if await self._account_of(peer) != message.bid.prover:
            raise RefusedError(refusals.NOT_INTRODUCED)
        self.shell.feed(
            BidReceived(
                self._node.clock.now(),
                message.bid.order_hash,
                _contact(peer, message.addresses),
                message.bid,
                digest(self._node.network, message.bid),
                self._node.ledger.slashes(message.bid.prover),
            )
        )

    async def _refusal(self, peer: str, message: Refusal) -> None:
        terms = message.terms
        if terms.order_hash not in self.shell.state.jobs:
            return
        if message.signature is None:
            raise SignatureError("A refusal outside an answer must be signed.")
        require_signed_by(terms.prover, self._node.network, terms, message.signature)
        if terms.prover != self._node.account.address:
            now = self._node.clock.now()
            self.shell.feed(RefusalReceived(now, terms.order_hash, terms.prover, terms.code, terms.quote))

    # --- effects -------------------------------------------------------------------------

    async def perform(self, effect: Effect) -> Sequence[Event]:
        """Perform one effect of the client's machine."""
        match effect:
            case Announce():
                await self._announce(effect)
            case SendAward():
                return [await self._award(effect)]
            case SendRefusal():
                await self._node.send_refusal(effect)
            case SubmitExpire():
                await self._node.transactions.expire(effect)
            case SubmitCancel():
                await self._node.transactions.request_cancel(effect)
            case KeepReceipt():
                await self._node.receipts.keep(effect)
            case EraseSecrets():
                self._node.erase_secrets(effect.order_hash)
        return []

    async def _announce(self, effect: Announce) -> None:
        addresses = self._node.transport.addresses[:8]
        announcement = Announcement(
            order_hash=effect.order_hash,
            addresses_hash=addresses_hash(addresses),
            issued_at=effect.issued_at,
            expires_at=effect.expires_at,
        )
        message = OrderAnnouncement(
            network=self._node.network,
            order=effect.order,
            addresses=addresses,
            issued_at=effect.issued_at,
            expires_at=effect.expires_at,
            signature=self._node.account.sign(self._node.network, announcement),
        )
        data = codec.encode(message)
        while self._collecting(effect):
            neighbours = await self._node.transport.publish(self._node.orders_topic, data)
            log.debug("order announced", order=effect.order_hash.hex()[:12], neighbours=neighbours)
            await trio.sleep(REPEAT_SECONDS if neighbours else 0.2)

    def _collecting(self, effect: Announce) -> bool:
        job = self.shell.state.jobs.get(effect.order_hash)
        return (
            job is not None
            and job.phase is client.Phase.COLLECTING
            and self._node.clock.now() < effect.expires_at * 10**9
        )

    async def _award(self, effect: SendAward) -> Event:
        network, award = self._node.network, effect.award
        award_hash = digest(network, award)
        try:
            plaintext = self._node.vault.get(self._node.input_name(effect.order_hash))
            ciphertext = seal(effect.sealing_key, plaintext, network, effect.order_hash, award_hash)
            signature = self._node.account.sign(network, award)
            await self._node.endpoint.send(
                effect.peer, AwardMessage(network=network, award=award, signature=signature)
            )
            sealed = SealedInput(
                network=network, order_hash=effect.order_hash, award_hash=award_hash, ciphertext=ciphertext
            )
            await self._node.endpoint.send(effect.peer, sealed)
        except ProofmeshError as error:
            code = error.refusal_code if isinstance(error, RefusedError) else refusals.UNREACHABLE
            log.info("award not taken", order=effect.order_hash.hex()[:12], code=error.code)
            return RefusalReceived(self._node.clock.now(), effect.order_hash, award.prover, code, 0)
        return AwardAccepted(self._node.clock.now(), effect.order_hash, award.prover)


def _contact(peer: str, addresses: tuple[str, ...]) -> str:
    """Return an address of the peer that spoke, or its id; never somebody else's address."""
    return next((address for address in addresses if address.endswith(f"/p2p/{peer}")), peer)
