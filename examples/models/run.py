# SPDX-License-Identifier: GPL-3.0-or-later
"""Real models end to end: `python examples/models/run.py [--only NAME] [--env dev|torch|all] [--json FILE] [--docs]`.

For every model of tests/models.toml: train, compile, audit, prove, settle on one development chain, measure. Ends with
exit code 1 where a circuit decides otherwise than its model too often, or a step fails. Models of PyTorch are trained
in build/models-venv, which is made if it is not there; the rest happens here.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import trio

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from examples.models import torch_models  # noqa: E402
from examples.models.measure import Entry, Metrics, entries, measure, reached  # noqa: E402
from examples.models.onchain import open_market  # noqa: E402
from examples.models.report import write  # noqa: E402
from node.devnet.anvil import find_anvil, run_anvil  # noqa: E402
from protocol.errors import ProofmeshError  # noqa: E402


async def measure_all(chosen: Sequence[Entry], work: Path) -> tuple[dict[str, Metrics], list[str]]:
    """Return the figures by name, and the names of the models that failed or missed the target."""
    figures: dict[str, Metrics] = {}
    missed: list[str] = []
    async with run_anvil(find_anvil(), log=work / "anvil.log") as chain:
        settler = open_market(chain.url)
        for entry in chosen:
            try:
                found = measure(entry, settler, work / "bundles")
            except (ProofmeshError, RuntimeError) as error:
                print(f"{entry.name}: {error}", file=sys.stderr, flush=True)
                missed.append(entry.name)
                continue
            figures[entry.name] = found
            if not reached(found):
                missed.append(entry.name)
            print(f"{entry.name}: {json.dumps(found)}", file=sys.stderr, flush=True)
    return figures, missed


def main() -> int:
    """Measure, write, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="the name of one model")
    parser.add_argument("--env", choices=("dev", "torch", "all"), default="all")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks/accuracy.md")
    options = parser.parse_args()
    chosen = [
        each for each in entries() if options.only in (None, each.name) and options.env in ("all", each.env)
    ]
    if not chosen:
        parser.error("no such model")
    for each in (each for each in chosen if each.skipped):
        print(f"{each.name}: skipped: {each.skipped}", file=sys.stderr)
    chosen = [each for each in chosen if not each.skipped]
    if options.docs and len(chosen) != len(entries()):
        parser.error("the page is of all models")
    if trained := [each.name for each in chosen if each.env == "torch"]:
        torch_models.train_all(trained)
    with tempfile.TemporaryDirectory() as work:
        figures, missed = trio.run(measure_all, chosen, Path(work))
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    if options.docs:
        write(figures)
    if missed:
        print(f"missed: {', '.join(missed)}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
