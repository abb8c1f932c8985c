# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that lies: `python byzantine_node.py STRATEGY ARGUMENTS OF PROOFMESH...`.

The product knows no lies: here one method of a role's hands is put in the place of the honest one, and all the
rest is the real node, its keys and its protocol. `proofmesh sim cluster --byzantine` starts it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import trio

from market.effects import StartProof
from market.events import ProofReady
from node.roles.prover import ProverRole
from node.roles.verifier import VerifierRole
from proofmesh.main import main
from protocol.messages import AwardMessage, ProofMessage


def wrong_proof() -> None:
    """Prove, and claim another output than the one that was proved."""
    honest = ProverRole._prove

    async def prove(self: ProverRole, effect: StartProof) -> Any:
        event = await honest(self, effect)
        if isinstance(event, ProofReady):
            event = replace(event, outputs=(event.outputs[0] + 1, *event.outputs[1:]))
        return event

    ProverRole._prove = prove  # type: ignore[method-assign]


def stall() -> None:
    """Take the award and the input, lock if that is the tariff, and never prove."""

    async def prove(self: ProverRole, effect: StartProof) -> Any:
        while True:
            await trio.sleep(60)

    ProverRole._prove = prove  # type: ignore[method-assign]


def vanish() -> None:
    """Bid, and never answer an award."""

    async def award(self: ProverRole, peer: str, message: AwardMessage) -> None:
        while True:
            await trio.sleep(60)

    ProverRole._award = award  # type: ignore[method-assign]


def swallow() -> None:
    """A verifier that takes every proof with thanks and settles none."""

    async def proof(self: VerifierRole, peer: str, message: ProofMessage) -> None:
        return None

    VerifierRole._proof = proof  # type: ignore[method-assign]


STRATEGIES: dict[str, Callable[[], None]] = {
    "wrong-proof": wrong_proof,
    "stall": stall,
    "vanish": vanish,
    "swallow": swallow,
}

if __name__ == "__main__":
    STRATEGIES[sys.argv.pop(1)]()
    main()
