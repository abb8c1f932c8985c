# SPDX-License-Identifier: GPL-3.0-or-later
"""Every job of every role as the journal knows it: where it stands, until when, and what is still to be done for it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from market import client, prover, verifier
from market import journal as market_journal
from market.snapshot import decode_state
from node.journal import Journal
from protocol.structs import Network

MACHINES: dict[str, ModuleType] = {"client": client, "prover": prover, "verifier": verifier}
_NOBODY = bytes(20)


@dataclass(frozen=True, slots=True)
class Shown:
    """A job of a role. `waits_until` is chain time in nanoseconds; `effects` are those not finished."""

    role: str
    order_hash: bytes
    phase: str
    outcome: str
    waits_until: int
    locked: bool
    client: bytes
    prover: bytes | None
    price: int | None
    effects: tuple[str, ...]


def overview(path: Path) -> list[Shown]:
    """Return all jobs of a journal, role by role; may be called while the node runs.

    Raises:
        JournalError: it cannot be opened, is of another format, or damaged.
    """
    with Journal(path, read_only=True) as journal:
        return [shown for role in journal.roles() if role in MACHINES for shown in _role(journal, role)]


def _role(journal: Journal, role: str) -> list[Shown]:
    machine = MACHINES[role]
    snapshot = journal.snapshot(role)
    state: Any = _blank(role) if snapshot is None else decode_state(snapshot, machine.State)
    for blob in journal.events(role):
        state, _ = machine.transition(state, market_journal.decode_event(blob))
    effects: defaultdict[bytes, list[str]] = defaultdict(list)
    for _, blob in journal.pending(role):
        effect = market_journal.decode_effect(blob)
        effects[effect.order_hash].append(type(effect).__name__)
    return [_shown(role, order_hash, job, tuple(effects[order_hash])) for order_hash, job in state.jobs.items()]


def _shown(role: str, order_hash: bytes, job: Any, effects: tuple[str, ...]) -> Shown:
    request = job.request if role == "verifier" else job
    award = request.award
    locked = bool(job.lock) if role == "client" else bool(getattr(job, "locked", False))
    return Shown(
        role,
        order_hash,
        str(job.phase),
        job.outcome,
        job.deadline,
        locked,
        request.order.client,
        None if award is None else award.prover,
        None if award is None else award.price,
        effects,
    )


def _blank(role: str) -> client.State | prover.State | verifier.State:
    if role == "client":
        return client.State()
    if role == "prover":
        return prover.State(Network(chain_id=1, escrow=_NOBODY), _NOBODY, _NOBODY)
    return verifier.State(_NOBODY)
