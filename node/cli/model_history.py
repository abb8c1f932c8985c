# SPDX-License-Identifier: GPL-3.0-or-later
"""How `proofmesh model history` shows a model's history: tables for people, one object for scripts."""

from __future__ import annotations

from dataclasses import asdict

from contracts.records import Advice
from node.cli.arguments import Session
from node.model_history import ModelHistory

_ADVICE = {
    Advice.NONE: "nothing: the publisher has not warned of it",
    Advice.SUPERSEDED: "superseded: use its successor",
    Advice.BROKEN: "broken: do not use it",
}


def report_history(session: Session, found: ModelHistory) -> None:
    """Print a model's history."""
    say, record = session.output.say, dict(vars(found.record))
    say(f"Model     0x{found.model_id.hex()}")
    say(f"Publisher 0x{found.publisher.hex()}")
    if found.verifier is not None:
        contract, code_hash = found.verifier
        say(f"Verified  by the contract 0x{contract.hex()}, code hash 0x{code_hash.hex()}: another proof system")
    say(f"Advice    {_ADVICE[found.advice]}")
    if any(found.successor):
        say(f"Successor 0x{found.successor.hex()}")
    session.output.table("Record", ["field", "value"], [[name, _shown(value)] for name, value in record.items()])
    session.output.table(
        "Lineage, newest first", ["model"], [["0x" + ancestor.hex()] for ancestor in found.lineage]
    )
    session.output.table(
        "Advisories", ["advice", "reason"], [[each.advice.name.lower(), each.reason] for each in found.advisories]
    )
    session.output.table(
        "Proofs that were paid",
        ["block", "order", "prover", "price", "outputs"],
        [
            [each.block_number, each.order_hash.hex(), each.prover.hex(), each.price, len(each.outputs)]
            for each in found.executions
        ],
    )
    session.output.result(
        {
            "model_id": found.model_id,
            "publisher": found.publisher,
            "record": record,
            "verifier": found.verifier and {"address": found.verifier[0], "code_hash": found.verifier[1]},
            "lineage": list(found.lineage),
            "advice": found.advice.name.lower(),
            "successor": found.successor if any(found.successor) else None,
            "advisories": [
                {"advice": each.advice.name.lower(), "successor": each.successor, "reason": each.reason}
                for each in found.advisories
            ],
            "executions": [asdict(each) | {"outputs": list(each.outputs)} for each in found.executions],
        }
    )


def _shown(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
