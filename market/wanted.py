# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a machine still waits for what an effect leads to: what is wanted is tried again, what is not is given up.

A job whose order somebody else has settled needs no proof; a locked one needs it for as long as it can be paid.
"""

from __future__ import annotations

from market import client, prover, verifier
from market.effects import (
    Announce,
    CheckProof,
    ComputeWitness,
    Effect,
    EraseSecrets,
    KeepReceipt,
    SendAward,
    SendProof,
    StartProof,
    SubmitBatch,
    SubmitCancel,
    SubmitExpire,
    SubmitLock,
    SubmitRelease,
    SubmitSettlement,
)

LASTING = (KeepReceipt, EraseSecrets)
"""What is owed to the user whatever becomes of the job."""
STOPPABLE = (Announce, ComputeWitness, StartProof, CheckProof)
"""What is stopped at once when it is wanted no longer. A transaction is not: its nonce is spent."""

_CLIENT: dict[type[Effect], tuple[client.Phase, ...]] = {
    Announce: (client.Phase.COLLECTING,),
    SendAward: (client.Phase.AWARDED,),
    SubmitExpire: (client.Phase.REFUNDING,),
    SubmitCancel: (client.Phase.COLLECTING, client.Phase.AWARDED, client.Phase.WAITING),
}
_PROVER: dict[type[Effect], tuple[prover.Phase, ...]] = {
    ComputeWitness: (prover.Phase.WITNESSING,),
    SubmitLock: (prover.Phase.LOCKING,),
    StartProof: (prover.Phase.PROVING,),
    SubmitRelease: (prover.Phase.PROVING, prover.Phase.DROPPED),
    SendProof: (prover.Phase.SENT,),
    SubmitSettlement: (prover.Phase.SETTLING,),
}
_VERIFIER: dict[type[Effect], tuple[verifier.Phase, ...]] = {
    CheckProof: (verifier.Phase.CHECKING,),
    SubmitSettlement: (verifier.Phase.SETTLING,),
}


def wanted(state: client.State | prover.State | verifier.State, effect: Effect) -> bool:
    """Return whether `state` waits for this effect; a message of mere courtesy is not waited for."""
    if isinstance(effect, LASTING):
        return True
    if isinstance(effect, SubmitBatch):
        return any(wanted(state, settlement) for settlement in effect.settlements)
    job = state.jobs.get(effect.order_hash)
    if job is None:
        return False
    if isinstance(effect, SendAward) and isinstance(job, client.Job) and job.award != effect.award:
        return False
    phases = {client.State: _CLIENT, prover.State: _PROVER, verifier.State: _VERIFIER}[type(state)]
    return job.phase in phases.get(type(effect), ())  # type: ignore[attr-defined]
