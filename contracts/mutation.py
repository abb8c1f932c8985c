# SPDX-License-Identifier: GPL-3.0-or-later
"""Plants bugs in the contracts and in their model, one at a time: `python -m contracts.mutation [PATTERN]`.

What has no bug must pass first. Then each mutant must be found: one in Solidity by the Solidity tests or, if they
pass, by the comparison with the model on a chain; one in the model by that comparison, short or long. Exit code 0 only
then. Works on a copy: this checkout is never touched. Writes build/mutants.json.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from contracts.forge_project import forge_project, quick_environment
from contracts.mutants import MUTANTS, Mutant
from contracts.toolchain import CHECKOUT, foundry_binary

OUTPUT = CHECKOUT / "build" / "mutants.json"
_SECONDS = 1800
"""After so long without an answer a test has hung, which is a way of finding a bug."""
_COMPARISON = "tests/contracts/test_differential.py"
_BATCHES = "tests/contracts/test_batch.py"
"""Proofs that are made to cancel each other; the comparison only spoils them at random."""
_CAMPAIGN = "tests/support/differential_campaign.py"
_CALLS = "24000"
"""Of a campaign: so many that every instant at which something ends is met exactly, by each call."""
# That a test fails is all we want to know: looking for the shortest failure takes minutes.
_BRIEF = {"FOUNDRY_INVARIANT_SHRINK_RUN_LIMIT": "0", "FOUNDRY_INVARIANT_RUNS": "8", "FOUNDRY_FUZZ_SHOW_LOGS": "false"}
_FAILED = re.compile(r"^(?:\[FAIL.*\])? ((?:test|invariant)\w*)\(", re.MULTILINE)
"""The name of a failed test; of an invariant it stands on a line of its own, behind the calls that broke it."""


@dataclass(frozen=True)
class Verdict:
    """What came of one mutant: which test found it, if any did."""

    mutant: Mutant
    found_by: str | None
    seconds: float

    @property
    def outcome(self) -> str:
        """found; explained, if its survival is; else survived. An explanation of a mutant that is found is wrong."""
        if self.found_by is not None:
            return "found, though explained" if self.mutant.survives else "found"
        return "explained" if self.mutant.survives else "survived"


def main(arguments: Sequence[str]) -> int:
    """Try each mutant whose text contains the pattern; return 0 if all are found or explained."""
    pattern = arguments[0] if arguments else ""
    chosen = [mutant for mutant in MUTANTS if pattern in f"{mutant.file} {mutant.old} {mutant.new}"]
    verdicts: list[Verdict] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        forge_project(copy)
        for mutant in chosen:
            mutant.planted((copy / "contracts" / mutant.file).read_text(encoding="utf-8"))
        _require_baseline(copy)
        for number, mutant in enumerate(chosen, 1):
            verdicts.append(_judge(copy, mutant))
            last = verdicts[-1]
            change = mutant.new or f"without {mutant.old}"
            print(f"{number}/{len(chosen)} {last.outcome} {last.found_by or ''}: {mutant.file}: {change}", flush=True)
            _write(verdicts, len(chosen), started)
    counts = Counter(verdict.outcome for verdict in verdicts)
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    return 0 if set(counts) <= {"found", "explained"} else 1


def _require_baseline(checkout: Path) -> None:
    """Without a bug everything passes: or a test that always fails would find every mutant."""
    for name, judge in (("the Solidity tests", _forge), ("the comparison", _comparison)):
        if (found := judge(checkout)) is not None:
            raise SystemExit(f"without a mutant {name} fail already: {found}")
        print(f"without a mutant {name} pass", flush=True)


def _judge(checkout: Path, mutant: Mutant) -> Verdict:
    path, started = checkout / "contracts" / mutant.file, time.monotonic()
    original = path.read_text(encoding="utf-8")
    path.write_text(mutant.planted(original), encoding="utf-8")
    judges: tuple[Callable[[Path], str | None], ...] = (_comparison, _campaign)
    if mutant.in_solidity:
        judges = (_forge, _on_a_chain)
    try:
        found = next((found for judge in judges if (found := judge(checkout)) is not None), None)
    finally:
        path.write_text(original, encoding="utf-8")
    return Verdict(mutant, found, round(time.monotonic() - started, 1))


def _forge(checkout: Path) -> str | None:
    """Return the name of a Solidity test that fails, or None; a mutant that does not compile is no mutant."""
    command = [str(foundry_binary("forge")), "test", "--root", ".", "--fail-fast"]
    done = _run(command, checkout / "contracts", quick_environment(checkout) | _BRIEF)
    if done is None:
        return "forge: no answer"
    if done.returncode == 0:
        return None
    failed = _FAILED.search(done.stdout)
    if failed is None:
        raise SystemExit(f"forge runs no test:\n{done.stdout[-800:]}{done.stderr[-800:]}")
    return failed[1]


def _on_a_chain(checkout: Path) -> str | None:
    """The comparison and the batches, with the contracts that the copy's sources compile to."""
    artifacts = {path: path.read_bytes() for path in (checkout / "contracts" / "artifacts").glob("*.json")}
    done = _run([sys.executable, "-m", "contracts.compile"], checkout, _python(checkout))
    if done is None or done.returncode != 0:
        raise SystemExit(f"a mutant does not compile: {'' if done is None else done.stderr[-800:]}")
    try:
        return _comparison(checkout) or _pytest(checkout, _BATCHES)
    finally:
        for path, content in artifacts.items():
            path.write_bytes(content)


def _comparison(checkout: Path) -> str | None:
    return _pytest(checkout, _COMPARISON)


def _pytest(checkout: Path, tests: str) -> str | None:
    done = _run([sys.executable, "-m", "pytest", "-x", "-q", tests], checkout, _python(checkout))
    if done is not None and done.returncode not in (0, 1):
        raise SystemExit(f"pytest runs no test:\n{done.stdout[-800:]}{done.stderr[-800:]}")
    return None if done is not None and done.returncode == 0 else Path(tests).name


def _campaign(checkout: Path) -> str | None:
    """The comparison at length: for what the bounded one does not meet."""
    options = ["--calls", _CALLS, "--processes", "1", "--output", str(checkout / "differential.json")]
    done = _run([sys.executable, _CAMPAIGN, *options], checkout, _python(checkout))
    return None if done is not None and done.returncode == 0 else Path(_CAMPAIGN).name


def _python(checkout: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(checkout)}


def _run(command: Sequence[str], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str] | None:
    """Run a command, and end it with all that it started if it does not end by itself (None)."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            said, complained = process.communicate(timeout=_SECONDS)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                return None
            raise
    return subprocess.CompletedProcess(command, process.returncode, said, complained)


def _write(verdicts: Sequence[Verdict], chosen: int, started: float) -> None:
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=CHECKOUT, capture_output=True, text=True)
    content = {
        "commit": head.stdout.strip(),
        "mutants": chosen,
        "seconds": round(time.monotonic() - started, 1),
        "outcomes": dict(Counter(verdict.outcome for verdict in verdicts)),
        "verdicts": [
            {**asdict(each.mutant), "outcome": each.outcome, "found_by": each.found_by, "seconds": each.seconds}
            for each in verdicts
        ],
    }
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends too, and the copy goes
    sys.exit(main(sys.argv[1:]))
