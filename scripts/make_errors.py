# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/ERRORS.md from the code: `python scripts/make_errors.py [--check]`.

Every package is imported, so that each subclass of `ProofmeshError` is found wherever it is defined.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from market.refusals import MEANINGS  # noqa: E402
from protocol.errors import ProofmeshError  # noqa: E402

PAGE = ROOT / "docs" / "ERRORS.md"
PACKAGES = ("protocol", "market", "proving", "contracts", "node", "sims", "proofmesh")
ENTRY_POINTS = {"__main__"}
OPTIONAL = {"node.executor_ray"}
"""Modules of extras; they define no error."""

HEAD = """\
# Errors and refusals

Written by `python scripts/make_errors.py`; do not edit. Codes are stable: one is never used for another
meaning, and a code that is no longer used stays free.

An error reads `[PM-AREA-NNN] what happened. what to do.`; with `--json` the code is a field. The exit code
of the command: 0 done, 1 failed, 2 usage, 3 configuration, 4 chain or RPC, 5 proof invalid, 6 timeout,
7 funds. No error shows key material, a private input, or the bytes of a message that was refused.
"""

REFUSALS = """\
## Refusals between peers

What one party answers another (`Refusal.terms.code`, docs/PROTOCOL.md). A node may also answer with the
code of an error above. A peer that meets a code that it does not know shows it as it is.

| code | meaning | what helps |
| --- | --- | --- |
"""


def error_classes() -> list[type[ProofmeshError]]:
    """Every error of the project that has a code of its own, by code."""
    for name in PACKAGES:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if module.name.rsplit(".", 1)[-1] not in ENTRY_POINTS and module.name not in OPTIONAL:
                importlib.import_module(module.name)
    found = {error for error in _family(ProofmeshError) if error.__module__.split(".")[0] in PACKAGES}
    return sorted((error for error in found if "code" in vars(error)), key=lambda e: (e.code, e.__qualname__))


def _family(error: type[ProofmeshError]) -> Iterator[type[ProofmeshError]]:
    yield error
    for heir in error.__subclasses__():
        yield from _family(heir)


def page() -> str:
    """The text of docs/ERRORS.md."""
    areas: dict[str, list[type[ProofmeshError]]] = {}
    for error in error_classes():
        areas.setdefault(error.code.split("-")[1], []).append(error)
    parts = [HEAD]
    for area, errors in areas.items():
        rows = "".join(map(_row, errors))
        head = "| code | exit | what happened | what to do | class |\n| --- | --- | --- | --- | --- |\n"
        parts.append(f"## PM-{area}\n\n{head}{rows}")
    parts.append(REFUSALS + "".join(f"| `{code}` | {a} | {b} |\n" for code, (a, b) in sorted(MEANINGS.items())))
    return "\n".join(parts)


def _row(error: type[ProofmeshError]) -> str:
    what = " ".join((vars(error).get("__doc__") or "").split("\n\n")[0].split())
    cells = (f"`{error.code}`", error.exit_code, what, error.remedy, f"`{error.__module__}.{error.__qualname__}`")
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


def main() -> int:
    """Write the page, or with --check say whether it is current."""
    parser = argparse.ArgumentParser(description="Write docs/ERRORS.md from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is not current")
    text = page()
    if parser.parse_args().check:
        current = PAGE.is_file() and PAGE.read_text("utf-8") == text
        print("docs/ERRORS.md is current" if current else "docs/ERRORS.md is not current: run scripts/make_errors.py")
        return 0 if current else 1
    PAGE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
