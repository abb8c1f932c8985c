# SPDX-License-Identifier: GPL-3.0-or-later
"""What a simulation can find wrong: something bad happened, something good never did, or the code gave up."""

from __future__ import annotations

from protocol.errors import ProofmeshError

_REMEDY = "Replay it with `proofmesh sim replay`, make it small with `proofmesh sim shrink` (docs/SIMULATION.md)."


class SafetyViolationError(ProofmeshError):
    """An invariant does not hold: money, payments, proofs, slashes or journals are wrong."""

    code = "PM-SIM-001"
    exit_code = 1
    remedy = _REMEDY


class LivenessViolationError(ProofmeshError):
    """An order was neither settled nor refunded in time, though nothing went wrong any more."""

    code = "PM-SIM-002"
    exit_code = 6
    remedy = _REMEDY


class CodeCrashError(ProofmeshError):
    """The code under simulation raised an exception that nobody expects."""

    code = "PM-SIM-003"
    exit_code = 8
    remedy = _REMEDY


Violation = SafetyViolationError | LivenessViolationError | CodeCrashError
