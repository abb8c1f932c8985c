# SPDX-License-Identifier: GPL-3.0-or-later
"""The audit finds what is planted, names it by the right severity, and finds nothing where nothing is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sims.cluster.audit import Evidence, Move, Order, Severity, Wallet, audit

CLIENT, PROVER, VERIFIER, PUBLISHER = ("0x" + digit * 40 for digit in "1234")
ORDER, LOCKED = "0x" + "aa" * 32, "0x" + "bb" * 32
SETTLED = Move("Settled", ORDER, ((CLIENT, -70), (PROVER, 45), (PUBLISHER, 5), (VERIFIER, 20)))
LOCK = Move("Locked", LOCKED, ((CLIENT, -80), (PROVER, -30)))
EXPIRED = Move("Expired", LOCKED, ((CLIENT, 80), ("0xdead", 30)))
DEPOSITS = (Move("Deposited", None, ((CLIENT, 1_000),)), Move("Deposited", None, ((PROVER, 500),)))


def evidence(*extra: Move, **changes: object) -> Evidence:
    """A market in which one order was settled and a locked one refunded; balances follow the moves."""
    moves = (*DEPOSITS, SETTLED, LOCK, EXPIRED, *extra)
    sums: dict[str, int] = {}
    for move in moves:
        for account, change in move.changes:
            sums[account] = sums.get(account, 0) + change
    total = sum(sums.values())
    whole = Evidence(
        orders=(Order(ORDER, CLIENT, "settled", 70, 90), Order(LOCKED, CLIENT, "refunded", 0, 90)),
        moves=moves,
        balances=sums,
        owed=total,
        held=total,
        wallets=(Wallet(CLIENT, before=100, after=73, spent=20, gas=12, received=5),),
        deposits={CLIENT: 1_000, PROVER: 500, VERIFIER: 0},
        provers_keep=False,
        provers=frozenset({PROVER}),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def found(given: Evidence) -> list[tuple[Severity, str]]:
    return [(finding.severity, finding.text) for finding in audit(given)]


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert found(evidence()) == []


SETTLED_FOR_NOTHING = Move("Settled", ORDER, ())
PLANTED = {
    "a double payment": (evidence(SETTLED_FOR_NOTHING), Severity.SAFETY, "settled 2 times"),
    "a payment and a refund": (
        evidence(Move("Settled", LOCKED, ())),
        Severity.SAFETY,
        f"{LOCKED} was settled and refunded",
    ),
    "two refunds": (evidence(Move("Expired", LOCKED, ())), Severity.SAFETY, "refunded 2 times"),
    "a payment for nobody's order": (
        evidence(Move("Settled", "0xcc", ())),
        Severity.SAFETY,
        "no client placed it",
    ),
    "a missing refund": (
        evidence(moves=(*DEPOSITS, SETTLED, LOCK), owed=1_500, held=1_500),
        Severity.LIVENESS,
        f"{LOCKED} is still locked",
    ),
    "a refund that is only told": (
        evidence(moves=(*DEPOSITS, SETTLED)),
        Severity.SAFETY,
        "refunded for its client and not on the chain",
    ),
    "a settlement that is only told": (
        evidence(moves=(*DEPOSITS, LOCK, EXPIRED)),
        Severity.SAFETY,
        "settled for its client and not settled on the chain",
    ),
    "a balance that is a wei too much": (
        evidence(balances={PROVER: 516}),
        Severity.SAFETY,
        f"{PROVER} has 516 wei in the Escrow; its events add up to 515",
    ),
    "an Escrow that owes more than it holds": (evidence(held=1_499), Severity.SAFETY, "owes 1500 wei and holds 1499"),
    "an Escrow that owes what nobody has": (evidence(owed=1_501, held=1_501), Severity.SAFETY, "add up to 1500"),
    "a wallet that is a wei short": (
        evidence(wallets=(Wallet(CLIENT, before=100, after=72, spent=20, gas=12, received=5),)),
        Severity.SAFETY,
        "has 72 wei; its transactions leave 73",
    ),
    "a client that paid more than it offered": (
        evidence(orders=(Order(ORDER, CLIENT, "settled", 70, 69), Order(LOCKED, CLIENT, "refunded", 0, 90))),
        Severity.SAFETY,
        "cost its client 70 wei; told 70, at most 69",
    ),
    "a client that paid for no proof": (
        evidence(
            Move("Released", "0xdd", ((CLIENT, -7), (PROVER, 7))),
            orders=(
                Order(ORDER, CLIENT, "settled", 70, 90),
                Order(LOCKED, CLIENT, "refunded", 0, 90),
                Order("0xdd", CLIENT, "failed", 0, 90),
            ),
        ),
        Severity.SAFETY,
        "is failed and cost its client 7 wei",
    ),
    "an honest prover that lost its collateral": (
        evidence(deposits={CLIENT: 1_000, PROVER: 520}, provers_keep=True),
        Severity.SAFETY,
        f"honest prover {PROVER} lost 5 wei",
    ),
    "an order without an end": (
        evidence(orders=(Order(ORDER, CLIENT, "settled", 70, 90), Order(LOCKED, CLIENT, "refunding", 0, 90))),
        Severity.LIVENESS,
        "is still refunding",
    ),
    "a receipt that does not verify": (evidence(receipts=("The receipt",)), Severity.SAFETY, "The receipt"),
    "a daemon that died": (evidence(ended=("prover-1 ended",)), Severity.CRASH, "prover-1 ended"),
    "a traceback": (evidence(tracebacks=("prover-1 logged",)), Severity.CRASH, "prover-1 logged"),
    "an orphan": (evidence(orphans=("Process 7",)), Severity.RESOURCES, "Process 7"),
    "a leak": (evidence(growth=("memory",)), Severity.RESOURCES, "memory"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(name: str) -> None:
    given, severity, text = PLANTED[name]
    assert [text for found_severity, said in found(given) if found_severity is severity and text in said]


def test_the_worst_comes_first() -> None:
    severities = [severity for severity, _ in found(evidence(SETTLED_FOR_NOTHING, growth=("g",), ended=("e",)))]
    assert severities == [Severity.SAFETY, Severity.CRASH, Severity.RESOURCES]


def test_a_lock_that_was_released_and_locked_again_is_closed_by_its_settlement() -> None:
    again = (
        Move("Released", LOCKED, ((CLIENT, 80), (PROVER, 30))),
        LOCK,
        Move("Settled", LOCKED, ((PROVER, 110),)),
    )
    orders = (Order(ORDER, CLIENT, "settled", 70, 90), Order(LOCKED, CLIENT, "settled", 80, 90))
    given = evidence(moves=(*DEPOSITS, SETTLED, LOCK, *again), orders=orders, balances={}, owed=1_500, held=1_500)
    assert found(given) == []
