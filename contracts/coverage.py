# SPDX-License-Identifier: GPL-3.0-or-later
"""What the Solidity tests reach: `python -m contracts.coverage`; writes build/coverage.json.

Lines and branches that no test reaches must be explained in contracts/coverage.toml; otherwise it ends with 1. Measured
on code that was compiled without the IR pipeline and the optimiser: their source maps blur what is a branch.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from contracts.forge_project import forge_project, quick_environment
from contracts.toolchain import CHECKOUT, SOURCES, foundry_binary

EXPLAINED = CHECKOUT / "contracts" / "coverage.toml"
OUTPUT = CHECKOUT / "build" / "coverage.json"
_BRIEF = {"FOUNDRY_INVARIANT_RUNS": "4"}
"""What is instrumented runs slowly; the campaigns of `make test` are longer."""


def main() -> int:
    """Measure, write, print what nobody has explained; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        project, trace = forge_project(home), home / "lcov.info"
        command = [str(foundry_binary("forge")), "coverage", "--root", ".", "--report", "lcov"]
        command += ["--report-file", str(trace)]
        environment = quick_environment(home) | _BRIEF
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
            return done.returncode
        counts, unreached = measured(trace.read_text(encoding="utf-8"))
    not_explained, code = report(counts, unreached)
    OUTPUT.parent.mkdir(exist_ok=True)
    content = {"files": counts, "total": _total(counts), "unreached": unreached, "not_explained": not_explained}
    OUTPUT.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return code


def measured(trace: str) -> tuple[dict[str, dict[str, int]], list[tuple[str, str]]]:
    """Return of a trace (lcov) the counts by file, and what is not reached: file and text of the line."""
    counts: dict[str, dict[str, int]] = {}
    unreached: dict[tuple[str, str], None] = {}
    for file, kind, line, reached in _points(trace):
        count = counts.setdefault(file, {"lines": 0, "lines_reached": 0, "branches": 0, "branches_reached": 0})
        count[kind] += 1
        count[f"{kind}_reached"] += reached
        if not reached:
            unreached[file, _source(file, line)] = None
    return counts, list(unreached)


def report(counts: dict[str, dict[str, int]], unreached: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], int]:
    """Print the counts, what is not explained, and explanations of nothing; return 1 with it if there is either."""
    explained = {(each["file"], each["line"]) for each in tomllib.loads(EXPLAINED.read_text("utf-8"))["unreached"]}
    for file, count in {**counts, "all": _total(counts)}.items():
        print(f"{file:28} lines {count['lines_reached']}/{count['lines']}", end="")
        print(f", branches {count['branches_reached']}/{count['branches']}")
    open_ = [each for each in unreached if each not in explained]
    stale = explained - set(unreached)
    print("".join(f"not reached: {file}: {text}\n" for file, text in open_), end="")
    print("".join(f"explained, but reached: {file}: {text}\n" for file, text in sorted(stale)), end="")
    print(f"{len(unreached)} not reached, {len(open_)} of them not explained")
    return open_, 1 if open_ or stale else 0


def _total(counts: dict[str, dict[str, int]]) -> dict[str, int]:
    kinds = ("lines", "lines_reached", "branches", "branches_reached")
    return {kind: sum(count[kind] for count in counts.values()) for kind in kinds}


def _points(trace: str) -> Iterator[tuple[str, str, int, bool]]:
    """Yield (file, lines or branches, line, whether it is reached) for what lies in src."""
    file = ""
    for entry in trace.splitlines():
        key, _, rest = entry.partition(":")
        if key == "SF":
            file = rest
        elif file.startswith("src/") and key == "DA":
            line, hits = rest.split(",")[:2]
            yield file, "lines", int(line), hits != "0"
        elif file.startswith("src/") and key == "BRDA":
            line, _, _, hits = rest.split(",")
            yield file, "branches", int(line), hits not in ("-", "0")


def _source(file: str, line: int) -> str:
    lines = (SOURCES.parent / file).read_text(encoding="utf-8").splitlines()
    return lines[line - 1].strip()


if __name__ == "__main__":
    sys.exit(main())
