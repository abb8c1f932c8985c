# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's own record of its counterparties: what was promised against what was delivered.

Never hearsay: beside it counts only what the chain shows, collateral that was lost. (Promises kept to others are no
evidence: anybody can pay himself.) The score is Laplace's rule of succession in basis points: a newcomer has 5,000.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Record:
    """Counts for one account."""

    delivered: int = 0
    failed: int = 0

    @property
    def score_bps(self) -> int:
        """Expected share of kept promises, in basis points."""
        return 10_000 * (self.delivered + 1) // (self.delivered + self.failed + 2)


Reputation = Mapping[bytes, Record]


def delivered(reputation: Reputation, account: bytes) -> Reputation:
    """Return the reputation after `account` kept a promise."""
    record = reputation.get(account, Record())
    return {**reputation, account: replace(record, delivered=record.delivered + 1)}


def failed(reputation: Reputation, account: bytes) -> Reputation:
    """Return the reputation after `account` broke a promise."""
    record = reputation.get(account, Record())
    return {**reputation, account: replace(record, failed=record.failed + 1)}


def score_bps(reputation: Reputation, account: bytes, slashes: int = 0) -> int:
    """Return the score of an account, 5,000 for one never met; each slash counts as a promise broken to oneself."""
    record = reputation.get(account, Record())
    return replace(record, failed=record.failed + slashes).score_bps
