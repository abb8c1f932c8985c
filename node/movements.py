# SPDX-License-Identifier: GPL-3.0-or-later
"""What moved deposits: the Escrow's events of all kinds, in the chain's order, with the changes that each one means."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.events import EscrowEvent, all_changes, decode_event
from node.chain.records import hex_of
from node.chain_view import ChainView


@dataclass(frozen=True)
class Movement:
    """One event; `changes` are (token, account, change in its units) of balances in the Escrow, zero is ETH."""

    block: int
    transaction_hash: bytes
    event: str
    order_hash: bytes | None
    changes: tuple[tuple[bytes, bytes, int], ...]


async def movements(chain: ChainView, account: bytes | None = None) -> list[Movement]:
    """Return every event of the Escrow since its deployment; with `account`, those that changed its balance."""
    found = []
    for entry in await chain.client.past_logs({"address": hex_of(chain.network.escrow)}, chain.start_block):
        event = decode_event(entry.topics, entry.data)
        if not isinstance(event, EscrowEvent):
            continue
        changes = all_changes(event)
        if account is None or any(changed == account for _, changed, _ in changes):
            order_hash = getattr(event, "order_hash", None)
            found.append(
                Movement(entry.block_number, entry.transaction_hash, type(event).__name__, order_hash, changes)
            )
    return found
