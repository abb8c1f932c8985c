# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures what the Escrow's calls cost, and writes build/gas.json: `python benchmarks/gas.py [--check]`.

The scenario is that of docs/gas.md. `--check` fails if a figure is more than one percent above the snapshot.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "tests" / "support")]

from batch_gas import measure_batches, measure_single  # noqa: E402

from benchmarks.proving.verifier_gas import measure_gas  # noqa: E402

SNAPSHOT = CHECKOUT / "contracts" / "gas-snapshot.json"
OUTPUT = CHECKOUT / "build" / "gas.json"
EZKL = CHECKOUT / "build" / "bench"
SLACK = 1.01


def main(arguments: list[str]) -> int:
    """Measure, write, and compare with the snapshot (`--check`) or replace it (`--update`)."""
    measured = measure_batches() | measure_single()
    measured["ezkl_alone"] = ezkl_alone()
    measured["lock_reused"] = "as lock: every order has a slot of its own"
    OUTPUT.parent.mkdir(exist_ok=True)
    text = json.dumps(measured, indent=1, sort_keys=True) + "\n"
    OUTPUT.write_text(text, encoding="utf-8")
    print(text)
    if "--update" in arguments:
        SNAPSHOT.write_text(text, encoding="utf-8")
    if "--check" not in arguments:
        return 0
    worse = list(above(flat(measured), flat(json.loads(SNAPSHOT.read_text(encoding="utf-8")))))
    print("\n".join(worse) or "no figure is above the snapshot")
    return 1 if worse else 0


def ezkl_alone() -> dict[str, int] | str:
    """What EZKL's own verifier contracts use for one proof, by model, where `make bench-proving` has made some."""
    found = sorted(EZKL.glob("ezkl*/*/verifier.sol"))
    made = [each.parent for each in found if (each.parent / "calldata.bin").is_file()]
    if not made:
        return "not measured: EZKL has proved nothing in build/bench (make bench-proving)"
    return {f"{each.parent.name}/{each.name}": int(measure_gas(each)["verify_gas"]) for each in made}


def above(measured: dict[str, int], snapshot: dict[str, int]) -> list[str]:
    """Say which figures grew by more than the slack, or are missing."""
    return [
        f"{name}: {measured.get(name)} gas, {allowed} in the snapshot"
        for name, allowed in snapshot.items()
        if measured.get(name, 2**63) > allowed * SLACK
    ]


def flat(figures: dict[str, Any]) -> dict[str, int]:
    """The numbers of a nested record by their path."""
    found: dict[str, int] = {}
    for name, value in figures.items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": number for key, number in flat({str(k): v for k, v in value.items()}).items()}
        elif isinstance(value, int):
            found[name] = value
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
