# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the Solidity tests: `python -m contracts.forge [arguments of forge test]`.

Finds forge and Node.js in the checkout, and gives forge a home of its own, so that neither a user's
Foundry settings nor a compiler on PATH change what is tested.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from contracts.toolchain import CHECKOUT, foundry_binary, tool_environment
from protocol.errors import ProofmeshError


def run(arguments: list[str]) -> int:
    """Run `forge test` with the arguments and return its exit code."""
    with tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [str(foundry_binary("forge")), "test", "--root", ".", *arguments],
            cwd=CHECKOUT / "contracts",
            env=tool_environment(Path(home)),
        )
    return done.returncode


if __name__ == "__main__":
    try:
        sys.exit(run(sys.argv[1:]))
    except ProofmeshError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
