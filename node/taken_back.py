# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role has heard of the chain and the chain no longer says: a reorganisation while the node was down.

The follower reads the history anew at each start, so it undoes nothing that an earlier run was told. What the
machines remember is held against the ledger instead, and taken back before they hear the history that holds now:
a payment that became a refund, or a lock in whose place another one is, is news to them only then.
"""

from __future__ import annotations

from contracts.events import Expired, Settled
from market import client, prover, verifier
from node.ledger import Ledger

State = client.State | prover.State | verifier.State

_ENDS = {
    client.Phase.SETTLED: Settled,
    client.Phase.REFUNDED: Expired,
    prover.Phase.DONE: Settled,
    verifier.Phase.DONE: Settled,
}


def taken_back(state: State, ledger: Ledger) -> tuple[bytes, ...]:
    """Return the orders with an end or a lock that a machine counts on, and that the chain does not have."""
    ended = {order_hash: _ENDS[job.phase] for order_hash, job in state.jobs.items() if job.phase in _ENDS}
    gone = {order_hash for order_hash, end in ended.items() if ledger.end_of(order_hash) is not end}
    if isinstance(state, client.State):
        locks = {order_hash: job.lock for order_hash, job in state.jobs.items() if job.lock is not None}
    else:
        locks = dict(state.locks)
    for order_hash, lock in locks.items():
        there = ledger.lock_of(order_hash)
        if not ledger.is_done(order_hash) and (there is None or there.award_hash != lock.award_hash):
            gone.add(order_hash)
    return tuple(sorted(gone))
