# SPDX-License-Identifier: GPL-3.0-or-later
"""Why one party does not serve another: stable codes, what they mean, what helps.

Peers see the code (and a rounded quote where price is the reason); the CLI shows the words.
"""

from __future__ import annotations

UNKNOWN_PROGRAM = "PM-REF-001"
PRICE_TOO_LOW = "PM-REF-002"
DEADLINE_TOO_SOON = "PM-REF-003"
AT_CAPACITY = "PM-REF-004"
UNFUNDED = "PM-REF-005"
COLLATERAL_SHORT = "PM-REF-006"
PROGRAM_BROKEN = "PM-REF-007"
EXPOSURE_EXCEEDED = "PM-REF-008"
UNSUPPORTED_ORDER = "PM-REF-009"
ORDER_TAKEN = "PM-REF-010"
NOT_ALLOWED = "PM-REF-011"
BID_UNKNOWN = "PM-REF-012"
BID_EXPIRED = "PM-REF-013"
AWARD_MISMATCH = "PM-REF-014"
INPUT_INVALID = "PM-REF-015"
PROVING_FAILED = "PM-REF-016"
LOCK_FAILED = "PM-REF-017"
BID_OVER_CAP = "PM-REF-018"
AUCTION_CLOSED = "PM-REF-019"
TOO_MANY_BIDS = "PM-REF-020"
PROOF_INVALID = "PM-REF-021"
FEE_TOO_LOW = "PM-REF-022"
WRONG_SETTLER = "PM-REF-023"
ALREADY_SETTLED = "PM-REF-024"
TOO_LATE = "PM-REF-025"
UNEXPECTED = "PM-REF-026"
UNREACHABLE = "PM-REF-027"
RATE_LIMITED = "PM-REF-028"
ROYALTY_MISMATCH = "PM-REF-029"
SETTLEMENT_FAILED = "PM-REF-030"
DISK_FULL = "PM-REF-031"
GAS_ROSE = "PM-REF-032"
NOT_INTRODUCED = "PM-REF-033"
VERIFIER_NOT_ALLOWED = "PM-REF-034"
MODEL_MISMATCH = "PM-REF-035"
CHAIN_UNREACHABLE = "PM-REF-036"

MEANINGS: dict[str, tuple[str, str]] = {
    UNKNOWN_PROGRAM: ("the node does not serve this program", "ask its operator to pull the bundle"),
    PRICE_TOO_LOW: ("the cap does not cover cost and margin", "raise --max-price to the quote"),
    DEADLINE_TOO_SOON: ("the node cannot promise a proof that soon", "give a later --deadline"),
    AT_CAPACITY: ("the node's queue is full", "try again, or give a later --deadline"),
    UNFUNDED: ("the client's deposit does not cover the order", "run `proofmesh wallet deposit`"),
    COLLATERAL_SHORT: ("the lock needs more collateral than the node has, or puts at stake", "lower --collateral"),
    PROGRAM_BROKEN: ("a job of this program failed; the node stopped serving it", "wait, or check the bundle"),
    EXPOSURE_EXCEEDED: ("too much is unsecured with this client", "wait for settlements, or allow a lock"),
    UNSUPPORTED_ORDER: ("the node does not serve this kind of order", "see docs/PROTOCOL.md"),
    ORDER_TAKEN: ("the order is locked by another prover, settled or cancelled", "nothing to do"),
    NOT_ALLOWED: ("the client's allow-list does not name this prover", "the client may add it"),
    BID_UNKNOWN: ("no live bid of this node matches", "the client starts a new auction"),
    BID_EXPIRED: (
        "the bid has expired, or its lock would be too late for the promise",
        "the client starts a new auction",
    ),
    AWARD_MISMATCH: ("the award differs from the bid", "the client's software is broken or hostile"),
    INPUT_INVALID: ("the input does not fit the commitment or the schema", "submit the job again"),
    PROVING_FAILED: ("the proof could not be made", "try another prover; check the bundle"),
    LOCK_FAILED: ("the lock was not accepted by the chain", "check the client's deposit"),
    BID_OVER_CAP: ("the bid is above the cap or later than asked", "the prover's software is broken"),
    AUCTION_CLOSED: ("the auction of this order is not open", "nothing to do"),
    TOO_MANY_BIDS: ("the client holds as many bids as it takes", "nothing to do"),
    PROOF_INVALID: ("the proof does not verify", "the prover must prove again"),
    FEE_TOO_LOW: ("the verifier fee is below the node's least fee", "raise --verifier-fee"),
    WRONG_SETTLER: ("the proof's binding names another settler", "send it to that one"),
    ALREADY_SETTLED: ("the order is settled", "nothing to do"),
    TOO_LATE: ("the promise or the order is over", "nothing to do"),
    UNEXPECTED: ("the message makes no sense at this point", "nothing to do"),
    UNREACHABLE: ("the node cannot be reached", "check that it runs and that its address is right"),
    RATE_LIMITED: ("too many requests", "slow down"),
    ROYALTY_MISMATCH: ("the royalty differs from the registry's", "use the model's royalty"),
    MODEL_MISMATCH: ("the registry knows the order's model not, or as one of another program", "name its own model"),
    GAS_ROSE: ("gas rose after the bid, whose price covers it no longer", "the client starts a new auction"),
    SETTLEMENT_FAILED: ("the chain did not accept the settlement", "check the proof and the deposit"),
    NOT_INTRODUCED: ("the peer has not introduced itself as the prover of this bid", "send hello before bids"),
    VERIFIER_NOT_ALLOWED: (
        "the program is of another proof system, whose verifier contract the node's operator has not allowed",
        "ask a node that allows it, or use a program that proofmesh compiled",
    ),
    CHAIN_UNREACHABLE: ("the node cannot ask the chain just now", "the client starts a new auction"),
    DISK_FULL: ("the node's disk takes nothing new", "try another node; its operator has to free space"),
}


PASSING = frozenset({
    AT_CAPACITY,
    DISK_FULL,
    BID_UNKNOWN,
    BID_EXPIRED,
    EXPOSURE_EXCEEDED,
    LOCK_FAILED,
    GAS_ROSE,
    CHAIN_UNREACHABLE,
    UNREACHABLE,
    RATE_LIMITED,
})
"""Reasons to refuse an award that may be gone by the next auction: they exclude nobody from it."""


def explain(code: str) -> str:
    """Return what a code means and what helps, in one line; unknown codes are shown as they are."""
    if code not in MEANINGS:
        return code
    meaning, remedy = MEANINGS[code]
    return f"[{code}] {meaning}; {remedy}"
