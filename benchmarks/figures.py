# SPDX-License-Identifier: GPL-3.0-or-later
"""Measure what the docs quote, and write it to build/figures.json.

    python benchmarks/figures.py [--quick] [--cold] [--jobs N]

Each part stands alone: one that cannot be measured is null, and `reasons` says why. `--quick` measures no
wall time of the demo again and runs two jobs; `--cold` also runs the demo in a fresh clone, with
empty caches. Units are in the names of the keys; times are of the machine that runs this.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
# A script's own folder comes first on the path, where this folder's files would hide packages.
sys.path[0] = str(ROOT)
BUILD = ROOT / "build"
LIMIT_S = 900
Fields = dict[str, Any]


class MissingError(Exception):
    """A part cannot be measured here; the text says why."""


def measure(options: argparse.Namespace) -> Fields:
    """Return all figures; a part that failed is None, with its reason under `reasons`."""
    # The proofs are measured before the demo: a machine that has just run a whole market is a slower one.
    parts: dict[str, Callable[[], Fields]] = {
        "proving": proving,
        "gas": gas,
        "latency": lambda: latency(2 if options.quick else options.jobs),
        "demo_cold": lambda: demo_cold(run=options.cold),
        "demo_warm": lambda: demo_warm(run=not options.quick),
        "python_tests": python_tests,
        "solidity_tests": solidity_tests,
    }
    figures: Fields = {"machine": machine(), "commit": _commit()}
    reasons: dict[str, str] = {}
    for name, part in parts.items():
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            figures[name] = part()
        except Exception as error:  # a missing part must not cost the others
            figures[name] = None
            reasons[name] = f"{type(error).__name__}: {error}"[:500]
    return {**figures, "reasons": reasons}


def machine() -> Fields:
    """What ran this: the numbers mean little without it."""
    return {"cpus": os.cpu_count(), "architecture": platform.machine(), "python": platform.python_version()}


def proving() -> Fields:
    """Constraints and times of the demo's model, in a process of its own."""
    done = _run([sys.executable, "benchmarks/credit.py", "--json"])
    found: Fields = json.loads(done.stdout.splitlines()[-1])
    return found


def gas() -> Fields:
    """Gas used by the Escrow's calls, from receipts of an anvil chain."""
    sys.path.insert(1, str(ROOT / "tests" / "support"))
    from escrow_gas import measure_gas

    return {f"{name}_gas": used for name, used in measure_gas().items()}


def latency(jobs: int) -> Fields:
    """Submit to paid, minus the prover's time for the proof, on a devnet of three provers."""
    done = _run([sys.executable, "benchmarks/latency.py", "--jobs", str(jobs)])
    found: Fields = json.loads(done.stdout.splitlines()[-1])
    return found


def demo_warm(*, run: bool) -> Fields:
    """Wall time of `make demo` with everything installed."""
    if not run:
        return {"inner_s": _read(BUILD / "demo.json")["wall_seconds"], "from": "build/demo.json"}
    started = time.monotonic()
    _run(["make", "--no-print-directory", "demo"])
    wall = round(time.monotonic() - started, 1)
    return {"wall_s": wall, "inner_s": _read(BUILD / "demo.json")["wall_seconds"]}


def demo_cold(*, run: bool) -> Fields:
    """Wall time of `make demo` in a fresh clone with empty caches, installing included."""
    if run:
        _run(["scripts/fresh.sh", "demo"])
    return _read(BUILD / "demo-cold.json")  # scripts/fresh.sh writes it


def solidity_tests() -> Fields:
    """The Solidity tests that forge lists, by kind."""
    listed = _run([sys.executable, "-m", "contracts.forge", "--list", "--json"]).stdout
    suites: dict[str, dict[str, list[str]]] = json.loads(listed[listed.index("{") :])
    names = [name for contracts in suites.values() for tests in contracts.values() for name in tests]
    kinds = Counter(_solidity_kind(name) for name in names)
    return {**dict(sorted(kinds.items())), "total": len(names)}


def python_tests() -> Fields:
    """Python tests by folder, as the last `make test` ran them."""
    path = BUILD / "pytest.xml"
    if not path.exists():
        raise MissingError("build/pytest.xml is not there: run `make test` first")
    cases = list(ElementTree.parse(path).getroot().iter("testcase"))
    folders = Counter(_folder(case.get("classname", "")) for case in cases)
    ends = Counter(child.tag for case in cases for child in case if child.tag in ("failure", "error", "skipped"))
    return {**dict(sorted(folders.items())), "total": len(cases), "not_passed": dict(sorted(ends.items()))}


def _folder(classname: str) -> str:
    parts = classname.split(".")
    return parts[1] if parts[0] == "tests" and len(parts) > 2 else parts[0]


def _solidity_kind(name: str) -> str:
    return next((kind for kind in ("invariant", "testFuzz") if name.startswith(kind)), "test")


def _read(path: Path) -> Fields:
    try:
        found: Fields = json.loads(path.read_text())
    except FileNotFoundError:
        raise MissingError(f"{path.relative_to(ROOT)} is not there") from None
    return found


def _commit() -> str | None:
    """The commit that is measured, with a mark when the tree differs from it."""
    try:
        return _run(["git", "describe", "--always", "--dirty", "--abbrev=40"]).stdout.strip()
    except (MissingError, OSError):
        return None


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise MissingError(f"{' '.join(command[-3:])} ended with {done.returncode}: {' '.join(last)}")
    return done


def main() -> None:
    """Measure, write build/figures.json, print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="do not run the demo; two jobs")
    parser.add_argument("--cold", action="store_true", help="also run the demo in a fresh clone")
    parser.add_argument("--jobs", type=int, default=8, help="jobs for the latency (default %(default)s)")
    figures = measure(parser.parse_args())
    BUILD.mkdir(exist_ok=True)
    text = json.dumps(figures, indent=2, sort_keys=True) + "\n"
    (BUILD / "figures.json").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
