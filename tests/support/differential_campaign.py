# SPDX-License-Identifier: GPL-3.0-or-later
"""The long comparison of contracts and model: `python tests/support/differential_campaign.py [--calls N]`.

Writes build/differential.json and ends with 1 if they ever disagree; the seed and number that it names replay it.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from differential import Disagreement, campaigns, compiled

from contracts.abi import artifact

CHECKOUT = Path(__file__).resolve().parents[2]
OUTPUT = CHECKOUT / "build" / "differential.json"
TRANSACTIONS = 40
"""Of one campaign on a fresh chain state; about 600 calls."""
CALLS_A_CHAIN = 4_000
"""After so many a new anvil is started."""


def main(arguments: list[str]) -> int:
    """Run as many calls as asked for, and say what came of them."""
    options = _parser().parse_args(arguments)
    started, seen, failed, done = time.monotonic(), Counter[str](), list[str](), 0
    options.output.parent.mkdir(exist_ok=True)
    compiled()
    with ProcessPoolExecutor(options.processes) as pool:
        chains = -(-options.calls // CALLS_A_CHAIN)
        each = min(CALLS_A_CHAIN, options.calls)
        futures = [pool.submit(on_one_chain, options.seed + number, each) for number in range(chains)]
        for future in as_completed(futures):
            outcome, disagreement = future.result()
            seen, done = seen + outcome, done + 1
            failed += [disagreement] if disagreement else []
            rate = seen.total() / (time.monotonic() - started)
            print(f"{seen.total()} calls, {rate:.0f} a second, {len(failed)} disagreements", flush=True)
            content = json.dumps(_report(options, seen, failed, started), indent=1) + "\n"
            options.output.write_text(content, encoding="utf-8")
    print("\n".join(failed) or "contracts and model agree")
    return 1 if failed else 0


def on_one_chain(seed: int, calls: int) -> tuple[Counter[str], str | None]:
    """Run campaigns on one anvil until there were so many calls; return what came of them, and a disagreement."""
    seen = Counter[str]()
    with campaigns(seed) as fresh:
        number = 0
        while seen.total() < calls:
            number += 1
            campaign = fresh()
            try:
                for _ in range(TRANSACTIONS):
                    campaign.pass_time()
                    campaign.step()
                campaign.finish()
            except Disagreement as found:
                return seen + campaign.seen, f"seed {seed}, campaign {number}: {found}"
            seen += campaign.seen
    return seen, None


def _report(options: argparse.Namespace, seen: Counter[str], failed: list[str], started: float) -> dict[str, Any]:
    seconds = time.monotonic() - started
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=CHECKOUT, capture_output=True, text=True)
    return {
        "calls": seen.total(),
        "seconds": round(seconds, 1),
        "calls_per_second": round(seen.total() / seconds, 1),
        "processes": options.processes,
        "first_seed": options.seed,
        "commit": head.stdout.strip(),
        "escrow_code": "0x" + artifact("Escrow").deployed_hash.hex(),
        "disagreements": failed,
        "outcomes": dict(sorted(seen.items())),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Compare the contracts with their model.")
    parser.add_argument("--calls", type=int, default=200_000, help="at least so many (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the first chain (default %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="each with a chain (default %(default)s)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where to write what came of it")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
