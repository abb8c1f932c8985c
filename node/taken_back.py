# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role has heard of the chain and the chain no longer says: a reorganisation while the node was down.

The follower reads the history anew at each start, so it undoes nothing that an earlier run was told. What the
machines remember is held against the ledger instead.
"""

from __future__ import annotations

from market import client, prover, verifier
from node.ledger import Ledger

State = client.State | prover.State | verifier.State

_ENDED = {
    client.Phase.SETTLED,
    client.Phase.REFUNDED,
    prover.Phase.DONE,
    verifier.Phase.DONE,
}


def taken_back(state: State, ledger: Ledger) -> tuple[bytes, ...]:
    """Return the orders whose lock or end a machine counts on, and of which the chain knows neither."""
    ended = {order_hash for order_hash, job in state.jobs.items() if job.phase in _ENDED}
    if isinstance(state, client.State):
        locked = {order_hash for order_hash, job in state.jobs.items() if job.lock is not None}
    else:
        locked = set(state.locks)
    gone = {each for each in ended if not ledger.is_done(each)}
    gone |= {each for each in locked if not ledger.is_done(each) and ledger.lock_of(each) is None}
    return tuple(sorted(gone))
