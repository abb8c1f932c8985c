# SPDX-License-Identifier: GPL-3.0-or-later
"""How nodes behave, by name: the honest ones and every way of cheating (docs/SIMULATION.md)."""

from __future__ import annotations

from sims import byzantine_clients as clients
from sims import byzantine_provers as provers
from sims import byzantine_verifiers as verifiers
from sims.client_node import ClientNode
from sims.prover_node import ProverNode
from sims.verifier_node import VerifierNode

CLIENTS: dict[str, type[ClientNode]] = {
    "honest": ClientNode,
    "withholds input": clients.Withholding,
    "spoils input": clients.Spoiling,
    "drains deposit": clients.Draining,
    "awards all": clients.Doubling,
    "replays orders": clients.Replaying,
    "never awards": clients.Mute,
    "random": clients.RandomClient,
}
PROVERS: dict[str, type[ProverNode]] = {
    "honest": ProverNode,
    "bids and vanishes": provers.Vanishing,
    "bids and refuses": provers.Refusing,
    "wins and stalls": provers.Stalling,
    "locks and releases": provers.Releasing,
    "wrong proof": provers.Wrong,
    "late": provers.Late,
    "copies proofs": provers.Copying,
    "forgets awards": provers.Doubting,
    "claims proofs": provers.Flattering,
    "random": provers.RandomProver,
}
VERIFIERS: dict[str, type[VerifierNode]] = {
    "honest": VerifierNode,
    "swallows proofs": verifiers.Swallowing,
    "settles late": verifiers.Late,
    "spoils batches": verifiers.Spoiling,
    "slanders proofs": verifiers.Slandering,
    "boasts": verifiers.Boasting,
    "thieves": verifiers.Thieving,
    "random": verifiers.RandomVerifier,
}


def known() -> tuple[str, ...]:
    """Return `role: strategy` of every way of cheating."""
    groups = (("client", CLIENTS), ("prover", PROVERS), ("verifier", VERIFIERS))
    return tuple(f"{role}: {name}" for role, names in groups for name in names if name != "honest")
