# SPDX-License-Identifier: GPL-3.0-or-later
"""What a simulation can find wrong: something bad happened, or something good never did."""

from __future__ import annotations

from protocol.errors import ProofmeshError


class SafetyViolationError(ProofmeshError):
    """An invariant does not hold: money, payments, proofs or slashes are wrong."""

    code = "PM-SIM-001"
    exit_code = 1
    remedy = "Run the replay command with --trace and read its last lines."


class LivenessViolationError(ProofmeshError):
    """An order was neither settled nor refunded in time, though nothing went wrong any more."""

    code = "PM-SIM-002"
    exit_code = 6
    remedy = "Run the replay command with --trace and read its last lines."
