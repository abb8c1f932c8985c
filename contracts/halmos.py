# SPDX-License-Identifier: GPL-3.0-or-later
"""Proofs of the contracts' arithmetic, slots and signatures over all inputs: `python -m contracts.halmos [arguments]`.

halmos is installed into build/halmos; what is proved is contracts/symbolic. Ends with 0 only if every check is proved,
each solver query within its time, and if each of a few planted bugs is found by the check that is to find it: a prover
that looks at nothing would find none. Works on a copy; writes build/halmos.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from contracts.forge_project import forge_project, quick_environment
from contracts.mutants import Mutant
from contracts.toolchain import CHECKOUT, foundry_binary, own_environment
from protocol.errors import ToolMissingError

FOLDER = CHECKOUT / "build" / "halmos"
OUTPUT = CHECKOUT / "build" / "halmos.json"
VERSION = "halmos==0.3.3"
_QUERY = "120s"
"""What the solver may take for one query; a check whose query takes longer is not proved."""


PLANTED = (
    ("isClean_OfAnyOrder", Mutant("src/Typed.sol", "mload(add(order, 608))", "0")),
    ("isClean_OfAnyAward", Mutant("src/Typed.sol", "or(shr(160, addresses), shr(64, times)))", "shr(64, times))")),
    ("priceOf_AtTheEnds", Mutant("src/Terms.sol", "return order.priceFloor;", "return order.priceCap;")),
    ("deposit_RefusesLarge", Mutant("src/Vault.sol", "(amount > type(uint128).max)", "(amount == 0)")),
    ("deposit_Credits", Mutant("src/Vault.sol", "place := keccak256(12, 40)", "place := keccak256(12, 20)")),
    ("withdraw_Pays", Mutant("src/Vault.sol", "(block.timestamp < pending.availableAt)", "(pending.availableAt == 0)")),
    ("lock_Then", Mutant("src/Escrow.sol", "order.collateral - burned);", "order.collateral);")),
    ("isBy_OnlyTheOneForm", Mutant("src/Signatures.sol", "NoError && recovered == signer", "NoError")),
)
"""Which check is to find which bug."""


def main(arguments: Sequence[str]) -> int:
    """Prove what contracts/symbolic says, look for the planted bugs, write what came of it; return the exit code."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        project = forge_project(home)
        checks = _prove(home, project, arguments)
        for name, outcome in checks.items():
            print(f"{outcome}: {name}", flush=True)
        planted = [] if arguments else [_is_found(home, project, check, mutant) for check, mutant in PLANTED]
    proved = sum(outcome == "proved" for outcome in checks.values())
    content = {"proved": proved, "checks": checks, "planted": len(planted), "found": sum(planted)}
    seconds = round(time.monotonic() - started, 1)
    OUTPUT.write_text(json.dumps({**content, "seconds": seconds}, indent=1) + "\n", encoding="utf-8")
    return 0 if checks and proved == len(checks) and all(planted) else 1


def _is_found(home: Path, project: Path, check: str, mutant: Mutant) -> bool:
    path = project / mutant.file
    original = path.read_text(encoding="utf-8")
    path.write_text(mutant.planted(original), encoding="utf-8")
    found = "disproved" in _prove(home, project, ["--early-exit", "--match-test", check]).values()
    path.write_text(original, encoding="utf-8")
    print(f"planted bug {'found' if found else 'MISSED'} by {check}: {mutant.file}: {mutant.new}", flush=True)
    return found


def _prove(home: Path, project: Path, arguments: Sequence[str]) -> dict[str, str]:
    """Return what came of each check: proved, disproved (by a counterexample), or undecided."""
    halmos, found = own_environment(FOLDER, VERSION).parent / "halmos", home / "halmos.json"
    folders = {"FOUNDRY_SRC": "symbolic", "FOUNDRY_TEST": "symbolic", "FOUNDRY_SCRIPT": "symbolic"}
    environment = quick_environment(home) | folders
    tools = [str(halmos.parent), str(foundry_binary("forge").parent), environment["PATH"]]
    command = [str(halmos), "--root", ".", "--contract", "SymbolicTest", "--storage-layout", "generic"]
    command += ["--solver", "z3", "--solver-timeout-assertion", _QUERY, "--json-output", str(found), *arguments]
    found.unlink(missing_ok=True)
    environment |= {"PATH": os.pathsep.join(tools), "TMPDIR": str(home)}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    if not found.is_file():
        raise ToolMissingError(f"halmos ended with {done.returncode}: {done.stdout[-800:]}{done.stderr[-800:]}")
    results: dict[str, list[dict[str, Any]]] = json.loads(found.read_text(encoding="utf-8"))["test_results"]
    outcomes = {0: "proved", 1: "disproved"}
    return {each["name"]: outcomes.get(each["exitcode"], "undecided") for tests in results.values() for each in tests}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
