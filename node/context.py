# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role can reach of its node: identity, network, chain, disk, workers."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

import structlog

from market.effects import SendRefusal
from node.bundle_store import BundleStore
from node.chain.clock import ChainClock
from node.chain_view import ChainView
from node.endpoint import MarketEndpoint
from node.executor import Executor
from node.external_programs import ExternalPrograms
from node.ledger import Ledger
from node.net import Transport
from node.receipt_store import ReceiptStore
from node.settlement import Transactions
from node.storage import Storage
from node.vault import Vault
from protocol.errors import ProofmeshError
from protocol.messages import Refusal
from protocol.signing import Account
from protocol.structs import Network, RefusalTerms

log = structlog.get_logger("proofmesh.node")


@dataclass(frozen=True, slots=True)
class NodeContext:
    """The parts that all roles of a node share."""

    network: Network
    account: Account
    transport: Transport
    endpoint: MarketEndpoint
    chain: ChainView
    transactions: Transactions
    receipts: ReceiptStore
    bundles: BundleStore
    vault: Vault
    workers: Executor
    storage: Storage
    external: ExternalPrograms

    @property
    def clock(self) -> ChainClock:
        """Chain time."""
        return self.chain.clock

    @property
    def ledger(self) -> Ledger:
        """What every account has in the Escrow."""
        return self.chain.ledger

    @property
    def orders_topic(self) -> str:
        """The gossip topic of this network's orders."""
        return f"proofmesh/1/orders/{self.network.chain_id}/{self.network.escrow.hex()}"

    async def send_refusal(self, effect: SendRefusal) -> None:
        """Sign a refusal and send it; a peer over its rate, or that cannot be reached, misses it."""
        if not self.endpoint.may_refuse(effect.peer):
            log.debug("refusal not sent: too many", order=effect.order_hash.hex()[:12])
            return
        terms = RefusalTerms(
            order_hash=effect.order_hash,
            prover=self.account.address,
            code=effect.code,
            quote=effect.quote,
            issued_at=self.clock.now() // 10**9,
        )
        signature = self.account.sign(self.network, terms)
        message = Refusal(network=self.network, terms=terms, signature=signature)
        try:
            await self.endpoint.send(effect.peer, message)
        except ProofmeshError as error:
            log.debug("refusal not delivered", order=effect.order_hash.hex()[:12], code=error.code)

    @staticmethod
    def input_name(order_hash: bytes) -> str:
        """The name of an opened input in the vault."""
        return f"input-{order_hash.hex()}"

    def erase_orphans(self, orders: Collection[bytes]) -> None:
        """Erase what belongs to none of these orders: a process may die between keeping a secret and its order."""
        for name in self.vault.names():
            owner = re.fullmatch(r"(?:input|seal)-([0-9a-f]{64})(?:-.*)?", name)
            if owner is not None and bytes.fromhex(owner.group(1)) not in orders:
                log.info("secret without an order erased", order=owner.group(1)[:12])
                self.vault.erase(name)

    def erase_secrets(self, order_hash: bytes) -> None:
        """Erase everything in the vault that belongs to an order."""
        for name in self.vault.names():
            if order_hash.hex() in name:
                self.vault.erase(name)
