# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run exercised: pairs of phase and event of every machine, kinds of fault, strategies of liars.

A simulator that is quiet finds nothing. So what happened is counted against all that can happen: a pair counts as
reachable when its machine's table has a handler for it, and as refused when the table says that it makes no sense.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from market import client, prover, verifier
from market.events import Event, JobEvent, Tick

Pair = tuple[str, str, str]
"""(role, phase, event)"""
MACHINES: dict[str, Any] = {"client": client, "prover": prover, "verifier": verifier}
FAULTS = (
    "lost transmission",
    "lost gossip",
    "lost answer",
    "duplicated message",
    "reordered message",
    "message into a partition",
    "crash before journal",
    "crash torn record",
    "crash after journal",
    "crash after apply",
    "crash before effect",
    "crash after effect",
    "death while proving",
    "death while checking",
    "failed proof",
    "RPC out",
    "dropped transaction",
    "forgotten transaction",
    "replaced transaction",
    "false failure",
    "underpriced transaction",
    "censored transaction",
    "reorganisation",
    "reorganisation of confirmed blocks",
    "clock off",
)
"""Every kind of fault that the world can do."""


@dataclass(slots=True)
class Coverage:
    """How often each pair happened."""

    pairs: dict[Pair, int] = field(default_factory=dict)

    def event(self, role: str, state: Any, event: Event) -> None:
        """Count an event that a machine is about to take."""
        if isinstance(event, JobEvent):
            job = state.jobs.get(event.order_hash)
            if job is not None:
                self._count((role, job.phase, type(event).__name__))
        elif isinstance(event, Tick):
            for job in state.jobs.values():
                if job.deadline <= event.at:
                    self._count((role, job.phase, "Tick"))

    def _count(self, pair: Pair) -> None:
        self.pairs[pair] = self.pairs.get(pair, 0) + 1


def expected_pairs() -> tuple[Pair, ...]:
    """Return all pairs for which a machine has a handler, in a fixed order."""
    return tuple(sorted(_pairs(refused=False)))


def refused_pairs() -> tuple[Pair, ...]:
    """Return all pairs that make no sense to a machine, in a fixed order."""
    return tuple(sorted(_pairs(refused=True)))


def _pairs(*, refused: bool) -> Iterable[Pair]:
    for role, machine in MACHINES.items():
        for (phase, kind), handler in machine.TABLE.items():
            if (handler.__name__ == "_unexpected") is refused:
                yield (role, phase.value, kind.__name__)


def report(
    pairs: Iterable[Pair], faults: Iterable[str], strategies: Iterable[str], known_strategies: Iterable[str]
) -> dict[str, Any]:
    """Return what was exercised against all that exists, and what was missed, for people and scripts."""
    seen, happened, lied = set(pairs), set(faults), set(strategies)
    expected, refused, known = expected_pairs(), refused_pairs(), sorted(known_strategies)
    return {
        "pairs": sum(1 for pair in expected if pair in seen),
        "pairs_of": len(expected),
        "refused_pairs": sum(1 for pair in refused if pair in seen),
        "refused_pairs_of": len(refused),
        "faults": sum(1 for fault in FAULTS if fault in happened),
        "faults_of": len(FAULTS),
        "strategies": sum(1 for name in known if name in lied),
        "strategies_of": len(known),
        "missed_pairs": [" ".join(pair) for pair in expected if pair not in seen],
        "missed_faults": [fault for fault in FAULTS if fault not in happened],
        "missed_strategies": [name for name in known if name not in lied],
    }
