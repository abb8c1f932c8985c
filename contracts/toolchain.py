# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a checkout keeps the tools that contracts are built and tested with; users never need them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from protocol.errors import ToolMissingError

CHECKOUT = Path(__file__).resolve().parent.parent
SOURCES = CHECKOUT / "contracts" / "src"
SOLC_SHIM = CHECKOUT / "contracts" / "solc-shim"


def node_binary() -> Path:
    """Return Node.js: $PROOFMESH_NODE, the one beside this Python, or the one on PATH."""
    named = os.environ.get("PROOFMESH_NODE")
    beside = Path(sys.executable).parent / "node"
    for candidate in (named, str(beside), shutil.which("node")):
        if candidate and os.access(candidate, os.X_OK):
            return Path(candidate)
    raise ToolMissingError("Node.js was not found beside this Python or on PATH.")


def foundry_binary(name: str) -> Path:
    """Return `anvil` or `forge` of node_modules, or the one on PATH."""
    packaged = CHECKOUT / "node_modules" / "@foundry-rs" / f"{name}-linux-amd64" / "bin" / name
    if packaged.is_file():
        return packaged
    found = shutil.which(name)
    if found is None:
        raise ToolMissingError(f"{name} is neither in node_modules nor on PATH.")
    return Path(found)


def tool_environment(home: Path) -> dict[str, str]:
    """Return an environment in which tools find this checkout's node and nothing of the user's home."""
    node = node_binary()
    return {
        "PATH": os.pathsep.join([str(node.parent), os.environ.get("PATH", os.defpath)]),
        "HOME": str(home),
        "PROOFMESH_NODE": str(node),
        "FOUNDRY_DISABLE_NIGHTLY_WARNING": "1",
        "LANG": "C.UTF-8",
    }


def own_environment(folder: Path, requirement: str) -> Path:
    """Return the Python of an environment in `folder` that has one pinned tool; made when it is missing.

    Raises:
        ToolMissingError: the tool cannot be installed.
    """
    python, mark = folder / "bin" / "python", folder / "installed"
    if not (mark.is_file() and mark.read_text(encoding="utf-8") == requirement):
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", requirement],
        ):
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode != 0:
                raise ToolMissingError(f"{requirement} cannot be installed: {done.stderr.strip()[-500:]}")
        mark.write_text(requirement, encoding="utf-8")
    return python
