# SPDX-License-Identifier: GPL-3.0-or-later
"""Static analysis of the contracts: `python -m contracts.slither`; slither is installed into build/slither.

Ends with 0 only if every finding is explained in contracts/slither.toml, and every explanation is of a finding.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from contracts.compile import compile_sources, sources
from contracts.toolchain import CHECKOUT, SOURCES, own_environment
from protocol.errors import ToolMissingError

EXPLAINED = CHECKOUT / "contracts" / "slither.toml"
FOLDER = CHECKOUT / "build" / "slither"
VERSION = "slither-analyzer==0.11.6"
_RUN = CHECKOUT / "scripts" / "slither_run.py"


def main() -> int:
    """Run slither, print what nobody has explained, and return the exit code."""
    python = own_environment(FOLDER, VERSION)
    (FOLDER / "output.json").write_text(json.dumps(_compiled()), encoding="utf-8")
    findings = FOLDER / "findings.json"
    command = [str(python), str(_RUN), str(FOLDER / "output.json"), str(findings)]
    done = subprocess.run(command, cwd=_project(), capture_output=True, text=True)
    if done.returncode != 0:
        raise ToolMissingError(f"slither ended with {done.returncode}: {done.stderr[-800:]}")
    return report([each for each in json.loads(findings.read_text("utf-8")) if each["file"].startswith("src/")])


def report(findings: list[dict[str, Any]]) -> int:
    """Print what is not explained, and explanations of nothing; return 1 if there is either."""
    explained = {(each["check"], each["where"]) for each in tomllib.loads(EXPLAINED.read_text("utf-8"))["finding"]}
    open_, used = [], set()
    for each in findings:
        reasons = {(each["check"], each["where"]), (each["check"], "*")} & explained
        used |= reasons
        if not reasons:
            open_.append(each)
            print(f"{each['impact']}: {each['check']} in {each['where']}: {each['text']}\n")
    for check, where in sorted(explained - used):
        print(f"explained, but not found any more: {check} in {where}")
    print(f"{len(findings)} findings, {len(open_)} not explained")
    return 1 if open_ or explained - used else 0


def _compiled() -> dict[str, object]:
    """The syntax trees; code is not asked for, and left empty."""
    output = compile_sources(sources(), ("abi",))
    nothing = {"object": "", "sourceMap": ""}
    for contracts in output["contracts"].values():
        for contract in contracts.values():
            contract["evm"] = {"bytecode": nothing, "deployedBytecode": nothing}
    return {"version": "0.8.28", "output": output}


def _project() -> Path:
    """A folder in which the sources lie where the compiler was told that they are."""
    folder = FOLDER / "project"
    folder.mkdir(exist_ok=True)
    for name, target in (("src", SOURCES), ("node_modules", CHECKOUT / "node_modules")):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(target)
    return folder


if __name__ == "__main__":
    sys.exit(main())
