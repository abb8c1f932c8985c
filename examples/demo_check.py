# SPDX-License-Identifier: GPL-3.0-or-later
"""Judges build/demo.json: outcomes, exact balances, the reverted transaction, the receipt.

    python examples/demo_check.py build/demo.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Record = dict[str, Any]
Check = tuple[str, Callable[[Record], bool]]

CHECKS: tuple[Check, ...] = (
    ("the model beats always saying yes", lambda r: _number(r, "held_out_accuracy") > _number(r, "majority_rate")),
    ("the model ranks applicants (AUC above 0.75)", lambda r: _number(r, "held_out_auc") > 0.75),
    ("the circuit decides like the float model", lambda r: _number(r, "circuit_decision_agreement") == 1.0),
    ("three provers pulled, audited and served the bundle", lambda r: r["provers_serving"] == 3),
    ("the client pulled the published bundle", lambda r: r["client_pulled"] == "0x" + r["published"]["bundle_id"]),
    ("the local proof is valid and says yes", lambda r: r["local"]["valid"] and r["local"]["outputs"] == ["1"]),
    ("a pool lends on a proof of attested data", lambda r: r["lending"]["honest"]["lent_wei"] == str(10**18)),
    ("once", lambda r: "AlreadyUsed" in r["lending"]["again"]["refused"]),
    ("not to a score below", lambda r: "ResultRefused" in r["lending"]["below the threshold"]["refused"]),
    ("not on data that nobody attested", lambda r: "NotAttested" in r["lending"]["self-attested"]["refused"]),
    ("not to another wallet", lambda r: "NotBoundTo" in r["lending"]["a stranger's wallet"]["refused"]),
    ("the market's proof says yes", lambda r: r["market"]["outputs"] == ["1"]),
    ("three provers bid", lambda r: r["stories"]["receipt"].count("bid") == 3),
    ("the cheapest prover won", lambda r: r["market"]["prover"] == "prover-1"),
    ("every balance is exact to the wei", lambda r: r["market"]["changes_wei"] == r["market"]["expected_wei"]),
    ("what is paid is what is earned", lambda r: _sum(r["market"]["changes_wei"]) == 0),
    ("gas was paid for one settlement", lambda r: 100_000 < r["market"]["gas"] < 600_000),
    ("the receipt holds, also on-chain", lambda r: r["market"]["receipt_valid"] and len(_receipt_checks(r)) == 8),
    ("each check of the receipt passed", lambda r: all(check["passed"] for check in _receipt_checks(r))),
    ("below the threshold the proof says no", lambda r: r["below_threshold"]["outputs"] == ["0"]),
    ("and is paid", lambda r: int(r["below_threshold"]["paid_wei"]) > 0),
    ("the verifier node refused the tampered proof", lambda r: r["tampered"]["verifier_refusal"] == "PM-REF-021"),
    ("the chain mined and reverted it", lambda r: r["tampered"]["transaction_status"] == 0),
    ("because the proof is invalid", lambda r: "ProofInvalid" in r["tampered"]["reason"]),
    ("and it gained nothing", lambda r: r["tampered"]["gained_wei"] == "0"),
    ("the silent prover missed its promise", lambda r: r["silent"]["promise_missed"]),
    ("another prover did the job", lambda r: r["silent"]["done_by"] == "prover-2" and r["silent"]["outputs"] == ["1"]),
    ("slash, bounty and price are exact", lambda r: _only(r["silent"]["changes_wei"], r["silent"]["expected_wei"])),
    ("three quarters of the collateral are burned", lambda r: _sum(r["silent"]["changes_wei"]) == -75 * 10**15),
    ("alone, the client was refunded", lambda r: r["alone"]["refunded"] and not r["alone"]["settled"]),
    ("to the wei", lambda r: r["alone"]["client_change_wei"] == "0"),
    ("and the collateral is gone", lambda r: r["alone"]["prover_change_wei"] == str(-(10**17))),
    ("the Escrow holds what it owes", lambda r: r["escrow"]["held_wei"] == r["escrow"]["owed_wei"]),
)


def main(arguments: list[str]) -> int:
    """Print each check; return 1 if any failed or the file is missing."""
    path = Path(arguments[0] if arguments else "build/demo.json")
    if not path.exists():
        print(f"{path} is not there; run `make demo` first.", file=sys.stderr)
        return 1
    record: Record = json.loads(path.read_text())
    failed = 0
    for name, holds in CHECKS:
        try:
            passed = bool(holds(record))
        except (KeyError, TypeError, ValueError) as error:
            name, passed = f"{name} ({type(error).__name__}: {error})", False
        failed += not passed
        print(f"{'ok    ' if passed else 'FAILED'} {name}")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _number(record: Record, name: str) -> float:
    return float(record["model"][name])


def _sum(changes: dict[str, str]) -> int:
    return sum(int(change) for change in changes.values())


def _only(changes: dict[str, str], expected: dict[str, str]) -> bool:
    return all(changes[name] == expected.get(name, "0") for name in changes)


def _receipt_checks(record: Record) -> list[dict[str, Any]]:
    checks: list[dict[str, Any]] = record["market"]["receipt_checks"]
    return checks


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
