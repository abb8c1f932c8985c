# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that a contract verifies, not Groth16: a prover refuses their orders unless its operator knows the contract.

Orders come in faster than an RPC answers, so what the Registry says is read beforehand, again and again.
"""

from __future__ import annotations

import structlog
import trio

from contracts.events import VerifierRegistered
from node.chain_view import ChainView
from protocol.errors import ChainError

LOOK_SECONDS = 30.0
REORG_BLOCKS = 128
"""Blocks that are read again at each look."""
MOST_PROGRAMS = 4_096
"""The newest are remembered; an older one is a program that this node does not serve."""

log = structlog.get_logger("proofmesh.verifiers")


class ExternalPrograms:
    """The hash of the code that verifies each of these programs."""

    def __init__(self, chain: ChainView) -> None:
        self._chain = chain
        self._from = 0
        self._code_hashes: dict[bytes, bytes] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self.look()
            except ChainError as error:
                log.info("registry not read", code=error.code)
            await trio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Take up what was registered since the last look.

        Raises:
            ChainError: the chain cannot be asked.
        """
        head = await self._chain.client.header("latest")
        for _, event in await self._chain.past("Registry", VerifierRegistered, first_block=self._from):
            self.note(event)
        self._from = max(0, (head.number if head is not None else 0) - REORG_BLOCKS)

    def note(self, event: VerifierRegistered) -> None:
        """Remember one program."""
        self._code_hashes.pop(event.program_id, None)
        self._code_hashes[event.program_id] = event.code_hash
        while len(self._code_hashes) > MOST_PROGRAMS:
            del self._code_hashes[next(iter(self._code_hashes))]

    def verifier_of(self, program_id: bytes) -> bytes:
        """Return the hash of the code that verifies the program; nothing if none is known to."""
        return self._code_hashes.get(program_id, b"")
