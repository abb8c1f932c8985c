# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's receipts: built from the settling transaction, kept as JSON files."""

from __future__ import annotations

import os
from pathlib import Path

from market.effects import KeepReceipt
from node.chain_view import ChainView
from node.receipt import Receipt, from_json, to_json


class ReceiptStore:
    """Receipts in one folder, named by the hash of their order."""

    def __init__(self, folder: Path, chain: ChainView) -> None:
        self._folder = folder
        self._chain = chain

    async def keep(self, effect: KeepReceipt) -> None:
        """Build the receipt of a settled order from the chain, and write it whole or not at all."""
        settlement, block_number = await self._chain.settlement_of(effect.order_hash, effect.transaction_hash)
        receipt = Receipt(
            network=self._chain.network,
            order=settlement.order,
            award=settlement.award,
            award_signature=settlement.signature,
            outputs=settlement.outputs,
            proof=settlement.proof,
            settler=settlement.settler,
            program=await self._chain.program(settlement.order.program_id),
            transaction_hash=effect.transaction_hash,
            block_number=block_number,
        )
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.path(effect.order_hash)
        fresh = path.with_suffix(".new")
        fresh.write_text(to_json(receipt))
        os.replace(fresh, path)

    def path(self, order_hash: bytes) -> Path:
        """Return where the receipt of an order is."""
        return self._folder / f"{order_hash.hex()}.json"

    def find(self, order_hash: bytes) -> Receipt | None:
        """Return the receipt of an order, None while there is none."""
        path = self.path(order_hash)
        return from_json(path.read_text()) if path.exists() else None
