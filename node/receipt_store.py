# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's receipts: built from the settling transaction, kept as JSON files.

The call data of a settlement is its sender's word. A batch may hold a second job of the same order, with other outputs,
that the Escrow skipped; and of an award that locked, the Escrow asks for no signature. So a receipt is kept only of
what the chain says was proved, with a proof that verifies and an award that the client signed.
"""

from __future__ import annotations

import os
from pathlib import Path

import trio

from contracts.events import Locked
from contracts.records import Settlement
from market.effects import KeepReceipt
from node.chain_view import ChainView
from node.receipt import Program, Receipt, from_json, to_json
from protocol.binding import market_binding
from protocol.eip712 import digest
from protocol.errors import RpcMalformedError, SignatureError
from protocol.signing import Account, require_signed_by
from protocol.statement import statement_hash
from protocol.structs import Order
from proving.prover import verify


class ReceiptStore:
    """Receipts in one folder, named by the hash of their order."""

    def __init__(self, folder: Path, chain: ChainView, account: Account) -> None:
        self._folder = folder
        self._chain = chain
        self._account = account

    async def keep(self, effect: KeepReceipt) -> None:
        """Build the receipt of a settled order from the chain, and write it whole or not at all.

        Raises:
            RpcMalformedError: the transaction does not hold what the chain says was proved.
        """
        settlements, block_number = await self._chain.settlements_in(effect.transaction_hash)
        program = await self._chain.program(effect.order.program_id)
        statement = await self._chain.statement_of(effect.order_hash)
        for found in settlements:
            if not self._is_proved(effect, found, program, statement):
                continue
            signature = await self._signature(effect.order, found)
            if signature is None:
                continue
            receipt = Receipt(
                network=self._chain.network,
                order=effect.order,
                award=found.award,
                award_signature=signature,
                outputs=found.outputs,
                proof=found.proof,
                settler=found.settler,
                program=program,
                transaction_hash=effect.transaction_hash,
                block_number=block_number,
            )
            await trio.to_thread.run_sync(self._write, receipt)
            return
        raise RpcMalformedError("The transaction does not hold what the chain says was proved.")

    @staticmethod
    def _is_proved(effect: KeepReceipt, found: Settlement, program: Program, statement: bytes) -> bool:
        if found.award.order_hash != effect.order_hash:
            return False
        binding = market_binding(effect.order_hash, found.award.payout, found.settler)
        inputs = (effect.order.input_commitment, *found.outputs, binding)
        proved = statement_hash(effect.order.program_id, inputs)[:31] == statement
        return proved and verify(program.verifying_key, found.proof, inputs)

    async def _signature(self, order: Order, found: Settlement) -> bytes | None:
        """The client's signature of the award; of one that the Escrow took for a lock, made again, for it was seen."""
        try:
            require_signed_by(order.client, self._chain.network, found.award, found.signature)
            return found.signature
        except SignatureError:
            locks = await self._chain.past("Escrow", Locked, found.award.order_hash)
        if digest(self._chain.network, found.award) not in [lock.award_hash for _, lock in locks]:
            return None
        return self._account.sign(self._chain.network, found.award)

    def _write(self, receipt: Receipt) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.path(receipt.order_hash)
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
