# SPDX-License-Identifier: GPL-3.0-or-later
"""Peers from the chain's directory: a node's view of the market does not hang on whom it met first.

Anybody may announce, for gas. So what an account has in the Escrow ranks it, and some of the others are taken
at random; either way an entry is worth a dial and no more: Noise proves the peer id, hello the account.
"""

from __future__ import annotations

import random

import structlog
import trio

from contracts.directory import addresses_in, announcement
from contracts.events import Announced
from node.chain_view import ChainView
from node.net import Transport
from node.net.host import parse_address
from node.net.peerbook import Origin
from node.net.subnets import host_in
from protocol.errors import AddressError, ChainError
from protocol.hashing import keccak256

LOOK_SECONDS = 30.0
REORG_BLOCKS = 128
"""Blocks that are read again at each look."""
MOST_ACCOUNTS = 4_096
RANKED = 64
"""Accounts with the most in the Escrow that are dialled."""
AT_RANDOM = 32
"""Other accounts that are."""

log = structlog.get_logger("proofmesh.directory")


class ChainDirectory:
    """Reads the directory into the peer book, and keeps this node's own entry true."""

    def __init__(self, chain: ChainView, transport: Transport, *, announces: bool) -> None:
        self._chain = chain
        self._transport = transport
        self._announces = announces
        self._from = 0
        self._last: dict[bytes, tuple[bytes, bytes]] = {}  # account: (addresses, transaction)

    async def run(self) -> None:
        """Look, and say what is new, until cancelled."""
        while True:
            try:
                await self.look()
                if self._announces:
                    await self._announce()
            except ChainError as error:
                log.info("directory not read", code=error.code)
            await trio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Take up what was announced since the last look.

        Raises:
            ChainError: the chain cannot be asked.
        """
        head = await self._chain.client.header("latest")
        for entry, event in await self._chain.announced(self._from):
            self._note(event, entry.transaction_hash)
        self._from = max(0, (head.number if head is not None else 0) - REORG_BLOCKS)
        for account in self._chosen():
            self._learn(account)

    def _note(self, event: Announced, transaction: bytes) -> None:
        if event.account not in self._last and len(self._last) >= MOST_ACCOUNTS:
            balance = self._chain.ledger.balance
            poorest = min(self._last, key=balance)
            if balance(poorest) >= balance(event.account):
                return
            del self._last[poorest]
        self._last[event.account] = (event.addresses, transaction)

    def _chosen(self) -> list[bytes]:
        own = self._chain.account_address
        others = [account for account, (said, _) in self._last.items() if said and account != own]
        others.sort(key=self._chain.ledger.balance, reverse=True)
        rest = others[RANKED:]
        return others[:RANKED] + random.sample(rest, min(AT_RANDOM, len(rest)))

    def _learn(self, account: bytes) -> None:
        for address in addresses_in(self._last[account][0])[:1]:
            try:
                peer = str(parse_address(address).peer_id)
            except AddressError:
                continue
            if host_in(address) and peer != self._transport.peer_id:
                self._transport.book.learn(peer, address, Origin.CHAIN)

    async def _announce(self) -> None:
        addresses = [address for address in self._transport.lasting_addresses if host_in(address)]
        said, transaction = self._last.get(self._chain.account_address, (b"", bytes(32)))
        wanted = announcement(addresses)  # as far as it fits, or what does not would be missed, and paid for, each time
        if not wanted or said == wanted:
            return
        # The key names the word that this one replaces, so that a node which dies in between sends it once.
        key = "directory-" + keccak256(transaction + wanted).hex()
        await self._chain.announce(addresses, key)
        log.info("announced in the chain's directory", addresses=addresses)
