# SPDX-License-Identifier: GPL-3.0-or-later
"""What an order says of its program and model, held against the Registry before anything is spent on it.

The Escrow does so only when it pays, and a lock does not ask at all (docs/adr/0010): an order that names another
royalty, or a model of another program, is one that nobody can ever be paid for, and a lock of it loses its collateral.
"""

from __future__ import annotations

from collections import OrderedDict

import structlog

from market import refusals
from node.chain_view import ChainView
from protocol.errors import ChainError
from protocol.scalars import ZERO_HASH
from protocol.statement import GROTH16_BN254
from protocol.structs import Order

log = structlog.get_logger("proofmesh.prover")

MOST_PAIRS = 4_096
"""Pairs of program and model that are remembered; both are what they are for ever, so they are asked for once."""


class OrderTerms:
    """Whether the Escrow would pay for a proof of an order."""

    def __init__(self, chain: ChainView) -> None:
        self._chain = chain
        self._royalties: OrderedDict[tuple[bytes, bytes], int] = OrderedDict()

    async def fault(self, order: Order) -> str:
        """Return the code of the refusal that an order deserves; nothing if it can be paid for."""
        try:
            return await self._fault(order)
        except ChainError as error:
            log.warning("an award cannot be judged", code=error.code, reason=error.message)
            return refusals.CHAIN_UNREACHABLE

    async def _fault(self, order: Order) -> str:
        pair = order.program_id, order.model_id
        if pair not in self._royalties:
            program = await self._chain.registered(order.program_id)
            if program.proof_system != GROTH16_BN254 or (program.dev and not await self._chain.allows_dev()):
                return refusals.UNKNOWN_PROGRAM
            program_id, royalty_bps = await self._chain.model_terms(order.model_id)
            if order.model_id != ZERO_HASH and program_id != order.program_id:
                return refusals.MODEL_MISMATCH
            self._royalties[pair] = royalty_bps
            if len(self._royalties) > MOST_PAIRS:
                self._royalties.popitem(last=False)
        self._royalties.move_to_end(pair)
        return "" if order.royalty_bps == self._royalties[pair] else refusals.ROYALTY_MISMATCH
