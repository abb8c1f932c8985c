# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of the Solidity sources and tests that stands by itself, for tools that change or instrument them.

What is imported lies inside the copy: forge's analysis does not follow imports out of its project. It is compiled
without the IR pipeline and the optimiser, in seconds instead of minutes, and source maps are then exact. What is
deployed is compiled otherwise (contracts/compile.py); `make test` tests that.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from contracts.toolchain import CHECKOUT, tool_environment

_DEPENDENCY = "node_modules/@openzeppelin/contracts"


def forge_project(home: Path) -> Path:
    """Make the copy under `home`, an empty folder, and return the folder that forge is to run in."""
    project = home / "contracts"
    ignored = shutil.ignore_patterns("__pycache__", "out", "cache")
    shutil.copytree(CHECKOUT / "contracts", project, ignore=ignored)
    shutil.copytree(CHECKOUT / _DEPENDENCY, project / _DEPENDENCY, ignore=shutil.ignore_patterns("build"))
    settings = project / "foundry.toml"
    settings.write_text(settings.read_text("utf-8").replace("=../node_modules/", "=node_modules/"), encoding="utf-8")
    for entry in CHECKOUT.iterdir():
        if entry.name not in ("contracts", ".git", "build"):
            (home / entry.name).symlink_to(entry)
    return project


def quick_environment(home: Path) -> dict[str, str]:
    """The environment in which forge compiles the copy quickly."""
    return tool_environment(home) | {"FOUNDRY_VIA_IR": "false", "FOUNDRY_OPTIMIZER": "false"}
