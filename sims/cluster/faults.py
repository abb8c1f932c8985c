# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of faults: what breaks, when and for how long. All of it follows from the seed; no I/O."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What is done to a node, to a client's process, or to the chain."""

    KILL = "kill"
    """SIGKILL; started again after a while."""
    PAUSE = "pause"
    """SIGSTOP, later SIGCONT."""
    CUT = "cut"
    """All of its connections to peers close, in both directions, and no new one opens."""
    STALL = "stall"
    """Its listening port takes connections and passes nothing on."""
    SLOW = "slow"
    """What arrives at its listening port arrives late."""
    RPC_CUT = "rpc-cut"
    """Its connections to the chain close, and no new one opens."""
    RPC_SLOW = "rpc-slow"
    """Every answer of the chain to it is late."""
    RPC_TRUNCATE = "rpc-truncate"
    """Answers of the chain to it break off half-way."""
    REORG = "reorg"
    """The chain replaces its last blocks; what was in them is not mined any more."""
    KILL_CLIENT = "kill-client"
    """SIGKILL of the process in which a client waits for its job; `job watch` takes it up again."""


ON_NODES = (
    *(Kind.KILL, Kind.PAUSE, Kind.CUT, Kind.STALL, Kind.SLOW),
    *(Kind.RPC_CUT, Kind.RPC_SLOW, Kind.RPC_TRUNCATE),
)
LONGEST_SECONDS = {Kind.KILL: 8, Kind.PAUSE: 12, Kind.CUT: 12, Kind.STALL: 12, Kind.SLOW: 15}
LONGEST_RPC_SECONDS = 10
RECOVERY_SECONDS = 12
"""How long a node is left alone after a fault: time to start again on a busy machine."""
LEAST_GAP, LONGEST_GAP = 3, 10
"""Seconds from one fault to the next."""
CHAIN = "chain"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault; `at` and `seconds` from the begin of the load. `size`: blocks of a reorg, ms of a delay."""

    at: int
    kind: Kind
    target: str
    seconds: int = 0
    size: int = 0


def plan(
    seed: int,
    seconds: int,
    nodes: Sequence[str],
    clients: Sequence[str],
    deepest_reorg: int,
    kinds: Sequence[Kind] = tuple(Kind),
) -> tuple[Fault, ...]:
    """Return the faults of a run in order; each kind comes once before any comes twice, as far as time allows."""
    draw = random.Random(f"cluster {seed}")
    free = dict.fromkeys(nodes, 0)
    faults: list[Fault] = []
    waiting: list[Kind] = []
    at = draw.randint(LEAST_GAP, LONGEST_GAP)
    while at < seconds:
        if not waiting:
            waiting = draw.sample(list(kinds), len(kinds))
        fault = _fault(draw, at, waiting.pop(), free, clients, deepest_reorg)
        if fault is not None:
            faults.append(fault)
            if fault.target in free:
                free[fault.target] = at + fault.seconds + RECOVERY_SECONDS
        at += draw.randint(LEAST_GAP, LONGEST_GAP)
    return tuple(faults)


def _fault(
    draw: random.Random, at: int, kind: Kind, free: dict[str, int], clients: Sequence[str], deepest_reorg: int
) -> Fault | None:
    """Return a fault of this kind, None when nobody is there to suffer it."""
    if kind is Kind.REORG:
        return Fault(at, kind, CHAIN, 0, draw.randint(1, deepest_reorg)) if deepest_reorg else None
    if kind is Kind.KILL_CLIENT:
        return Fault(at, kind, draw.choice(list(clients))) if clients else None
    rested = [name for name, from_then in free.items() if from_then <= at]
    # The market goes on: at least half of the nodes are well at any time.
    if not rested or 2 * len(rested) < len(free):
        return None
    longest = LONGEST_SECONDS.get(kind, LONGEST_RPC_SECONDS)
    size = draw.randint(200, 2_000) if kind in (Kind.SLOW, Kind.RPC_SLOW) else 0
    return Fault(at, kind, draw.choice(rested), draw.randint(2, longest), size)
