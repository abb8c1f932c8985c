# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of the cluster is asked for, and the terms of its orders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from protocol.errors import UsageError

CONFIRMATIONS = 3
"""Blocks until nodes count something as done; reorgs are shallower."""
DEEPEST_REORG = CONFIRMATIONS - 1
BLOCK_SECONDS = 1
POLL_MS = 500
WINDOW_SECONDS = 2
DEADLINE_SECONDS = 90
GRACE_SECONDS = 30
SLACK_SECONDS = 25
"""What provers add to a promise: here a machine with many processes, some of them stopped."""
MAX_PRICE_WEI = 5 * 10**15
FEE_WEI = 2 * 10**15
COLLATERAL_WEI = 10**15
HEAL_SECONDS = DEADLINE_SECONDS + GRACE_SECONDS + 120
"""After the last fault: the last order's whole life, the refund after it, and its confirmation."""
MOST_NODES = 64
DEFAULT_FOLDER = Path("build/cluster")


@dataclass(frozen=True, slots=True)
class Options:
    """A run; `pace_seconds` is what a client waits between a job and the next."""

    provers: int = 3
    verifiers: int = 1
    clients: int = 2
    minutes: float = 3.0
    chaos: bool = False
    seed: int = 1
    pace_seconds: float = 2.0
    byzantine_percent: int = 0
    byzantine_program: Path | None = None
    folder: Path = DEFAULT_FOLDER

    def checked(self) -> Options:
        """Return itself.

        Raises:
            UsageError: a number is out of bounds, or liars are asked for and no program is there to run them.
        """
        if min(self.provers, self.verifiers, self.clients) < 1:
            raise UsageError("A cluster needs a prover, a verifier and a client.")
        if self.provers + self.verifiers + self.clients > MOST_NODES:
            raise UsageError(f"A cluster has at most {MOST_NODES} nodes.")
        if not 0 < self.minutes <= 24 * 60:
            raise UsageError("--minutes is above 0 and at most a day.")
        if not 0 <= self.byzantine_percent <= 100:
            raise UsageError("--byzantine is a share in percent.")
        if self.liars and (self.byzantine_program is None or not self.byzantine_program.is_file()):
            raise UsageError(
                "No program for Byzantine nodes.", remedy="Give --byzantine-program, such as the checkout's own."
            )
        return self

    @property
    def liars(self) -> int:
        """How many provers lie: at least one, if any share is asked for."""
        wanted = self.provers * self.byzantine_percent // 100
        return max(1, wanted) if self.byzantine_percent else 0

    @property
    def lying_verifiers(self) -> int:
        """How many verifiers lie: one of three."""
        return self.verifiers // 3 if self.byzantine_percent else 0

    @property
    def seconds(self) -> int:
        """How long the load lasts."""
        return round(self.minutes * 60)
